"""Redriving, looking at and purging dead letters, over backends with and without dead letters of their own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.core.delivery import Delivery
from cloudq.core.driver import Ack, Final, Outgoing, SendResult, SettleResult
from cloudq.core.failure import Failure
from cloudq.core.message import Message
from cloudq.core.outcome import DeadLettered
from cloudq.core.plan import plan
from cloudq.core.processor import Processor
from cloudq.core.redriving import edits_of, times_redriven
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import OptionError, Throttled, UnsupportedError
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.testing import FakeClock
from cloudq.testing.profiles import cloud_tasks_like, service_bus_like, sqs_like

PROFILES = {"memory": None, "sqs": sqs_like, "cloud tasks": cloud_tasks_like, "service bus": service_bus_like}
NOW = timedelta(0)
LEASE = timedelta(minutes=5)


@pytest.fixture(params=PROFILES.values(), ids=PROFILES)
def driver(request):
    return Fragile(capabilities=request.param)


class Fragile(MemoryDriver):
    """A memory whose sends or dead-letter settlements can be made to fail or to be cut off; it logs their order."""

    def __init__(self, **options) -> None:
        self.clock = FakeClock()
        super().__init__(clock=self.clock, **options)
        self.log: list[str] = []
        self.refuse = False
        self.crash_before_deletion = False

    def send(self, outgoing: Sequence[Outgoing]) -> Sequence[SendResult]:
        if self.refuse:
            return [SendResult(error=Throttled("slow down"))] * len(outgoing)
        self.log += [f"store {item.id}" for item in outgoing]
        return super().send(outgoing)

    def dead_letters(self, queue: str):
        dead = super().dead_letters(queue)
        settle = dead.settle

        def logged(finals: Sequence[Final]) -> Sequence[SettleResult]:
            if self.crash_before_deletion:
                raise KeyboardInterrupt
            self.log += [f"settle {type(final.step).__name__}" for final in finals]
            return settle(finals)

        dead.settle = logged  # type: ignore[method-assign]  # what a user's kill -9 does at this place
        return dead


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """The back-off of transient errors doesn't wait here."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)


def receive(driver: MemoryDriver, queue: str) -> list[Delivery]:
    return list(driver.receive(queue, limit=10, wait=NOW, lease=LEASE))


def settle(driver: MemoryDriver, delivery: Delivery, outcome) -> None:
    steps = plan(delivery, outcome, driver.capabilities(delivery.queue), driver.clock.now())
    if steps.copies:
        assert [None] == [result.error for result in driver.send(steps.copies)]
    assert [None] == [result.error for result in driver.settle([Final(lease=delivery.lease, step=steps.final)])]


def die(driver: MemoryDriver, queue: str = "q") -> None:
    """Every message of the queue fails for good, as the Processor and the plan have it."""
    # Knows no task, and has no patience, so everything is poison.
    processor = Processor({}, clock=driver.clock, unknown_task_patience=timedelta(0))
    for delivery in receive(driver, queue):
        outcome = processor.process(delivery)
        assert isinstance(outcome, DeadLettered)
        settle(driver, delivery, outcome)


def store(driver: MemoryDriver, *bodies: bytes, queue: str = "q", key: str | None = None) -> None:
    items = [Outgoing(id=f"raw{n}", queue=queue, body=body, ordering_key=key) for n, body in enumerate(bodies)]
    assert all(result.error is None for item in items for result in driver.send([item]))


def a_dead(driver: MemoryDriver, **fields) -> CloudQueue:
    queue = CloudQueue("q", driver, clock=driver.clock)
    queue.send(Message(id="m", task="t", queue="q", **fields))
    die(driver)
    return queue


def test_two_producers_may_use_the_same_id(driver):
    """An id is unique within its source only: neither's copy swallows the other's (semantics 1)."""
    queue = CloudQueue("q", driver, clock=driver.clock)
    for source in ("/shop", "/warehouse"):
        queue.send(Message(id="1", task="t", queue="q", source=source))
    die(driver)
    assert 2 == queue.dead_letters.redrive().redriven
    messages = [delivery.message for delivery in receive(driver, "q")]
    assert ["/shop", "/warehouse"] == sorted(message.source for message in messages if message)


