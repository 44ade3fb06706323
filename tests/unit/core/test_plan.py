"""`plan()`: each outcome on each kind of backend, natively or by a copy that is stored before anything is settled."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.driver import Ack, Capabilities, NativeDeadLetter, Outgoing, Release
from cloudq.core.failure import Failure
from cloudq.core.message import Message, native_copy_id
from cloudq.core.outcome import ACKED, Acked, DeadLettered, Expired, Outcome, Retried
from cloudq.core.plan import COPY_FAILED_DELAY, ZERO, Plan, outgoing, plan
from cloudq.errors import BackendError, MessageTooLarge

LAST_GENERATION = 2**31 - 1  # after it they begin anew
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LONGER = timedelta(minutes=10)

# The backends of the design, as far as the rules depend on them.
SQLITE = Capabilities(
    max_batch=100, max_body=10**6, native_dead_letter=True, native_retry_delay=timedelta.max, attempt_exact=True
)
SQS = Capabilities(max_batch=10, max_body=10**6, native_retry_delay=MINUTE, max_delay=timedelta(minutes=15))
SQS_FIFO = replace(SQS, ordering=True, native_retry_delay=timedelta(hours=12), max_delay=ZERO)
SERVICE_BUS = Capabilities(max_batch=100, max_body=10**6, native_dead_letter=True, native_retry_delay=ZERO)
CLOUD_TASKS = Capabilities(max_batch=1, max_body=10**6)

BEFORE = Failure(reason="the last time", attempts=1)
FAILURE = Failure(reason="boom", attempts=3, generation=4)
MESSAGE = Message(
    id="id-1", task="t", queue="original", payload={"a": 1}, idempotency_key="key", fairness_key="tenant",
    attempt_base=2, generation=4, extensions={"subject": "s"},
)  # fmt: skip


def delivered(message: Message | None = MESSAGE, *, group: str | None = None, attempt: int = 3) -> Delivery:
    return Delivery(
        queue="q.fifo" if group else "q",
        id=message.id if message else "native-1",
        body=wire.encode(message) if message else b"\xff",
        message=message,
        undecodable=None if message else "no JSON",
        attempt=attempt,
        deliveries=5,
        lease=Lease(queue="q", receipt=None, expires_at=NOW + MINUTE, ends=MINUTE),
        group=group,
        failure=BEFORE,
    )


RETRIED = Retried(delay=LONGER, reason="boom", failure=FAILURE)
AT_ONCE = Retried(delay=ZERO, reason="boom", failure=FAILURE)
SNOOZED = Retried(delay=LONGER, reason="claimed by somebody else", counted=False)
SNOOZED_SHORTLY = Retried(delay=MINUTE, reason="claimed by somebody else", counted=False)
DEAD = DeadLettered(reason="boom", failure=FAILURE)

STAY = Release(delay=COPY_FAILED_DELAY, failure=FAILURE)


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("outcome", [RETRIED, SNOOZED])
def test_what_takes_no_copies_is_released(outcome: Retried) -> None:
    """On a queue that nothing can be sent to, a retry is a release, for as long as it can be."""
    subscription = replace(SERVICE_BUS, copies=False, native_retry_delay=MINUTE)
    made = plan(delivered(), outcome, subscription, NOW)
    assert made.copies == ()
    assert isinstance(made.final, Release)
    assert made.final.delay == MINUTE


@pytest.mark.parametrize("capabilities", [SQLITE, SQS, SQS_FIFO, SERVICE_BUS, CLOUD_TASKS])
def test_what_is_done_is_acked_everywhere(capabilities: Capabilities) -> None:
    """No copy, one ack."""
    assert Plan(final=Ack()) == plan(delivered(), ACKED, capabilities, NOW)


@pytest.mark.parametrize(
    ("capabilities", "outcome", "expected"),
    [
        (SQLITE, RETRIED, Release(delay=LONGER, failure=FAILURE)),
        (SQLITE, SNOOZED, Release(delay=LONGER, counted=False, failure=BEFORE)),
        (SQLITE, DEAD, NativeDeadLetter(failure=FAILURE)),
        (SQS, AT_ONCE, Release(failure=FAILURE)),
        (SQS, Retried(delay=MINUTE, reason="r"), Release(delay=MINUTE, failure=BEFORE)),
        (SQS, Retried(delay=-MINUTE, reason="r"), Release(failure=BEFORE)),
        (SERVICE_BUS, AT_ONCE, Release(failure=FAILURE)),
        (SERVICE_BUS, DEAD, NativeDeadLetter(failure=FAILURE)),
    ],
)
def test_what_the_backend_can_do_is_done_natively(
    capabilities: Capabilities, outcome: Outcome, expected: Release | NativeDeadLetter
) -> None:
    """Within its capabilities nothing is copied; the latest failure that is known stays with the message."""
    assert Plan(final=expected) == plan(delivered(), outcome, capabilities, NOW)


@pytest.mark.parametrize(
    ("capabilities", "outcome", "attempts", "delay"),
    [
        (SQS, RETRIED, 3, LONGER),
        (SQS, replace(RETRIED, delay=timedelta(hours=1)), 3, timedelta(minutes=15)),
        (SQS, SNOOZED, 2, LONGER),
        (SQS, SNOOZED_SHORTLY, 2, MINUTE),
        (SERVICE_BUS, RETRIED, 3, LONGER),
        (SERVICE_BUS, SNOOZED, 2, LONGER),
        (CLOUD_TASKS, AT_ONCE, 3, ZERO),
        (CLOUD_TASKS, RETRIED, 3, LONGER),
        (replace(SQLITE, native_retry_delay=MINUTE), SNOOZED, 2, LONGER),
    ],
)
def test_what_the_backend_cannot_do_is_a_copy_of_the_next_generation(
    capabilities: Capabilities, outcome: Retried, attempts: int, delay: timedelta
) -> None:
    """A retry beyond the native delay, or one that isn't counted: stored with what is due and done, then acked."""
    made = plan(delivered(), outcome, capabilities, NOW)
    due = NOW + outcome.delay if outcome.delay else None
    copy = replace(MESSAGE, queue="q", attempt_base=attempts, generation=5, not_before=due)
    expected = Outgoing(
        id="id-1", queue="q", body=wire.encode(copy), delay=delay,
        native_id=native_copy_id(MESSAGE.source, "t", "id-1", 5), failure=outcome.failure or BEFORE,
    )  # fmt: skip
    assert ((expected,), Ack()) == (made.copies, made.final)


