"""The registry of runs: nothing runs beside its own unfinished run in one process."""

from __future__ import annotations

import os
import threading
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from cloudq.app import App
from cloudq.core import wire
from cloudq.core.delivery import Delivery, Lease
from cloudq.core.failure import Failure
from cloudq.core.message import LINEAGE, Message
from cloudq.core.outcome import DeadLettered
from cloudq.running.runs import FIRST_AWAY, HUNG_AFTER_LEASES, LONGEST_AWAY, Run, Runs, runs_of
from cloudq.testing.clock import FakeClock

LEASE = timedelta(seconds=120)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def runs(clock: FakeClock) -> Runs:
    return Runs(clock)


def delivery(
    clock: FakeClock,
    id: str = "m1",  # noqa: A002 - the message's
    *,
    queue: str = "q",
    source: str = "cloudq",
    group: str | None = None,
    time_limit: timedelta | None = None,
    sent_at: datetime | None = None,
    deliveries: int = 1,
    copy: str | None = None,
) -> Delivery:
    message = Message(id=id, task="t", queue=queue, source=source, time_limit=time_limit, sent_at=sent_at)
    lease = Lease(queue=queue, receipt=object(), expires_at=clock.now() + LEASE, ends=clock.elapsed() + LEASE)
    return Delivery.of(
        wire.encode(message), native_id="n", runs=1, deliveries=deliveries, copy=copy, lease=lease, group=group
    )


def copied(one: Delivery, message: Message) -> Delivery:
    """The first delivery of a copy that was made of one: another copy to the backend, counted anew."""
    return Delivery.of(wire.encode(message), native_id="n2", runs=1, deliveries=1, copy="c2", lease=one.lease)


class Waiter:
    """Begins runs, and remembers what it is told."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.told: list[bool] = []

    def begin(self, what: Delivery, lost: threading.Event | None = None) -> Run | None:
        return self.runs.begin(what, lost=lost or threading.Event(), lease=LEASE, ended=self.told.append)


def test_a_message_does_not_run_beside_itself(clock: FakeClock, runs: Runs) -> None:
    """A redelivery of what runs may not begin; once the first run failed, it may."""
    waiter = Waiter(runs)
    first = waiter.begin(delivery(clock))
    assert first is not None
    assert waiter.begin(delivery(clock)) is None
    assert [] == waiter.told
    runs.end(first, succeeded=False)
    assert [False] == waiter.told
    assert waiter.begin(delivery(clock)) is not None


def test_a_redelivery_of_what_succeeded_has_nothing_to_do(clock: FakeClock, runs: Runs) -> None:
    """Who waits for a run of the same message is told that it is done."""
    waiter = Waiter(runs)
    first = waiter.begin(delivery(clock))
    assert first is not None
    assert waiter.begin(delivery(clock, deliveries=2)) is None
    runs.end(first, succeeded=True)
    assert [True] == waiter.told


@pytest.mark.parametrize(
    "redelivered", ["waits", "was turned away", "is to be expected", "no", "only its follower waits"]
)
def test_what_comes_first_is_done_before_a_redelivery_learns_of_the_end(
    clock: FakeClock, runs: Runs, redelivered: str
) -> None:
    """While it is done, the run is under way: what comes then waits, too, and is told afterwards."""
    waiter, lost = Waiter(runs), threading.Event()
    run = waiter.begin(delivery(clock, "m1", group="k"), lost)
    assert run is not None
    if redelivered == "waits":
        assert waiter.begin(delivery(clock, "m1", deliveries=2, group="k")) is None
    elif redelivered == "was turned away":
        runs.turn_away(delivery(clock, "m1", deliveries=2, group="k"))
    elif redelivered == "is to be expected":
        lost.set()
    elif redelivered == "only its follower waits":
        assert waiter.begin(delivery(clock, "m2", group="k")) is None
    done: list[str] = []

    def first() -> None:
        done.append("first")
        assert [] == waiter.told
        assert not runs.has_done(delivery(clock, "m1", deliveries=3, group="k"))
        assert waiter.begin(delivery(clock, "m1", deliveries=3, group="k")) is None

    runs.end(run, succeeded=True, first=first)
    if redelivered in {"no", "only its follower waits"}:
        assert [] == done  # nobody learns anything
        assert waiter.told in ([], [False])
    else:
        assert ["first"] == done
        assert set(waiter.told) == {True}


def test_what_is_lost_or_comes_as_the_end_is_decided_is_not_told_of_it(clock: FakeClock, runs: Runs) -> None:
    """Whether something comes first is decided once: what is found lost a moment later runs again."""

    class LostAtTheSecondLook(threading.Event):
        looks = 0

        def is_set(self) -> bool:
            self.looks += 1
            return self.looks > 1

    run = Waiter(runs).begin(delivery(clock), LostAtTheSecondLook())
    assert run is not None
    done: list[str] = []
    runs.end(run, succeeded=True, first=lambda: done.append("first"))
    assert [] == done  # nothing was expected yet
    assert not runs.has_done(delivery(clock, deliveries=2))


def test_a_run_ends_whatever_comes_first_raises(clock: FakeClock, runs: Runs, caplog: pytest.LogCaptureFixture) -> None:
    """Its work isn't said to be done: the redelivery runs, as one that comes later does."""
    waiter, lost = Waiter(runs), threading.Event()
    run = waiter.begin(delivery(clock), lost)
    assert run is not None
    assert waiter.begin(delivery(clock, deliveries=2)) is None
    lost.set()

    def panic() -> None:
        raise GeneratorExit  # no Exception, as some stores' packages raise

    runs.end(run, succeeded=True, first=panic)
    assert "what was to come before the end of m1 raised" in caplog.text
    assert [False] == waiter.told
    assert not runs.has_done(delivery(clock, deliveries=3))
    assert waiter.begin(delivery(clock, deliveries=2)) is not None


