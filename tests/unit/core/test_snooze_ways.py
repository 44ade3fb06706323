"""One table says how a snoozed delivery waits, and what `plan()` makes of a snooze is what the table says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from msgspec.structs import replace

from cloudq.app import App
from cloudq.azure_functions import handler as functions_handler
from cloudq.core import wire
from cloudq.core.capabilities import Capabilities
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.message import Message, is_ordered
from cloudq.core.outcome import Snoozed, Why
from cloudq.core.plan import plan
from cloudq.core.snooze_ways import TABLE, Place, Waits, Way, stopped_delay, worker_place
from cloudq.core.steps import Ack, Release
from cloudq.drivers.cloud_tasks import limits as cloud_tasks
from cloudq.drivers.memory import MemoryDriver
from cloudq.drivers.service_bus import limits as service_bus
from cloudq.drivers.sqs import limits as sqs
from cloudq.errors import ConfigurationError, UnsupportedError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = timedelta(minutes=6)
MAX_MESSAGE = 256 * 1024


def on_service_bus(queue: str) -> Capabilities:
    return service_bus.capabilities(queue, max_message=MAX_MESSAGE, dedup_window=None)


def through_a_function(queue: str) -> Capabilities:
    """As `azure_functions.Edge.capabilities`."""
    return replace(on_service_bus(queue), native_retry_delay=None, extendable=False, attempt_exact=False)


PLACES = {
    Place.WORKER_DELAYED: ("q", MemoryDriver().capabilities("q")),
    Place.WORKER_BARE: ("q", on_service_bus("q")),
    Place.WORKER_KEPT: ("q.fifo", on_service_bus("q.fifo")),
    Place.WORKER_COUNTED: ("q", sqs.capabilities("q")),
    Place.WORKER_COUNTED_ORDER: ("q.fifo", sqs.capabilities("q.fifo")),
    Place.PUSH: ("q", cloud_tasks.capabilities("q")),
    Place.LAMBDA: ("q", sqs.capabilities("q")),
    Place.LAMBDA_ORDER: ("q.fifo", sqs.capabilities("q.fifo")),
    Place.FUNCTIONS: ("q", through_a_function("q")),
}
WORKERS = [place for place in Place if place.name.startswith("WORKER")]


def delivered(queue: str) -> Delivery:
    message = Message(id="id-1", task="t", queue=queue, sent_at=NOW)
    lease = Lease(queue=queue, receipt=None, expires_at=NOW, ends=timedelta(minutes=2))
    group = "g" if is_ordered(queue) else None
    return Delivery.of(wire.encode(message), native_id="n", runs=3, deliveries=3, lease=lease, group=group)


def test_the_table_is_whole() -> None:
    """A cell for each place and reason, and only a worker holds anything, or stops asking."""
    assert set(TABLE) == set(Place)
    for place, row in TABLE.items():
        assert set(row) == set(Why)
        for waits in row.values():
            assert place in WORKERS or (waits.way is not Way.HOLD and not waits.stops)


@pytest.mark.parametrize("why", Why)
@pytest.mark.parametrize("place", Place)
def test_a_plan_waits_as_the_table_says(place: Place, why: Why) -> None:
    """A copy keeps the count of attempts; a release is one that isn't counted. What is held needs no plan."""
    waits = TABLE[place][why]
    if waits.way in {Way.HOLD, Way.REFUSED}:
        return
    queue, capabilities = PLACES[place]
    delivery = delivered(queue)
    delay = timedelta(0) if why is Why.UNSTARTED else stopped_delay(LATER, place) if waits.stops else LATER
    made = plan(delivery, Snoozed(delay=delay, why=why, reason="x"), capabilities, NOW)
    if waits.way is Way.COPY:
        [copy] = made.copies
        assert isinstance(made.final, Ack)
        assert wire.decode(copy.body, queue).attempt_base == delivery.attempt - 1
    elif place is not Place.PUSH:  # whose release is an answer: see `push.sources`
        assert not made.copies
        assert isinstance(made.final, Release)
        assert not made.final.counted


@pytest.mark.parametrize("place", WORKERS)
def test_a_worker_s_place_is_found_by_what_its_queue_can_do(place: Place) -> None:
    """Whichever driver it is."""
    assert worker_place(PLACES[place][1]) is place


def test_a_subscription_is_a_place_that_takes_no_copies() -> None:
    """Its messages can't be sent to it."""
    assert worker_place(on_service_bus("topic/Subscriptions/one")) is Place.WORKER_KEPT


@pytest.mark.parametrize("place", WORKERS)
def test_a_worker_stops_asking_only_while_the_store_is_down(place: Place) -> None:
    """Whatever else a message waits for, the others of its queue needn't."""
    assert {why for why, waits in TABLE[place].items() if waits.stops} == {Why.STORE_DOWN}


def test_what_is_refused_is_refused_at_the_start() -> None:
    """For whatever a message would wait: neither edge takes such a queue."""
    refused = {place for place, row in TABLE.items() if {waits.way for waits in row.values()} == {Way.REFUSED}}
    assert refused == {Place.PUSH_ORDER, Place.FUNCTIONS_ORDER}
    assert not any(waits.way is Way.REFUSED for place in set(Place) - refused for waits in TABLE[place].values())
    with pytest.raises(UnsupportedError):
        cloud_tasks.capabilities("q.fifo")
    with pytest.raises(ConfigurationError):
        functions_handler(App("servicebus://example.servicebus.windows.net"), queue="q.fifo")


def cell(waits: Waits) -> str:
    """As the page says it."""
    since = f" from the {waits.since}th time on" if waits.since else ""
    return f"{waits.way.value}{' and stop' if waits.stops else ''}{since}"


def test_the_page_says_what_the_table_says() -> None:
    """Row by row, reason by reason."""
    page = (Path(__file__).parents[3] / "docs/reference/waiting.md").read_text()
    assert f"| where it came in | {' | '.join(why.value for why in Why)} |" in page
    for place, row in TABLE.items():
        cells = [cell(row[why]) for why in Why]
        assert f"| {' | '.join([place.value, *cells])} |" in page
    for why in Why:
        assert f"\n| {why.value} | " in page