@pytest.mark.parametrize(
    ("capabilities", "outcome", "expected"),
    [
        (SQS, RETRIED, STAY),
        (SQS, SNOOZED, Release(delay=COPY_FAILED_DELAY, counted=False, failure=BEFORE)),
        (SQS, DEAD, STAY),
        (SERVICE_BUS, RETRIED, replace(STAY, delay=ZERO)),
        (CLOUD_TASKS, RETRIED, replace(STAY, delay=ZERO)),
        (CLOUD_TASKS, DEAD, replace(STAY, delay=ZERO)),
    ],
)
def test_when_the_copy_cannot_be_stored_the_message_stays(
    capabilities: Capabilities, outcome: Outcome, expected: Release
) -> None:
    """It comes back after a while, with its latest failure; a delivery that didn't count still doesn't."""
    assert expected == plan(delivered(), outcome, capabilities, NOW).on_copy_failure


@pytest.mark.parametrize(
    ("capabilities", "outcome", "expected"),
    [
        (SQS_FIFO, RETRIED, Release(delay=LONGER, failure=FAILURE)),
        (SQS_FIFO, SNOOZED, Release(delay=LONGER, counted=False, failure=BEFORE)),
        (replace(SQS_FIFO, native_retry_delay=MINUTE), RETRIED, Release(delay=MINUTE, failure=FAILURE)),
        (replace(SERVICE_BUS, ordering=True), RETRIED, Release(failure=FAILURE)),
        (replace(CLOUD_TASKS, ordering=True), RETRIED, Release(failure=FAILURE)),
    ],
)
def test_an_ordered_message_is_retried_in_its_place(
    capabilities: Capabilities, outcome: Retried, expected: Release
) -> None:
    """A copy would go to the end of its order, so it is released, for as long as the backend can."""
    assert Plan(final=expected) == plan(delivered(group="k"), outcome, capabilities, NOW)