def test_only_the_first_end_of_a_run_counts(clock: FakeClock, runs: Runs) -> None:
    """What was given up isn't done because its handler ends well after all: somebody else has it by then."""
    waiter, lost = Waiter(runs), threading.Event()
    run = waiter.begin(delivery(clock), lost)
    assert run is not None
    runs.end(run, succeeded=False)
    lost.set()
    done: list[str] = []
    runs.end(run, succeeded=True, first=lambda: done.append("first"))
    assert [] == done
    assert not runs.has_done(delivery(clock, deliveries=2))


@pytest.mark.parametrize(
    ("other", "deliveries"),
    [({"time_limit": timedelta(1)}, 2), ({"time_limit": timedelta(1)}, 1), ({}, 1)],
    ids=["another body", "another body, delivered once", "delivered once"],
)
def test_another_message_under_the_same_id_is_work_of_its_own(
    clock: FakeClock, runs: Runs, other: dict[str, timedelta], deliveries: int
) -> None:
    """Other programs give one id to several messages: neither who waits nor who comes later is told that it is done."""
    waiter, lost = Waiter(runs), threading.Event()
    first = waiter.begin(delivery(clock), lost)
    assert first is not None
    second = delivery(clock, deliveries=deliveries, **other)  # type: ignore[arg-type]  # a name of its parameters
    assert waiter.begin(second) is None
    lost.set()
    runs.end(first, succeeded=True)
    assert [False] == waiter.told
    assert not runs.has_done(second)
    assert waiter.begin(second) is not None


@pytest.mark.parametrize(("copy", "done"), [("c1", True), ("c2", False)], ids=["the same", "another"])
def test_where_a_backend_names_its_copies_nothing_is_counted(
    clock: FakeClock, runs: Runs, copy: str, done: bool
) -> None:
    """What Service Bus hands over after a session's link was cut has the same count: the copy's name decides alone."""
    waiter, lost = Waiter(runs), threading.Event()
    first = waiter.begin(delivery(clock, copy="c1"), lost)
    assert first is not None
    again = delivery(clock, copy=copy, deliveries=1 if done else 2)
    assert waiter.begin(again) is None
    lost.set()
    runs.end(first, succeeded=True)
    assert [done] == waiter.told
    assert done is runs.has_done(again)