def test_a_forged_letter_under_an_id_does_not_swallow_the_true_one(driver):
    """What a body says of itself may be made up, its source too; the copies of both are stored."""
    queue = CloudQueue("q", driver, clock=driver.clock)
    for payload in ({"true": 1}, {"forged": 1}):
        queue.send(Message(id="1", task="t", queue="q", payload=payload))
    die(driver)
    assert 2 == queue.dead_letters.redrive().redriven
    messages = [delivery.message for delivery in receive(driver, "q")]
    assert ["forged", "true"] == sorted(name for message in messages if message for name in message.payload)


def test_a_redriven_message_has_all_its_attempts_again(driver):
    """Attempts from zero, due at once, a newer generation; everything else as it was (semantics 7)."""
    queue = a_dead(driver, payload={"x": 1}, headers={"a": "b"}, idempotency_key="k", attempt_base=4)
    [dead] = queue.dead_letters
    assert "unknown task" in dead.failure.reason
    assert (1, ()) == (queue.dead_letters.redrive().redriven, queue.dead_letters.redrive().errors)
    [delivery] = receive(driver, "q")
    assert 1 == delivery.attempt
    message = delivery.message
    assert ("m", {"x": 1}, {"a": "b"}, "k") == (message.id, message.payload, message.headers, message.idempotency_key)
    assert (0, None) == (message.attempt_base, message.not_before)
    assert message.generation > max(dead.failure.generation, 0)
    assert [] == list(queue.dead_letters)


def test_the_copy_is_stored_before_the_dead_letter_is_deleted(driver):
    """Copy before settle: the order of the calls."""
    queue = a_dead(driver)
    driver.log.clear()
    queue.dead_letters.redrive()
    assert ["store m", "settle Ack"] == driver.log


def test_what_cannot_be_stored_stays_a_dead_letter(driver):
    """Its error is told, and it can be redriven later."""
    queue = a_dead(driver)
    driver.refuse = True
    redriven = queue.dead_letters.redrive()
    assert (0, ["slow down"]) == (redriven.redriven, [str(error) for error in redriven.errors])
    assert [] == receive(driver, "q")
    assert 1 == len(list(queue.dead_letters))
    driver.refuse = False
    assert 1 == queue.dead_letters.redrive().redriven


def test_a_crash_between_storing_and_deleting_loses_nothing(driver):
    """Both are there afterwards; where the backend de-duplicates, a second redrive makes no second copy."""
    queue = a_dead(driver, idempotency_key="k")
    driver.crash_before_deletion = True
    with pytest.raises(KeyboardInterrupt):
        queue.dead_letters.redrive()
    driver.crash_before_deletion = False
    assert 1 == len(list(queue.dead_letters))
    assert 0 == queue.dead_letters.redrive().redriven, "its lease is still held by who crashed"
    driver.clock.advance(timedelta(minutes=3))
    assert 1 == queue.dead_letters.redrive().redriven
    assert [] == list(queue.dead_letters)
    copies = 1 if driver.capabilities("q").deduplication else 2
    assert copies == len(receive(driver, "q"))


def test_a_message_that_dies_again_and_again_is_never_swallowed(driver):
    """Each redrive and each dead-letter copy has a generation of its own, inside of the de-duplication window."""
    queue = a_dead(driver, idempotency_key="k")
    for _ in range(4):
        assert 1 == queue.dead_letters.redrive().redriven
        die(driver)
        assert 1 == len(list(queue.dead_letters))
    assert 1 == queue.dead_letters.redrive().redriven
    assert 1 == len(receive(driver, "q"))


def test_what_cannot_be_decoded_goes_back_byte_for_byte(driver):
    """Perhaps a newer worker understands it; dying again and again it is never swallowed either."""
    bodies = [b"\xff\x00 no json", b"{}"]
    store(driver, *bodies)
    queue = CloudQueue("q", driver, clock=driver.clock)
    for _ in range(4):
        die(driver)
        assert bodies == [dead.body for dead in queue.dead_letters]
        assert all(dead.message is None for dead in queue.dead_letters)
        assert 2 == queue.dead_letters.redrive().redriven
    assert bodies == [delivery.body for delivery in receive(driver, "q")]


