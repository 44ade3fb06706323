"""From a call of Celery's to a message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Annotated

import pytest
from pydantic import BeforeValidator

from cloudq import App, Context
from cloudq.compat.celery import Celery
from cloudq.compat.celery.bridge.mapping import message_for
from cloudq.compat.celery.bridge.reading import CeleryCall, readable
from cloudq.compat.celery.bridge.stays import Stays, Why
from cloudq.core import wire
from cloudq.drivers.memory import MemoryDriver
from cloudq.testing.clock import FakeClock
from tests.unit.compat.celery.bridge.messages import written

NOW = datetime(2026, 11, 29, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)


def slips(value: object) -> object:
    raise RuntimeError("a slip")


@pytest.fixture
def app():
    app = App("memory://", default_queue="work")

    @app.task("shop.add", queue="sums")
    def add(a: int, b: int, c: int = 3) -> None: ...

    @app.task("shop.bound", aliases=["shop.old"])
    def bound(context: Context, since: datetime, *, quick: bool = False) -> None: ...

    @app.task("shop.ordered", queue="sums.fifo")
    def ordered(a: int) -> None: ...

    @app.task("shop.fair", fairness_key="of-{a}")
    def fair(a: int) -> None: ...

    @app.task("shop.keyed", idempotency_key="sum-{a}")
    def keyed(a: int) -> None: ...

    clock = FakeClock(NOW)
    with app.using(MemoryDriver(clock=clock), clock=clock):
        yield app


def message(app, raw):
    return message_for(app, readable(raw).call())


def why_stays(app, raw):
    with pytest.raises(Stays) as stays:
        message(app, raw)
    return stays.value


def test_positional_arguments_are_named_by_the_signature(app):
    """Those by name too, and what is left out stays at its default."""
    made = message(app, written([1], {"b": 2}))
    assert ("shop.add", "sums", {"a": 1, "b": 2}) == (made.task, made.queue, made.payload)
    assert made == wire.decode(wire.encode(made), "sums")


def test_a_context_isnt_counted(app):
    """What Celery's `bind=True` filled in isn't an argument there either; an earlier name is the task's, too."""
    body = b'[[{"__type__": "datetime", "__value__": "2026-11-29T20:00:00+00:00"}], {"quick": true}, {}]'
    made = message(app, written(task="shop.old", body=body))
    assert ("shop.bound", {"since": "2026-11-29T20:00:00Z", "quick": True}) == (made.task, made.payload)


def test_it_is_named_after_celerys_id(app):
    """A repeat is the same message to a backend that de-duplicates, and another publication of that id isn't."""
    first, again = message(app, written()), message(app, written())
    other = message(app, written(tag="another"))
    assert "11111111-2222-3333-4444-555555555555" == first.id == other.id
    assert first.native_id() == again.native_id() is not None
    assert first.native_id() != other.native_id()


def test_an_app_in_celerys_words(app):
    """Its tasks keep their names and signatures: what `bind=True` fills in isn't an argument."""
    shop = Celery("shop", broker="memory://", set_as_current=False)

    @shop.task(bind=True, name="shop.charge", max_retries=3)
    def charge(self, order, to="ann"): ...

    made = message(shop.cloudq, written([7], task="shop.charge", headers={"retries": 2}))
    assert ({"order": 7}, 2) == (made.payload, made.attempt_base)


def test_a_key_that_the_task_declares_is_made(app):
    """The worker claims it; the message's native name is that of the publication all the same."""
    made = message(app, written([7], task="shop.keyed"))
    assert "sum-7" == made.idempotency_key
    assert made.native_id() != message(app, written([7], task="shop.keyed", tag="another")).native_id()


def test_a_group_of_sqs_is_a_key(app):
    """Of order where the task's queue keeps one, of fairness elsewhere; what the task declares goes first."""
    made = message(app, written(group="tenant-a"))
    assert ("tenant-a", None) == (made.fairness_key, made.ordering_key)
    made = message(app, written([1], task="shop.ordered", group="tenant-a"))
    assert (None, "tenant-a") == (made.fairness_key, made.ordering_key)
    assert "of-1" == message(app, written([1], task="shop.fair", group="tenant-a")).fairness_key
    assert message(app, written(group=7)).fairness_key is None


def test_the_group_of_a_fifo_queue_keeps_the_order(app):
    """That of the service, where the sender said none: kombu gives such messages one. Elsewhere it is of no use."""
    call = readable(written([1], task="shop.ordered")).call()
    assert "default" == message_for(app, call, "default").ordering_key
    call = readable(written([1], task="shop.ordered", group="tenant-a")).call()
    assert "tenant-a" == message_for(app, call, "default").ordering_key
    made = message_for(app, readable(written()).call(), "default")
    assert (None, None) == (made.fairness_key, made.ordering_key)


def test_attempts_are_counted_on(app):
    """What Celery tried twice begins with its third attempt."""
    assert 2 == message(app, written(headers={"retries": 2})).attempt_base


def test_eta_and_expires(app):
    """An ETA that is over is none; an expiry that is over is kept, as the task's worker decides what becomes of it."""
    made = message(app, written(headers={"eta": (NOW + HOUR).isoformat(), "expires": (NOW + 2 * HOUR).isoformat()}))
    assert (NOW + HOUR, NOW + 2 * HOUR) == (made.not_before, made.expires_at)
    late = message(app, written(headers={"eta": (NOW - HOUR).isoformat(), "expires": (NOW - HOUR).isoformat()}))
    assert (None, NOW - HOUR) == (late.not_before, late.expires_at)


def test_the_callers_headers_travel(app):
    """As headers of the message."""
    assert {"tenant": "a"} == message(app, written(headers={"tenant": "a"})).headers


@pytest.mark.parametrize(
    "raw",
    [
        written([1]),
        written([1, 2, 3, 4]),
        written([1, 2], {"a": 1}),
        written([1, "two"]),
        written([1, 2], {"d": 4}),
        written(body=b"[[NaN, 2], {}, {}]"),
    ],
    ids=map(str, count()),  # else the whole message
)
def test_arguments_that_dont_fit_stay(app, raw):
    """As they would be refused of a send."""
    assert Why.ARGUMENTS is why_stays(app, raw).why


def test_a_task_that_isnt_there_stays(app):
    """Its name imports nothing, and is cut where it is shown."""
    stays = why_stays(app, written(task="os.system" + "m" * 10_000))
    assert Why.UNKNOWN_TASK is stays.why
    assert len(stays.detail) < 500


def test_a_time_beyond_the_apps_longest_delay_stays(app):
    """It would be refused of a send as well."""
    assert Why.REFUSED is why_stays(app, written(headers={"eta": "2999-01-01T00:00:00+00:00"})).why


def test_code_of_the_apps_own_that_fails_keeps_its_message(app):
    """And ends nothing: the others are bridged."""

    @app.task("shop.slip")
    def slip(order: Annotated[int, BeforeValidator(slips)]) -> None: ...

    assert Why.ARGUMENTS is why_stays(app, written([7], task="shop.slip")).why


def test_a_call_shows_no_arguments():
    """Nor does a list of calls."""
    assert "7" not in repr(CeleryCall(id="i", task="t", args=[7], kwargs={}, tag="x"))