def test_what_was_put_off_by_a_copy_is_the_same_work(clock: FakeClock, runs: Runs) -> None:
    """Where a redelivery goes back by a copy, that one isn't run once the first run succeeded. A redrive's copy is."""
    waiter = Waiter(runs)
    first = waiter.begin(delivery(clock, copy="c1"))
    assert first is not None
    again = delivery(clock, copy="c1", deliveries=2)
    message = again.message
    assert message is not None
    assert waiter.begin(again) is None
    put_off = copied(again, message.retry_copy(attempt_base=1, not_before=clock.now() + runs.turn_away(again)))
    redriven = copied(again, message.redrive_copy(generation=0))
    runs.end(first, succeeded=True)
    assert runs.has_done(put_off)
    assert not runs.has_done(redriven)


def test_a_retry_of_one_import_is_not_done_by_another(clock: FakeClock, runs: Runs) -> None:
    """Both are of one message, and their generations go by the same numbers; each run was asked for."""
    sent = delivery(clock).message
    assert sent is not None
    copies = [
        replace(sent.redrive_copy(generation=4), extensions={LINEAGE: lineage}) for lineage in ("import 1", "import 2")
    ]
    waiter, lost = Waiter(runs), threading.Event()
    run = waiter.begin(copied(delivery(clock), copies[0]), lost)
    assert run is not None
    lost.set()
    runs.end(run, succeeded=True)
    retries = [copied(delivery(clock), copy.retry_copy(attempt_base=1, not_before=clock.now())) for copy in copies]
    assert [True, False] == [runs.has_done(retry) for retry in retries]


def test_what_cannot_be_written_anew_is_compared_as_it_came(clock: FakeClock, runs: Runs) -> None:
    """Nothing that another program writes ends the thread that ends a run."""
    waiter, lost = Waiter(runs), threading.Event()
    strange = Message(id="m1", task="t", queue="q", payload={"what": object()})
    run = waiter.begin(replace(delivery(clock), message=strange), lost)
    assert run is not None
    lost.set()
    runs.end(run, succeeded=True)
    assert runs.has_done(replace(delivery(clock, deliveries=2), message=strange))


def test_a_follower_of_the_same_key_has_its_own_work(clock: FakeClock, runs: Runs) -> None:
    """Another message of the key waits for the run too; its success says nothing about that message."""
    waiter = Waiter(runs)
    first = waiter.begin(delivery(clock, "a1", group="a"))
    assert first is not None
    assert waiter.begin(delivery(clock, "a2", group="a")) is None
    runs.end(first, succeeded=True)
    assert [False] == waiter.told
    assert waiter.begin(delivery(clock, "a2", group="a")) is not None


@pytest.mark.parametrize(
    "other",
    [
        {"id": "m2"},
        {"source": "elsewhere"},
        {"queue": "another"},
        {"id": "m2", "group": "b"},
    ],
    ids="-".join,
)
def test_other_work_runs_side_by_side(clock: FakeClock, runs: Runs, other: dict[str, str]) -> None:
    """Another id, source, queue or ordering key is other work."""
    waiter = Waiter(runs)
    assert waiter.begin(delivery(clock, **{"group": "a"} if "group" in other else {})) is not None
    assert waiter.begin(delivery(clock, **other)) is not None  # type: ignore[arg-type]  # names of its parameters


def test_a_hung_run_does_not_stop_its_key_for_ever(clock: FakeClock, runs: Runs) -> None:
    """Ten leases after it was found without a lease, a run is in the way no longer; its end changes nothing then."""
    waiter, lost = Waiter(runs), threading.Event()
    first = waiter.begin(delivery(clock, "a1", group="a"), lost)
    assert first is not None
    lost.set()
    assert waiter.begin(delivery(clock, "a1", group="a")) is None
    clock.advance(HUNG_AFTER_LEASES * LEASE - timedelta(seconds=1))
    assert waiter.begin(delivery(clock, "a1", group="a")) is None
    clock.advance(timedelta(seconds=1))
    second = waiter.begin(delivery(clock, "a1", group="a"))
    assert second is not None
    runs.end(first, succeeded=False)
    assert waiter.begin(delivery(clock, "a2", group="a")) is None, "the second run is registered still"
    runs.end(second, succeeded=True)
    assert waiter.begin(delivery(clock, "a2", group="a")) is not None


