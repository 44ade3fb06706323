"""Receipts, and cancelling by an app."""

from __future__ import annotations

import asyncio
import warnings
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cloudq
from cloudq import App, BackendError, OptionError, Sent, UnsupportedError
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.tasks.receipts import read_receipt, receipt_of
from cloudq.testing import in_memory, run_all
from cloudq.testing.profiles import cloud_tasks_like, service_bus_like, sqs_like

HOUR = timedelta(hours=1)
ALMOST = st.text(alphabet="cq1.ABCDabcd012-_=", max_size=20).map("cq1.".__add__)


@given(st.text(), st.text())
def test_a_receipt_says_what_it_was_made_of(queue: str, handle: str) -> None:
    """Whatever the names; and it can be typed and stored anywhere."""
    try:
        (queue + handle).encode()
    except UnicodeEncodeError:
        return
    receipt = receipt_of(queue, handle)
    assert receipt.replace("-", "").replace("_", "").replace(".", "").isalnum()
    assert receipt.isascii()
    read = read_receipt(receipt)
    assert (queue, handle, None) == (read.queue, read.native, read.noted)
    read = read_receipt(receipt_of(queue, handle, "id-1"))
    assert (queue, handle, "id-1") == (read.queue, read.native, read.noted)


@given(st.text() | st.binary() | st.integers() | ALMOST)
def test_anything_else_is_refused(given: object) -> None:
    """As an option's error, with what to do."""
    with pytest.raises(OptionError, match="receipt"):
        read_receipt(given)  # type: ignore[arg-type]


def app_with(ran: list[object]) -> App:
    app = App("memory://")

    @app.task("t")
    def t(n: int = 0) -> None:
        ran.append(n)

    return app


@pytest.mark.parametrize("delay", [timedelta(0), HOUR])
def test_what_was_cancelled_does_not_run(delay: timedelta) -> None:
    """By the `Sent` or by its receipt; the others do."""
    ran: list[object] = []
    with in_memory(app_with(ran)) as app:
        first, second, third = (app.send("t", {"n": n}, delay=delay) for n in range(3))
        assert app.cancel(first) is True
        assert app.cancel(third.receipt or "") is True
        assert app.cancel(first) is False
        run_all(app)
        assert ([1], False) == (ran, app.cancel(second))


def test_every_way_of_sending_gives_a_receipt() -> None:
    """One message or many, sync or async."""
    ran: list[object] = []
    with in_memory(app_with(ran)) as app:
        task = app.tasks["t"]

        async def asent() -> list[Sent]:
            return [await app.asend("t"), *await app.asend_many([task.call(1), task.call(2)])]

        sent = [*app.send_many([task.call(3), task.call(4)]), task.send(5), *asyncio.run(asent())]
        assert all(map(app.cancel, sent))
        run_all(app)
    assert [] == ran


def test_a_duplicate_has_no_receipt() -> None:
    """The message that is there is another send's, which may still be wanted."""
    with in_memory(app_with([])) as app:
        first = app.send("t", idempotency_key="k")
        second = app.send("t", idempotency_key="k")
        assert (True, None) == (second.duplicate, second.receipt)
        with pytest.raises(UnsupportedError, match="no receipt"):
            app.cancel(second)
        assert app.cancel(first) is True


def test_a_cancelled_key_stays_taken() -> None:
    """Within the window; after it, the key is free."""
    with in_memory(app_with([])) as app:
        assert app.cancel(app.send("t", idempotency_key="k")) is True
        assert app.send("t", idempotency_key="k").duplicate is True
        app.clock.advance(timedelta(minutes=6))  # type: ignore[attr-defined]
        assert app.send("t", idempotency_key="k").duplicate is False


@pytest.mark.parametrize(
    ("profile", "at_once", "later"),
    [(sqs_like, False, False), (service_bus_like, False, True), (cloud_tasks_like, False, True), (None, True, True)],
)
def test_backends_differ_in_what_can_be_cancelled(profile, at_once: bool, later: bool) -> None:
    """Where it can't there is no receipt."""
    with in_memory(app_with([]), capabilities=profile) as app:
        assert at_once is (app.send("t").receipt is not None)
        assert later is (app.send("t", delay=HOUR).receipt is not None)