@pytest.mark.parametrize(
    ("message", "group", "failure", "queue", "task", "generation"),
    [
        (MESSAGE, None, FAILURE, "q-dlq", "t", 5),
        (MESSAGE, "k", FAILURE, "q-dlq.fifo", "t", 5),
        (MESSAGE, None, Failure(reason="made by hand"), "q-dlq", "t", 5),
        (MESSAGE, None, Failure(reason="later", generation=7), "q-dlq", "t", 8),
        (None, None, Failure(reason="undecodable"), "q-dlq", "", 1),
    ],
)
def test_a_dead_letter_is_copied_with_its_body_unchanged(
    *, message: Message | None, group: str | None, failure: Failure, queue: str, task: str, generation: int
) -> None:
    """To the dead-letter queue, with the reason beside it, under a name of its own; then acked."""
    delivery = delivered(message, group=group)
    made = plan(delivery, DeadLettered(reason="boom", failure=failure), replace(SQS, fairness=True), NOW)
    source = message.source if message else ""
    name = f"{delivery.id} {hashlib.sha256(delivery.body).hexdigest()}"
    expected = Outgoing(
        id=delivery.id, queue=queue, body=delivery.body,
        native_id=native_copy_id(source, task, name, generation),
        ordering_key=group, fairness_key="tenant" if message else None, failure=replace(failure, generation=generation),
    )  # fmt: skip
    assert ((expected,), Ack()) == (made.copies, made.final)


def test_dead_letters_of_one_name_and_different_bodies_do_not_swallow_each_other() -> None:
    """A body can say of itself whatever its sender likes; the same one, handed over again, is one letter."""
    dead = DeadLettered(reason="boom", failure=FAILURE)
    one, other = MESSAGE, replace(MESSAGE, payload={"forged": True})
    names = [plan(delivered(message), dead, SQS, NOW).copies[0].native_id for message in (one, one, other)]
    assert names[0] == names[1] != names[2]


def test_copies_keep_what_other_programs_set_beside_the_body() -> None:
    """For a retry and for a dead letter, as the driver has it; what has nothing keeps nothing."""
    for foreign in ({"tenant": {"StringValue": "acme"}}, None):
        delivery = replace(delivered(), foreign=foreign)
        for outcome in (RETRIED, SNOOZED, DEAD):
            (copy,) = plan(delivery, outcome, SQS, NOW).copies
            assert foreign == copy.foreign


def test_what_cannot_be_decoded_is_released_when_it_is_to_be_retried() -> None:
    """There is nothing to write attempts and time into."""
    assert Release(delay=MINUTE, failure=FAILURE) == plan(delivered(None), RETRIED, SQS, NOW).final


@pytest.mark.parametrize("capabilities", [SQLITE, SQS, CLOUD_TASKS])
@pytest.mark.parametrize("group", [None, "k"])
def test_no_delay_is_too_long(capabilities: Capabilities, group: str | None) -> None:
    """What would be due after the end of the calendar is due at its end."""
    made = plan(delivered(group=group), replace(RETRIED, delay=timedelta.max), capabilities, NOW)
    end = datetime.max.replace(tzinfo=UTC)
    if made.copies:
        assert end == wire.decode(made.copies[0].body, "q").not_before
    else:
        assert isinstance(made.final, Release)
        assert NOW + made.final.delay <= end


# ── outgoing ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("due", "longest", "delay"),
    [
        (None, None, ZERO),
        (NOW - MINUTE, None, ZERO),
        (NOW + LONGER, None, LONGER),
        (NOW + LONGER, MINUTE, MINUTE),
        (NOW + LONGER, ZERO, ZERO),
    ],
)
def test_a_message_goes_out_with_as_much_delay_as_the_backend_takes(
    due: datetime | None, longest: timedelta | None, delay: timedelta
) -> None:
    """The rest of the way it hops; the time it is due stays in the body."""
    message = replace(MESSAGE, not_before=due)
    made = outgoing(message, replace(SQS, max_delay=longest), NOW)
    assert (delay, message) == (made.delay, wire.decode(made.body, "q"))