def test_a_run_that_keeps_its_lease_is_never_taken_for_hung(clock: FakeClock, runs: Runs) -> None:
    """However long a task takes: a stray second delivery of it doesn't begin while its lease is kept."""
    waiter = Waiter(runs)
    assert waiter.begin(delivery(clock)) is not None
    clock.advance(100 * HUNG_AFTER_LEASES * LEASE)
    assert waiter.begin(delivery(clock)) is None


def test_a_run_has_its_time_limit(clock: FakeClock, runs: Runs) -> None:
    """A message whose time limit is longer than ten leases isn't taken for hung before that."""
    waiter, lost = Waiter(runs), threading.Event()
    limit = 2 * HUNG_AFTER_LEASES * LEASE
    assert waiter.begin(delivery(clock, time_limit=limit), lost) is not None
    lost.set()
    assert waiter.begin(delivery(clock)) is None
    clock.advance(limit - timedelta(seconds=1))
    assert waiter.begin(delivery(clock)) is None
    clock.advance(timedelta(seconds=1))
    assert waiter.begin(delivery(clock)) is not None


def test_the_wall_clock_decides_nothing(clock: FakeClock, runs: Runs) -> None:
    """A clock that is set forward doesn't make a run look hung."""
    waiter, lost = Waiter(runs), threading.Event()
    assert waiter.begin(delivery(clock), lost) is not None
    lost.set()
    assert waiter.begin(delivery(clock)) is None
    clock.step(timedelta(days=1))
    assert waiter.begin(delivery(clock)) is None


def test_what_waited_in_vain_stays_away_longer_each_time(clock: FakeClock, runs: Runs) -> None:
    """The delay doubles from 5 s to 5 minutes, for each message by itself, and begins anew after a run."""
    waiter, message, other = Waiter(runs), delivery(clock), delivery(clock, "m2")
    assert [FIRST_AWAY, 2 * FIRST_AWAY, 4 * FIRST_AWAY] == [runs.turn_away(message) for _ in range(3)]
    assert FIRST_AWAY == runs.turn_away(other)
    assert LONGEST_AWAY == [runs.turn_away(message) for _ in range(100)][-1]
    assert waiter.begin(message) is not None
    assert FIRST_AWAY == runs.turn_away(message)


@pytest.mark.parametrize("succeeds", [True, False])
def test_what_was_turned_away_is_not_run_once_the_run_in_its_way_succeeded(
    clock: FakeClock, runs: Runs, succeeds: bool
) -> None:
    """It comes again after that run's end, when nobody waits for it: what it did is remembered."""
    waiter = Waiter(runs)
    first = waiter.begin(delivery(clock, group="k"))
    assert first is not None
    again = delivery(clock, group="k", deliveries=2)
    assert waiter.begin(again) is None
    runs.turn_away(again)
    assert not runs.has_done(again)
    runs.end(first, succeeded=succeeds)
    assert succeeds is runs.has_done(again)
    assert not runs.has_done(delivery(clock, "m2", group="k", deliveries=2))


def test_what_was_never_turned_away_is_not_remembered(clock: FakeClock, runs: Runs) -> None:
    """A message that has succeeded is gone as a rule, and if it comes again its backend says so."""
    first = Waiter(runs).begin(delivery(clock))
    assert first is not None
    runs.end(first, succeeded=True)
    assert not runs.has_done(delivery(clock, deliveries=2))


def test_who_waits_may_begin_in_the_call(clock: FakeClock, runs: Runs) -> None:
    """`ended` is called with no lock held, and the next run may begin from within."""
    begun: list[Run | None] = []
    waiter = Waiter(runs)
    first = waiter.begin(delivery(clock))
    assert first is not None

    def again(_: bool) -> None:
        begun.append(waiter.begin(delivery(clock)))

    assert runs.begin(delivery(clock), lost=threading.Event(), lease=LEASE, ended=again) is None
    runs.end(first, succeeded=False)
    assert 1 == len(begun)
    assert begun[0] is not None