def test_a_backend_that_cannot_is_refused() -> None:
    """Also with a receipt that another backend gave."""
    with in_memory(app_with([]), capabilities=sqs_like) as app, pytest.raises(UnsupportedError, match="take back"):
        app.cancel(receipt_of("default", "7-x"))


def test_a_receipt_of_another_backend_is_refused() -> None:
    """One whose handle this driver doesn't know is no message that is gone."""
    with in_memory(app_with([])) as app, pytest.raises(OptionError, match="another backend"):
        app.cancel(receipt_of("default", "12@example.servicebus.windows.net/default"))


def test_a_receipt_outlives_its_process(tmp_path) -> None:
    """Another app on the same file cancels by the stored text; on another file there is nothing to cancel."""
    url = f"sqlite:///{tmp_path / 'one.db'}"
    sender, canceller, other = App(url), App(url), App(f"sqlite:///{tmp_path / 'two.db'}")
    receipt = sender.send("t", delay=HOUR).receipt or ""
    others = other.send("t", delay=HOUR)
    assert [False, True, False] == [app.cancel(receipt) for app in (other, canceller, canceller)]
    assert other.cancel(others) is True
    for app in (sender, canceller, other):
        app.close()


def test_in_eager_mode_it_is_always_too_late() -> None:
    """The task ran when it was sent; the code under test gets a receipt all the same."""
    ran: list[object] = []
    app = app_with(ran)
    with app.eager():
        sent = app.send("t")
        many = app.send_many([app.tasks["t"].call(1)])
        assert sent.receipt is not None
        assert [False, False] == [app.cancel(one) for one in (sent, *many)]
        with pytest.raises(OptionError):
            app.cancel("nonsense")
    assert [0, 1] == ran
    assert not app.is_open


def test_async_code_does_not_block_its_loop() -> None:
    """`acancel` cancels; `cancel` on a loop warns, and names it."""
    with in_memory(app_with([])) as app:
        sent = [app.send("t") for _ in range(2)]

        async def both() -> list[bool]:
            first = await app.acancel(sent[0])
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                second = app.cancel(sent[1])
            assert "await acancel" in str(caught[0].message)
            return [first, second]

        assert [True, True] == asyncio.run(both())


def test_the_default_app_cancels_too() -> None:
    """By the functions at module level."""
    from cloudq.default_app import default

    with in_memory(default):
        assert cloudq.cancel(cloudq.send("anything.at_all")) is True
        assert asyncio.run(cloudq.acancel(cloudq.send("anything.at_all"))) is True


def test_an_error_of_the_backend_comes_through() -> None:
    """It is neither `True` nor `False`."""

    class Broken(MemoryDriver):
        def cancel(self, queue: str, handle: str) -> bool:
            raise BackendError("down")

    app = app_with([])
    with app.using(Broken()), pytest.raises(BackendError, match="down"):
        app.cancel(app.send("t"))


def test_copies_have_no_handles() -> None:
    """Only what a user sends is to be cancellable: a retry's copy takes no dearer call for that."""
    driver = MemoryDriver()
    app = app_with([])
    with app.using(driver):
        queue = app.queue("default")
        app.send("t")
        (sent,) = driver.sent
        assert sent.cancellable
        (result,) = queue.store_copies([cloudq_copy(sent)])
    assert result.receipt is None


def cloudq_copy(sent):
    from cloudq.core.driver import Outgoing

    return Outgoing(id=sent.id, queue=sent.queue, body=sent.body, native_id="copy")


def test_sqlite_cancels_what_was_given_back_unstarted(tmp_path) -> None:
    """A release that uses no attempt means that nobody began it."""
    from cloudq.core.driver import Final, Release

    driver = SQLiteDriver(tmp_path / "q.db")
    app = app_with([])
    with app.using(driver):
        sent = app.send("t")
        (delivery,) = driver.receive("default", limit=1, wait=timedelta(0), lease=HOUR)
        assert app.cancel(sent) is False
        driver.settle([Final(lease=delivery.lease, step=Release(counted=False))])
        assert app.cancel(sent) is True
    driver.close()