def test_an_ordered_queue_keeps_the_group_of_what_has_no_key_of_its_own():
    """A producer that isn't cloudq may give the key to the service alone."""
    driver = Fragile(capabilities=sqs_like)
    queue = CloudQueue("q.fifo", driver, clock=driver.clock)
    foreign = b'{"specversion": "1.0", "id": "f", "source": "s", "type": "t"}'
    for body in (foreign, b"no json"):
        store(driver, body, queue="q.fifo", key="g")
        for _ in range(3):
            die(driver, "q.fifo")
            assert 1 == queue.dead_letters.redrive().redriven
        [delivery] = receive(driver, "q.fifo")
        assert "g" == delivery.group
        driver.settle([Final(lease=delivery.lease, step=Ack())])


def dead_ones(count: int) -> tuple[Fragile, CloudQueue, list[str]]:
    driver = Fragile(capabilities=sqs_like)
    queue = CloudQueue("q", driver, clock=driver.clock)
    queue.send_all([Message(id=str(n), task="t", queue="q") for n in range(count)])
    while driver.stats("q").ready:
        die(driver)
    return driver, queue, [dead.key for dead in queue.dead_letters]


def test_all_are_redriven_in_batches():
    """More than a page, each once."""
    driver, queue, keys = dead_ones(250)
    assert 250 == len(keys)
    assert 250 == queue.dead_letters.redrive().redriven
    assert 250 == driver.stats("q").ready
    assert [] == list(queue.dead_letters)


def test_some_are_redriven_by_key():
    """Twice the same key is one; a key that is gone is none."""
    driver, queue, keys = dead_ones(5)
    assert 2 == queue.dead_letters.redrive([keys[1], keys[3], keys[1], "99999"]).redriven
    assert [keys[0], keys[2], keys[4]] == [dead.key for dead in queue.dead_letters]
    assert ["1", "3"] == [delivery.id for delivery in receive(driver, "q")]


@pytest.mark.parametrize(("limit", "expected"), [(0, 0), (2, 2), (9, 5)])
def test_a_limit_bounds_a_redrive(limit, expected):
    """Oldest first, by key or all."""
    _, queue, keys = dead_ones(5)
    assert expected == queue.dead_letters.redrive(limit=limit).redriven
    _, queue, keys = dead_ones(5)
    assert expected == queue.dead_letters.redrive(keys, limit=limit).redriven
    assert keys[expected:] == [dead.key for dead in queue.dead_letters]


def test_an_empty_list_of_keys_is_none_and_not_all():
    """`redrive([])` and `purge([])` do nothing."""
    _, queue, keys = dead_ones(3)
    assert 0 == queue.dead_letters.redrive([]).redriven
    assert 0 == queue.dead_letters.purge([])
    assert keys == [dead.key for dead in queue.dead_letters]


@pytest.mark.parametrize("keys", ["12", b"12", [12], 12, ["1", None]])
def test_what_is_no_list_of_keys_is_refused(keys):
    """A text is a sequence of texts: `purge("12")` would delete 1 and 2."""
    _, queue, there = dead_ones(3)
    letters = queue.dead_letters
    for refused in (
        lambda: letters.purge(keys),
        lambda: letters.redrive(keys),
        lambda: letters.edit(lambda message: message, keys, by="ann"),
        lambda: letters.edit(lambda message: message, keys, by="ann", dry_run=True),
    ):
        with pytest.raises(OptionError, match="not "):
            refused()
    with pytest.raises(OptionError, match="a key is a text"):
        letters.get(12)
    assert there == [dead.key for dead in letters]


@pytest.mark.parametrize("option", [{"rate": "50/s"}, {"where": 5}, {"limit": "5"}, {"limit": 1.5}])
def test_an_option_of_another_type_is_refused(option):
    """With what it should be, before anything is sent."""
    _, queue, there = dead_ones(3)
    with pytest.raises(OptionError):
        queue.dead_letters.redrive(**option)
    assert there == [dead.key for dead in queue.dead_letters]