def test_what_cannot_be_decoded_is_known_by_its_native_id(clock: FakeClock, runs: Runs) -> None:
    """A body that can't be decoded doesn't run beside itself either."""
    waiter = Waiter(runs)
    poison = replace(delivery(clock), message=None, id="native")
    assert waiter.begin(poison) is not None
    assert waiter.begin(poison) is None


def test_one_registry_for_an_app() -> None:
    """Whatever edge asks, an app has one registry in a process; another app has its own."""
    app, other = App("memory://"), App("memory://")
    assert runs_of(app) is runs_of(app)
    assert runs_of(app) is not runs_of(other)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork to forget the runs in")
def test_a_forked_process_runs_nothing(clock: FakeClock) -> None:
    """What the parent runs is in nobody's way in the child."""
    app = App("memory://")
    waiter = Waiter(runs_of(app))
    assert waiter.begin(delivery(clock)) is not None
    child = os.fork()
    if not child:  # pragma: no cover - another process
        os._exit(0 if Waiter(runs_of(app)).begin(delivery(clock)) is not None else 1)
    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_what_was_done_under_a_lost_lease_is_remembered(clock: FakeClock, runs: Runs) -> None:
    """Its redelivery may be in hand by then, or still on its way: it needn't have asked to begin before the end.

    A message that was sent again under the same id is another one, and after ten leases nothing is remembered.
    """
    lost = threading.Event()
    again = delivery(clock, deliveries=2)
    run = Waiter(runs).begin(delivery(clock), lost)
    assert run is not None
    assert not runs.has_done(again)
    lost.set()
    runs.end(run, succeeded=True)
    assert runs.has_done(again)
    assert not runs.has_done(delivery(clock, "m2", deliveries=2))
    assert not runs.has_done(delivery(clock, sent_at=clock.now(), deliveries=2))
    clock.advance(HUNG_AFTER_LEASES * LEASE + LONGEST_AWAY)
    assert not runs.has_done(again)


@pytest.mark.parametrize(("loses", "succeeds"), [(False, True), (True, False)])
def test_what_ended_otherwise_is_not_remembered(clock: FakeClock, runs: Runs, loses: bool, succeeds: bool) -> None:
    """Under its lease the backend is told; what failed runs again."""
    lost = threading.Event()
    run = Waiter(runs).begin(delivery(clock), lost)
    assert run is not None
    if loses:
        lost.set()
    runs.end(run, succeeded=succeeds)
    assert not runs.has_done(delivery(clock, deliveries=2))


def test_what_could_not_be_acknowledged_is_remembered(clock: FakeClock, runs: Runs) -> None:
    """The settler says so: the run had ended in time, its settlement was too late."""
    runs.note_done(delivery(clock, deliveries=2), LEASE)
    assert runs.has_done(delivery(clock, deliveries=3))
    assert not runs.has_done(delivery(clock, deliveries=1)), "a new copy, counted anew: sent again, or redriven"
    clock.advance(HUNG_AFTER_LEASES * LEASE + LONGEST_AWAY)
    assert not runs.has_done(delivery(clock, deliveries=3))


def test_what_was_given_back_by_a_copy_due_at_once_is_the_same_work(clock: FakeClock, runs: Runs) -> None:
    """A redelivery that found no slot goes back by a copy that is due at once, after the attempt that was done."""
    lost = threading.Event()
    run = Waiter(runs).begin(delivery(clock, copy="c1"), lost)
    assert run is not None
    lost.set()
    runs.end(run, succeeded=True)
    again = delivery(clock, copy="c1", deliveries=2)
    assert again.message is not None
    assert runs.has_done(copied(again, again.message.retry_copy(attempt_base=1, not_before=None)))


def test_a_retry_of_what_was_redriven_runs(clock: FakeClock, runs: Runs) -> None:
    """By a redrive somebody asks for another run. If that fails, its retry isn't what was done before."""
    waiter = Waiter(runs)
    runs.note_done(delivery(clock, copy="c1"), LEASE)
    again = delivery(clock, copy="c1", deliveries=2)
    assert again.message is not None
    message = again.message.redrive_copy(generation=0)
    redriven = copied(again, message)
    assert not runs.has_done(redriven)
    run = waiter.begin(redriven)
    assert run is not None
    runs.end(run, succeeded=False)
    assert not runs.has_done(copied(again, message.retry_copy(attempt_base=1, not_before=clock.now() + LEASE)))


