"""An app in memory, and what was sent by it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

from cloudq.app import App
from cloudq.core import wire
from cloudq.core.driver import Capabilities
from cloudq.core.message import Message, is_dead_letter_queue
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError, UndecodableError
from cloudq.stores.memory import MemoryStore
from cloudq.tasks.task import Task
from cloudq.testing.clock import FakeClock


@contextmanager
def in_memory(
    app: App, *, clock: FakeClock | None = None, capabilities: Callable[[str], Capabilities] | None = None
) -> Iterator[App]:
    """The app within the block: messages in memory, nothing from before, on a clock that stands still.

    Large payloads, where the app has a claim-check store, are kept in this process's memory as well. So are the records
    of idempotency keys, on that clock, unless the app has `store="none"`.

    Nothing runs by itself: `sent.result()` before a `run_all` raises `ResultTimeout` at once.

    `app.clock` is that clock, for tests that move it; `run_all` moves it by itself. Its first moment is the real one,
    so that a task's own `datetime.now(UTC) + ...` is in its future.

    Example:
        ```python
        with in_memory(shop.app) as app:
            shop.checkout.send(order_id=42)
            run_all(app)
        ```

    Args:
        app: The app; as it was before, at the end of the block.
        clock: A clock of the test's own.
        capabilities: What queues can do, to test against the limits of another backend: see
            `cloudq.testing.profiles`.
    """
    refuse_other_than_app(app)
    clock = clock or FakeClock(datetime.now(UTC))
    driver = MemoryDriver(clock=clock, capabilities=capabilities)
    payloads = None if app.runtime.claim_check_url is None else f"memory://cloudq-{uuid4().hex}"
    store = None if app.runtime.stores.is_native_only else MemoryStore(clock)
    using = app.using(driver, clock=clock, claim_check=_like(payloads, app.runtime.claim_check_url), store=store)
    with using, app.runtime.results.unattended("cloudq.testing.run_all(app) before you ask for the result"):
        try:
            yield app
        finally:
            driver.close()
            _empty(payloads)


def sent(app: App) -> list[Message]:
    """The messages that were sent so far, oldest first, whatever became of them; the newest 10,000.

    Copies that the worker makes (a retry, a dead letter) are no sends, nor is a duplicate that wasn't stored.

    Raises:
        ConfigurationError: The app isn't in memory.
    """
    return [app.runtime.with_payload(message) for message in map(_sent_message, _bodies(app)) if message is not None]


def memory_of(app: App) -> MemoryDriver:
    """The memory that the app works in.

    Raises:
        ConfigurationError: It doesn't, or it is no App.
    """
    refuse_other_than_app(app)
    # Asked before the driver is had, which would open the real backend.
    driver = app.driver() if app.is_open else None
    if not isinstance(driver, MemoryDriver):
        raise ConfigurationError(
            "the app isn't in memory, so what it sent isn't known here",
            hint="use the fixture cloudq_app, or `with cloudq.testing.in_memory(app):` around the test",
        )
    return driver


def refuse_other_than_app(app: object) -> None:
    """Refuses what is given in an App's place: a task, say, whose messages somebody wants to see.

    Raises:
        ConfigurationError: It is no App.
    """
    if not isinstance(app, App):
        whose = "its own App is task.app" if isinstance(app, Task) else "as the fixture cloudq_app"
        raise ConfigurationError(f"this takes an App, not {app!r}", hint=f"an App: {whose}")


def _like(store: str | None, url: str | None) -> str | None:
    """A store's URL with the parameters of another's."""
    return None if store is None or url is None else "?".join([store, *url.split("?")[1:]])


def _empty(store: str | None) -> None:
    if store is None:
        return
    from fsspec.core import url_to_fs

    files, root = url_to_fs(store)
    if files.exists(root):
        files.rm(root, recursive=True)


def _bodies(app: App) -> Iterator[tuple[str, bytes]]:
    return ((item.queue, item.body) for item in memory_of(app).sent)


def _sent_message(stored: tuple[str, bytes]) -> Message | None:
    queue, body = stored
    try:
        message = wire.decode(body, queue)
    except UndecodableError:
        return None  # somebody stored bytes of their own
    return None if message.generation or is_dead_letter_queue(queue) else message