@pytest.mark.parametrize("option", [{"start": 0}, {"start": "1"}, {"limit": "5"}, {"limit": -1}])
def test_an_import_begins_at_a_line_that_there_is(option):
    """And has a whole number of them, none or more; nothing is sent then."""
    _, queue, _ = dead_ones(1)
    lines = list(queue.dead_letters.export())
    with pytest.raises(OptionError):
        queue.dead_letters.load(lines, by="ann", **option)
    assert 0 == queue.stats().ready


def test_dead_letters_are_looked_at_without_being_taken():
    """By page and by key."""
    _, queue, keys = dead_ones(5)
    dead = queue.dead_letters
    assert keys[:2] == [letter.key for letter in dead.peek(limit=2)]
    assert keys[2:4] == [letter.key for letter in dead.peek(limit=2, after=keys[1])]
    assert "3" == dead.get(keys[3]).message.id
    assert dead.get("99999") is None
    assert 5 == dead.redrive().redriven
    assert "DeadLetters('q')" == repr(dead)


def test_purged_ones_are_gone():
    """Some by key, or all."""
    _, queue, keys = dead_ones(5)
    assert 2 == queue.dead_letters.purge(keys[:2])
    assert 3 == queue.dead_letters.purge()
    assert [] == list(queue.dead_letters)


def test_a_deletion_that_fails_is_told():
    """The copy is stored, so it counts; the user hears that the dead letter may still be there."""
    driver, queue, _ = dead_ones(1)
    original = driver.dead_letters

    def late(name: str):
        dead = original(name)
        settle = dead.settle

        def slow(finals):
            driver.clock.advance(timedelta(hours=1))
            return settle(finals)

        dead.settle = slow
        return dead

    driver.dead_letters = late
    redriven = queue.dead_letters.redrive()
    assert (1, 1, 1) == (redriven.redriven, redriven.undeleted, len(redriven.errors))
    assert "lease" in str(redriven.errors[0])


def test_a_failure_that_the_backend_did_not_keep_is_no_obstacle(driver):
    """A dead letter without details (a service's own redrive policy moved it) is redriven as well."""
    queue = CloudQueue("q", driver, clock=driver.clock)
    queue.send(Message(id="m", task="t", queue="q"))
    [delivery] = receive(driver, "q")
    settle(driver, delivery, DeadLettered(reason="x", failure=Failure(reason="x")))
    assert 1 == queue.dead_letters.redrive().redriven


# ── conditions, edits, dry runs ──────────────────────────────────────────────────────────────────────────


def of_two_tasks(driver: Fragile) -> CloudQueue:
    queue = CloudQueue("q", driver, clock=driver.clock)
    queue.send_all([Message(id=str(n), task=f"t{n % 2}", queue="q", payload={"n": n}) for n in range(6)])
    die(driver)
    return queue


def test_a_condition_chooses_what_is_redriven(driver):
    """With a limit, the oldest of them; the others stay."""
    queue = of_two_tasks(driver)
    assert 2 == queue.dead_letters.redrive(where="task=t1", limit=2).redriven
    assert ["1", "3"] == [delivery.id for delivery in receive(driver, "q")]
    assert ["0", "2", "4", "5"] == sorted(dead.id for dead in queue.dead_letters)


def test_a_condition_chooses_what_is_purged(driver):
    """The number is told as it goes."""
    queue = of_two_tasks(driver)
    told: list[int] = []
    assert 3 == queue.dead_letters.purge(where="task=t1", progress=told.append)
    assert [3] == told
    assert ["0", "2", "4"] == sorted(dead.id for dead in queue.dead_letters)
    assert 1 == queue.dead_letters.purge(limit=1)


def test_a_dry_run_changes_nothing(driver):
    """It says how many there are."""
    queue = of_two_tasks(driver)
    done = queue.dead_letters.redrive(where="task=t1", dry_run=True)
    assert (0, 3) == (done.redriven, done.chosen)
    assert 6 == queue.dead_letters.purge(dry_run=True)
    assert 4 == queue.dead_letters.edit(lambda message: message, by="ann", limit=4, dry_run=True).chosen
    assert 6 == len(list(queue.dead_letters))
    assert [] == receive(driver, "q")