def test_another_message_under_the_same_id_makes_nothing_forgotten(clock: FakeClock, runs: Runs) -> None:
    """It has work of its own, and what was done of the first one stays done."""
    runs.note_done(delivery(clock, copy="c1"), LEASE)
    other = delivery(clock, copy="c2", sent_at=clock.now())
    assert other.message is not None
    assert Waiter(runs).begin(copied(other, other.message.redrive_copy(generation=3))) is not None
    assert runs.has_done(delivery(clock, copy="c1", deliveries=2))


def test_what_had_its_last_run_has_a_verdict(clock: FakeClock, runs: Runs) -> None:
    """Its dead letter couldn't be stored: handed over again, it is to be dead-lettered unrun. Others are to be run."""
    outcome = DeadLettered(reason="gave up", failure=Failure(reason="gave up"))
    first = delivery(clock, deliveries=5)
    assert runs.verdict(first) is None
    runs.note_dead(first, outcome, LEASE)
    assert outcome == runs.verdict(delivery(clock, deliveries=6))
    assert outcome == runs.verdict(delivery(clock, deliveries=7))
    assert runs.verdict(delivery(clock, id="m2", deliveries=6)) is None
    assert runs.verdict(delivery(clock, queue="other", deliveries=6)) is None
    assert Runs(clock).verdict(delivery(clock, deliveries=6)) is None


def test_a_verdict_is_of_one_copy(clock: FakeClock, runs: Runs) -> None:
    """What was moved to the dead-letter queue by the service and sent back by somebody is to run; redriven, too."""
    outcome = DeadLettered(reason="gave up", failure=Failure(reason="gave up"))
    first = delivery(clock, copy="c1", deliveries=5)
    runs.note_dead(first, outcome, LEASE)
    assert outcome == runs.verdict(delivery(clock, copy="c1", deliveries=6))
    assert runs.verdict(delivery(clock, copy="c2", deliveries=1)) is None
    assert first.message is not None
    redriven = copied(first, first.message.redrive_copy(generation=1))
    assert runs.verdict(redriven) is None


def test_a_verdict_is_forgotten_once_it_comes_no_more(clock: FakeClock, runs: Runs) -> None:
    """After ten leases, and the longest time that it may be away."""
    outcome = DeadLettered(reason="gave up", failure=Failure(reason="gave up"))
    runs.note_dead(delivery(clock, deliveries=5), outcome, LEASE)
    clock.advance(HUNG_AFTER_LEASES * LEASE + LONGEST_AWAY - timedelta(seconds=1))
    assert outcome == runs.verdict(delivery(clock, deliveries=6))
    clock.advance(timedelta(seconds=1))
    assert runs.verdict(delivery(clock, deliveries=6)) is None


def test_few_verdicts_are_remembered(clock: FakeClock, runs: Runs) -> None:
    """They hold the details of their failures; the oldest go first."""
    outcome = DeadLettered(reason="gave up", failure=Failure(reason="gave up"))
    for number in range(1_001):
        runs.note_dead(delivery(clock, id=str(number)), outcome, LEASE)
    assert runs.verdict(delivery(clock, id="0", deliveries=2)) is None
    assert outcome == runs.verdict(delivery(clock, id="1", deliveries=2))


def test_of_several_messages_under_one_id_each_has_its_own_verdict(runs: Runs, clock: FakeClock) -> None:
    """Other programs give one id to several: the verdict on one says nothing of another, nor replaces it."""
    outcome = DeadLettered(reason="gave up", failure=Failure(reason="gave up"))
    first = delivery(clock, deliveries=1)
    assert first.message is not None
    other = copied(first, replace(first.message, payload={"other": 1}))
    runs.note_dead(first, outcome, LEASE)
    runs.note_dead(other, outcome, LEASE)
    for one in (first, other):
        assert outcome == runs.verdict(replace(one, deliveries=one.deliveries + 1))