@pytest.mark.parametrize("extendable", [True, False])
def test_a_copy_is_never_given_a_time_limit_that_would_be_refused(extendable: bool) -> None:
    """Whatever another producer wrote into its message, its copies can be stored: otherwise it would spin."""
    queue = replace(SQS, extendable=extendable, max_lease=timedelta(minutes=30))
    limits = [None, timedelta(minutes=5), timedelta(hours=2)]
    given = [outgoing(replace(MESSAGE, time_limit=limit), queue, NOW).time_limit for limit in limits]
    assert [*limits[:2], timedelta(hours=2) if extendable else timedelta(minutes=30)] == given


@pytest.mark.parametrize("ordering", [True, False])
@pytest.mark.parametrize("fairness", [True, False])
def test_keys_are_given_only_to_backends_that_know_them(ordering: bool, fairness: bool) -> None:
    """A driver is never given an ordering or fairness key that its queue has no use for."""
    message = replace(MESSAGE, ordering_key="order")
    made = outgoing(message, replace(SQS, ordering=ordering, fairness=fairness), NOW, failure=FAILURE)
    expected = ("order" if ordering else None, "tenant" if fairness else None, message.native_id(), FAILURE)
    assert expected == (made.ordering_key, made.fairness_key, made.native_id, made.failure)


@pytest.mark.parametrize("message", [MESSAGE, None])
def test_a_fairness_key_that_the_backend_has_stands_above_the_body_s(message: Message | None) -> None:
    """Another program gave it to the backend alone; so every copy is shared by what the message is shared by."""
    delivery = replace(delivered(message), fairness_key="theirs")
    fair, dead = replace(SQS, fairness=True), DeadLettered(reason="boom", failure=FAILURE)
    outcomes: list[Outcome] = [dead, Retried(delay=LONGER, reason="later")] if message else [dead]
    for outcome in outcomes:
        assert ["theirs"] == [copy.fairness_key for copy in plan(delivery, outcome, fair, NOW).copies]
        assert [None] == [copy.fairness_key for copy in plan(delivery, outcome, SQS, NOW).copies]


# ── what holds of every plan ─────────────────────────────────────────────────────────────────────────────

delays = st.sampled_from([ZERO, timedelta(microseconds=1), MINUTE, LONGER, timedelta(days=30), timedelta.max])
native_delays = st.none() | delays
failures = st.none() | st.builds(Failure, reason=st.just("r"), generation=st.integers(0, 9))
all_capabilities = st.builds(
    Capabilities,
    max_batch=st.just(10),
    max_body=st.just(10**6),
    max_delay=native_delays,
    max_lease=native_delays,
    extendable=st.booleans(),
    native_dead_letter=st.booleans(),
    native_retry_delay=native_delays,
    ordering=st.booleans(),
    fairness=st.booleans(),
    deduplication=native_delays,
    attempt_exact=st.booleans(),
    fenced_settle=st.booleans(),
)
some_messages = st.none() | st.builds(
    Message,
    id=st.sampled_from(["a", "b"]),
    task=st.just("t"),
    queue=st.just("elsewhere"),
    idempotency_key=st.none() | st.just("k"),
    ordering_key=st.none() | st.just("o"),
    fairness_key=st.none() | st.just("f"),
    not_before=st.none() | st.sampled_from([NOW - MINUTE, NOW + LONGER]),
    attempt_base=st.integers(0, 5),
    generation=st.integers(0, 2**31 - 1),
)


@st.composite
def deliveries(draw: st.DrawFn) -> Delivery:
    drawn = delivered(
        draw(some_messages),
        group=draw(st.none() | st.just("k")),
        attempt=draw(st.integers(0, 9)),
    )
    return replace(drawn, failure=draw(failures), fairness_key=draw(st.none() | st.just("theirs")))


outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.just(ACKED),
    st.just(Expired(reason="expired 4 min ago")),
    st.builds(Retried, delay=delays | st.just(-MINUTE), reason=st.just("r"), counted=st.booleans(), failure=failures),
    st.builds(DeadLettered, reason=st.just("r"), failure=failures.filter(bool)),
)


@given(deliveries(), outcomes, all_capabilities)
@settings(max_examples=200, deadline=None)
def test_what_holds_of_every_plan(delivery: Delivery, outcome: Outcome, capabilities: Capabilities) -> None:
    """Whatever the outcome, the delivery and the backend: never a loss, never a spin, never beyond the backend."""
    holds_of_a_plan(delivery, outcome, capabilities)