def test_keys_and_a_condition_are_not_mixed(driver):
    """What would be meant is anybody's guess."""
    queue = of_two_tasks(driver)
    for call in (queue.dead_letters.redrive, queue.dead_letters.purge):
        with pytest.raises(OptionError, match="both say"):
            call(["1"], where="task=t1")


def test_an_edited_message_runs_with_what_it_says_now(driver):
    """Attempts before it, counted as redriven, the edit noted; those that can't be edited stay, and are told."""
    queue = of_two_tasks(driver)

    def change(message: Message) -> Message:
        return replace(message, payload={**message.payload, "n": 40}) if message.id == "1" else message

    done = queue.dead_letters.edit(change, by="ann@host", where="task=t1")
    assert (1, 3, 2) == (done.redriven, done.chosen, len(done.errors))
    [delivery] = receive(driver, "q")
    assert ("1", {"n": 40}, 1) == (delivery.id, delivery.message.payload, times_redriven(delivery.message, None))
    assert ["ann@host"] == [edit.by for edit in edits_of(delivery.message)]
    assert 5 == len(list(queue.dead_letters))


def test_an_edit_is_not_swallowed_by_an_unchanged_copy(driver):
    """A redrive stored its copy and crashed; the edit of the same dead letter is another message to the backend."""
    queue = a_dead(driver, idempotency_key="k")
    driver.crash_before_deletion = True
    with pytest.raises(KeyboardInterrupt):
        queue.dead_letters.redrive()
    driver.crash_before_deletion = False
    driver.clock.advance(timedelta(minutes=3))
    assert 1 == queue.dead_letters.edit(lambda message: replace(message, payload={"n": 2}), by="ann").redriven
    assert [{}, {"n": 2}] == sorted((delivery.message.payload for delivery in receive(driver, "q")), key=len)


def test_a_redrive_is_not_swallowed_by_what_an_import_stored(driver):
    """Its copy died again and was purged: the dead letter that it was exported from is all that is left."""
    queue = a_dead(driver)
    (first,) = queue.dead_letters
    assert 1 == queue.dead_letters.load(list(queue.dead_letters.export()), by="ann").redriven
    die(driver)
    _, second = queue.dead_letters
    assert 1 == queue.dead_letters.purge([second.key])
    assert 1 == queue.dead_letters.redrive([first.key]).redriven
    assert 1 == len(receive(driver, "q"))


def test_the_count_of_redrives_survives_them(driver):
    """Through each death, also of what can't be decoded; groups show it."""
    queue = CloudQueue("q", driver, clock=driver.clock)
    queue.send(Message(id="m", task="t", queue="q"))
    store(driver, b"no json")
    for times in range(3):
        die(driver)
        assert [times, times] == [times_redriven(dead.message, dead.failure) for dead in queue.dead_letters]
        assert [times, times] == [group.redriven for group in queue.dead_letters.groups()]
        assert 2 == queue.dead_letters.redrive().redriven


def test_a_group_stays_the_same_over_redrives(driver):
    """Its fingerprint is a name that an operator can go on with."""
    queue = of_two_tasks(driver)
    [first, second] = queue.dead_letters.groups()
    queue.dead_letters.redrive()
    die(driver)
    assert {first.fingerprint, second.fingerprint} == {group.fingerprint for group in queue.dead_letters.groups()}


def test_a_queue_that_takes_nothing_refuses_edits_and_imports():
    """As it refuses redrives: before anything is looked at."""
    driver = Fragile(capabilities=lambda queue: replace(sqs_like(queue), copies=False))
    letters = CloudQueue("q", driver, clock=driver.clock).dead_letters
    for call in (
        letters.redrive,
        lambda: letters.edit(lambda message: message, by="ann"),
        lambda: letters.load([], by="ann"),
    ):
        with pytest.raises(UnsupportedError):
            call()
