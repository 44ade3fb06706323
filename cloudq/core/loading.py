"""Loading: what becomes of a delivery whose payload isn't there or can't be reached, and how a loop waits for one."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from datetime import datetime, timedelta
from typing import Final, TypeVar

from msgspec.structs import replace

from cloudq.core.delivery import Delivery
from cloudq.core.failure import Failure, words_of
from cloudq.core.outcome import DeadLettered, Outcome, Snoozed, Why
from cloudq.errors import ConfigurationError, PayloadLost, PayloadUnavailable, TimeLimitExceeded, UndecodableError

T = TypeVar("T")

# How long a payload may take to be fetched before the delivery is given back.
LOAD_LIMIT: Final = timedelta(minutes=5)
# How long a message waits for a store that can't be reached. Its payload isn't lost, but nobody may notice.
PATIENCE: Final = timedelta(days=1)
SHORTEST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(minutes=5)
_LATEST_DOUBLING: Final = 6


def not_loaded(delivery: Delivery, error: Exception, now: datetime) -> Outcome:
    """What becomes of a delivery whose payload could not be loaded.

    A payload that is lost, or for which no store is configured, is dead-lettered: only a person can help. Anything else
    passes by itself and is no fault of the message, so it uses no attempt; the waits grow with the time that it has
    lasted.
    """
    if isinstance(error, (PayloadLost, UndecodableError, ConfigurationError)):
        reason = f"payload: {words_of(error)}"
        return DeadLettered(reason=reason, failure=Failure.of(reason, error))
    before = delivery.failure
    since = (before.waiting_since if before is not None else None) or now
    if now - since > PATIENCE:
        reason = (
            f"payload: its store has been unavailable since {since.isoformat(timespec='seconds')}: {words_of(error)}"
        )
        return DeadLettered(reason=reason, failure=Failure.of(reason, error))
    if isinstance(error, TimeLimitExceeded):
        error = PayloadUnavailable("not fetched in time")
    reason = f"payload: {words_of(error)}"
    # Beside a message that is released on an ordered queue of SQS no failure is kept; its deliveries are counted.
    by_count = SHORTEST_WAIT * 2 ** min(max(0, delivery.without_end - 1), _LATEST_DOUBLING)
    longest = min(LONGEST_WAIT, max((now - since) / 2, by_count))
    delay = longest * random.uniform(0.75, 1.0)  # noqa: S311 - so that not all come back at once
    waiting = error if isinstance(error, PayloadUnavailable) else _unavailable(error)
    failure = replace(Failure.of(reason, waiting), waiting_since=since)
    return Snoozed(delay=delay, why=Why.PAYLOAD, reason=reason, failure=failure)


async def off_the_loop(function: Callable[[], T]) -> T:
    """The function's result, from a thread of its own: it blocks, and the loop has others to serve.

    A daemon thread: what never returns must not keep the process alive. Cancelled, its result is dropped.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # without an error there is a result

    def run() -> None:
        result: T | None = None
        failed: BaseException | None = None
        try:
            result = function()
        except StopIteration as error:  # which a future doesn't take
            failed = RuntimeError("the function raised StopIteration")
            failed.__cause__ = error
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited: else that would wait forever
            failed = error
        with suppress(RuntimeError):  # the loop has been closed, so nobody waits any more
            loop.call_soon_threadsafe(tell, result, failed)

    threading.Thread(target=copy_context().run, args=(run,), name="cloudq-load", daemon=True).start()
    return await future


def _unavailable(error: Exception) -> PayloadUnavailable:
    """An error of that type: what a person reads says that it is the store which fails, whatever was raised."""
    unavailable = PayloadUnavailable(f"{type(error).__name__}: {words_of(error)}", hint=getattr(error, "hint", None))
    unavailable.__cause__ = error
    return unavailable