@pytest.mark.slow
@given(deliveries(), outcomes, all_capabilities)
@settings(max_examples=2_000, deadline=None)
def test_what_holds_of_very_many_plans(delivery: Delivery, outcome: Outcome, capabilities: Capabilities) -> None:
    """As above, for long."""
    holds_of_a_plan(delivery, outcome, capabilities)


def holds_of_a_plan(delivery: Delivery, outcome: Outcome, capabilities: Capabilities) -> None:
    made = plan(delivery, outcome, capabilities, NOW)

    assert isinstance(made.final, (Ack, Release, NativeDeadLetter))
    # Gone only if it is done, or somewhere else.
    assert isinstance(made.final, Ack) == (isinstance(outcome, Acked) or len(made.copies) > 0)
    assert len(made.copies) <= 1
    # And not gone if it couldn't be put there.
    assert isinstance(made.on_copy_failure, Release)
    assert isinstance(made.final, NativeDeadLetter) <= capabilities.native_dead_letter
    assert isinstance(made.final, NativeDeadLetter) <= isinstance(outcome, DeadLettered)

    for step in (made.final, made.on_copy_failure):
        if isinstance(step, Release):
            assert step.delay >= ZERO
            assert step.delay <= (capabilities.native_retry_delay or ZERO)

    if isinstance(outcome, Retried) and (delivery.group is not None or delivery.message is None):
        assert () == made.copies
    for copy in made.copies:
        holds_of_a_copy(copy, delivery, outcome, capabilities)


def holds_of_a_copy(copy: Outgoing, delivery: Delivery, outcome: Outcome, capabilities: Capabilities) -> None:
    assert ZERO <= copy.delay
    assert capabilities.max_delay is None or copy.delay <= capabilities.max_delay
    assert copy.id == delivery.id
    assert copy.native_id is not None
    message = delivery.message
    if message is not None:
        assert copy.native_id != message.native_id()
    assert copy.fairness_key is None or capabilities.fairness
    if isinstance(outcome, DeadLettered):
        assert copy.body == delivery.body
        assert copy.failure is not None
        latest = max(outcome.failure.generation, message.generation if message else 0)
        assert copy.failure.generation == (1 if latest == LAST_GENERATION else latest + 1)
    else:
        assert isinstance(outcome, Retried)
        assert message is not None
        read = json_of(copy)
        assert (1 if message.generation == LAST_GENERATION else message.generation + 1) == read["generation"]
        assert max(0, delivery.attempt - (not outcome.counted)) == read.get("attemptbase", 0)
        assert "q" == copy.queue == read["queue"]
        assert copy.failure is (outcome.failure or delivery.failure)


def json_of(copy: Outgoing) -> dict[str, object]:
    return msgspec.json.decode(copy.body, type=dict[str, object])


@pytest.mark.parametrize("counted", [True, False])
def test_a_retry_that_is_too_large_for_a_copy_goes_by_visibility(counted: bool) -> None:
    """It stays away for as long as it is to, if the queue can; any other error says nothing about the next try."""
    able = replace(SQS, max_release=timedelta(hours=12))
    made = plan(delivered(), Retried(delay=LONGER, reason="boom", counted=counted, failure=FAILURE), able, NOW)
    too_large = MessageTooLarge("too large")
    assert Release(delay=LONGER, counted=counted, failure=FAILURE) == made.instead(too_large)
    assert Release(delay=COPY_FAILED_DELAY, counted=counted, failure=FAILURE) == made.instead(BackendError("down"))
    far = plan(delivered(), Retried(delay=timedelta(days=9), reason="boom", failure=FAILURE), able, NOW)
    assert Release(delay=timedelta(hours=12), failure=FAILURE) == far.instead(too_large)
    bounded = plan(delivered(), RETRIED, SQS, NOW)
    assert Release(delay=MINUTE, failure=FAILURE) == bounded.instead(too_large)


def test_a_dead_letter_that_is_too_large_stays_a_while() -> None:
    """The service itself moves it once it was received often enough."""
    made = plan(delivered(), DeadLettered(reason="boom", failure=FAILURE), SQS, NOW)
    assert Release(delay=COPY_FAILED_DELAY, failure=FAILURE) == made.instead(MessageTooLarge("too large"))
