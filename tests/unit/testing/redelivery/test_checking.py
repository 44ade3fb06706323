"""Checks: what must not run twice is found, small and again; what may isn't accused."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import threading
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
import samples

from cloudq import Acked, App, ConfigurationError, Context, DeadLetter, Retried
from cloudq.core.store import Claimed, ClaimKey, Completed, InProgress
from cloudq.errors import OptionError
from cloudq.stores.memory import MemoryStore
from cloudq.testing.redelivery import Check, NotIdempotent, crash_point
from cloudq.testing.redelivery.schedule import Take

NO_SHRINKING, WHOLLY = timedelta(0), timedelta(minutes=1)  # a busy machine comes to the end of it, too


def named(samples):
    return {"argvalues": samples, "ids": [sample.__name__ for sample in samples]}


@pytest.mark.slow
@pytest.mark.parametrize("crash", ["raise", "kill"])
@pytest.mark.parametrize("sample", **named(samples.BROKEN))
def test_what_must_not_run_twice_is_found(shop, sample, crash):
    """Within 200 seeds; and the seed finds it again."""
    check = sample(shop, crash=crash)
    finding = check.find()
    assert finding is not None
    assert finding.task in check.tasks
    again = check.find([finding.seed], shrink_within=NO_SHRINKING)
    assert again is not None
    assert finding.expected == again.expected


@pytest.mark.slow
@pytest.mark.timeout(600)  # 200 schedules on a database each, on a busy machine
@pytest.mark.parametrize("sample", **named(samples.RIGHT))
def test_what_may_run_twice_passes_200_seeds(shop, sample):
    """Whatever happens to its messages."""
    assert sample(shop).find(range(200)) is None


@pytest.mark.slow
@pytest.mark.parametrize("sample", **named(samples.RIGHT))
def test_what_may_run_twice_passes_if_processes_are_killed(shop, sample):
    """The first 30 seeds: a process is forked for each crash."""
    assert sample(shop, crash="kill").find(range(30)) is None


# Without crashes, and without owners that sleep: between effect and completion no key helps, only a transaction.
WHAT_A_KEY_HELPS_WITH = {"duplicates", "concurrent", "reorder"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("sample", **named(samples.RIGHT_BY_KEY))
def test_a_key_makes_a_second_delivery_harmless(shop, sample):
    """All 200 seeds: the key is claimed in the store that `in_memory` lends, as at a worker."""
    assert sample(shop, faults=WHAT_A_KEY_HELPS_WITH).find(range(200)) is None


@pytest.mark.parametrize("sample", **named(samples.RIGHT_BY_KEY))
def test_without_its_key_the_same_task_is_found(shop, sample):
    """Nothing else makes it right."""
    finding = sample(shop, faults=WHAT_A_KEY_HELPS_WITH, by_key=False).find(range(200), shrink_within=NO_SHRINKING)
    assert finding is not None


def test_no_thread_renews_claims_behind_the_schedules_back(shop):
    """Time is the schedule's: a paused run whose lease is over has lost its claim, in each play of it."""
    before = set(threading.enumerate())
    check = samples.file_append_by_key(shop, faults={"stale"})
    assert check.find(range(0, 200, 2), shrink_within=NO_SHRINKING) is not None
    assert "cloudq-claims" not in {thread.name for thread in set(threading.enumerate()) - before}


@pytest.fixture
def bank():
    """An app with a task that charges, and the state that it changes."""
    app, charges = App(), []

    @app.task("charge")
    def charge(amount: int) -> None:
        charges.append(amount)

    return SimpleNamespace(app=app, charge=charge, charges=charges)


def check_of(bank, **options):
    return Check(
        bank.charge.call(amount=1), bank.charge.call(amount=2),
        state=lambda: sorted(bank.charges), reset=bank.charges.clear, **options,
    )  # fmt: skip


def test_the_smallest_schedule_is_named(bank):
    """One message, twice: nothing else is needed. The schedules that are tried have several faults each."""
    finding = check_of(bank, faults={"duplicates", "reorder"}).find(range(1, 200, 2), shrink_within=WHOLLY)
    assert ("charge", "duplicate", None) == (finding.task, finding.fault, finding.point)
    assert ([1, 2], 3) == (finding.expected, len(finding.state))
    assert finding.steps in {(Take(message=0),) * 2, (Take(message=1),) * 2}


def test_the_point_between_an_effect_and_its_note_is_named():
    """The line is that of the task, without any mark in it."""
    app, mails, noted = App(), [], set()

    @app.task("confirm")
    def confirm(order: int) -> None:
        if order in noted:
            return
        mails.append(order)
        noted.add(order)

    def reset():
        mails.clear()
        noted.clear()

    check = Check(confirm.call(order=1), state=lambda: list(mails), reset=reset, faults={"crashes"})
    finding = check.find(shrink_within=WHOLLY)
    assert ("crashed", [1, 1]) == (finding.fault, finding.state)
    assert "noted.add(order)" in finding.point


def test_a_test_fails_with_the_finding(bank):
    """`prove` raises it."""
    with pytest.raises(NotIdempotent, match="charge has another effect if it is delivered twice") as raised:
        check_of(bank).prove()
    assert "charge" == raised.value.finding.task


def test_without_a_fault_that_matters_there_is_nothing_to_find(bank):
    """A sorted list of charges doesn't depend on order."""
    assert check_of(bank, faults={"reorder"}).find(range(40)) is None


def test_marked_points_only(bank):
    """Where lines are none, only what is marked can crash."""
    app, log = App(), []

    @app.task("twofold")
    def twofold() -> None:
        log.append("a")
        crash_point("between")
        log.append("b")

    finding = Check(twofold.call(), state=lambda: list(log), reset=log.clear, points="marked", faults={"crashes"}).find(
        [0, 2, 4], shrink_within=WHOLLY
    )  # before the task, between, after it
    assert finding.point.startswith("between")
    assert ["a", "a", "b"] == finding.state


def test_lines_of_other_modules_count_if_they_are_named():
    """A task that calls a module of yours has no line between two effects there."""
    import billing_of_test_checking as billing

    app = App()

    @app.task("bill")
    def bill() -> None:
        billing.bill()

    def find(**options):
        return Check(bill.call(), state=billing.state, reset=billing.reset, faults={"crashes"}, **options).find(
            range(60)
        )

    assert find() is None
    assert "billing_of_test_checking.py" in find(modules=[billing]).point


def test_a_package_stands_for_its_modules(tmp_path, monkeypatch):
    """`modules=[shop]`: else only its `__init__` would be meant, which is empty."""
    package = tmp_path / "shop_of_test_checking"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "billing.py").write_text(Path(__file__).with_name("billing_of_test_checking.py").read_text())
    monkeypatch.syspath_prepend(tmp_path)
    billing = importlib.import_module("shop_of_test_checking.billing")
    app = App()

    @app.task("bill")
    def bill() -> None:
        billing.bill()

    modules = [sys.modules["shop_of_test_checking"]]
    check = Check(bill.call(), state=billing.state, reset=billing.reset, faults={"crashes"}, modules=modules)
    assert "billing.py" in check.find(range(60)).point


class CheckedBank:
    """A bank in a test's own file, which charges each key once."""

    def __init__(self):
        self.keys, self.charges = set(), []

    def charge(self, key, amount):
        if key in self.keys:
            return
        self.keys.add(key)
        self.charges.append(amount)


class BankOfToday(CheckedBank):
    """Inherits what it does."""


@pytest.mark.parametrize(
    "services",
    [(), [CheckedBank], [CheckedBank.charge], [BankOfToday]],
    ids=["none", "its class", "its method", "one that inherits it"],
)
def test_a_service_elsewhere_does_not_stop_half_way(services):
    """A crash between its lines is one of the bank's; before and after them it is the worker's."""
    app, bank = App(), CheckedBank()

    @app.task("pay")
    def pay(order: int) -> None:
        bank.charge(order, 100)

    def reset():
        bank.keys.clear()
        bank.charges.clear()

    finding = Check(
        pay.call(order=1), state=lambda: list(bank.charges), reset=reset, faults={"crashes"}, services=services
    ).find(range(60))
    if services:
        assert finding is None
    else:
        assert "self." in finding.point


def test_what_a_task_does_around_a_service_is_found_all_the_same():
    """Its lines are left out, those of who calls it aren't."""
    app, bank = App(), CheckedBank()

    @app.task("pay")
    def pay(context: Context, order: int) -> None:
        bank.charge((order, context.deliveries), 100)  # another key for each delivery

    def reset():
        bank.keys.clear()
        bank.charges.clear()

    check = Check(
        pay.call(order=1), state=lambda: list(bank.charges), reset=reset, faults={"crashes"}, services=[CheckedBank]
    )
    assert "crashed" == check.find().fault


def test_what_is_never_started_twice_can_be_checked():
    """Its message waits for a day after a crash, in hundreds of deliveries, and is dead then: the finding says so."""
    app, mails = App(), []

    @app.task("remind", idempotency_key="remind-{user}", unique_until="start")
    def remind(user: int) -> None:
        mails.append(user)

    def find(*faults):
        check = Check(
            remind.call(user=1), remind.call(user=2),
            state=lambda: sorted(mails), reset=mails.clear, faults={*faults},
        )  # fmt: skip
        return check.find(range(60), shrink_within=WHOLLY)

    assert find("duplicates", "concurrent", "reorder", "stale") is None
    finding = find("crashes")
    assert ("crashed", [1, 2]) == (finding.fault, finding.expected)
    assert "it has waited for 1 d" in finding.dead[0]
    assert len(str(finding).splitlines()) < 20


def test_ids_are_the_same_in_each_run():
    """A task that is right by its message's id leaves the same state each time."""
    app, seen = App(), set()

    @app.task("note")
    def note(context: Context) -> None:
        seen.add(context.id)

    assert Check(note.call(), state=lambda: set(seen), reset=seen.clear).find(range(60)) is None


def test_a_state_that_differs_by_itself_is_an_error():
    """It would accuse every task."""
    app, count = App(), iter(range(1000))

    @app.task("t")
    def task() -> None: ...

    with pytest.raises(ConfigurationError, match="the state differs though everything was delivered once"):
        Check(task.call(), state=lambda: next(count), reset=lambda: None).find()


def test_a_task_that_fails_anyway_is_an_error():
    """There is nothing to compare with."""
    app = App()

    @app.task("t")
    def task() -> None:
        raise DeadLetter("no such order")

    with pytest.raises(ConfigurationError, match="fails even if it is delivered once: no such order"):
        Check(task.call(), state=lambda: 0, reset=lambda: None).find()


def test_a_state_that_is_the_very_object_is_copied(bank):
    """`state=lambda: charges`, which the next reset empties."""
    check = Check(bank.charge.call(amount=1), state=lambda: bank.charges, reset=bank.charges.clear)
    assert [1] == check.find().expected


def test_within_a_running_loop_it_has_a_thread(bank):
    """A test that is async waits for it."""

    async def test():
        return check_of(bank).find()

    assert "charge" == asyncio.run(test()).task


def test_the_app_is_as_it_was_afterwards(bank):
    """Its backend isn't opened, and its tasks run as they did."""
    code = bank.charge.__wrapped__.__code__
    check_of(bank).find()
    assert not bank.app.is_open
    assert code is bank.charge.__wrapped__.__code__


@pytest.mark.parametrize(
    "options",
    [{"crash": "burn"}, {"points": "all"}, {"faults": set()}, {"faults": {"fire"}}, {"services": ["bank"]}],
    ids=["crash", "points", "no faults", "faults", "services"],
)
def test_wrong_options_are_refused(bank, options):
    """When the check is declared."""
    with pytest.raises(OptionError, match=next(iter(options))):
        check_of(bank, **options)


def test_a_check_takes_calls_of_one_app(bank):
    """Not tasks, nothing, or those of two Apps."""
    for calls in ([], [bank.charge]):
        with pytest.raises(OptionError, match="takes calls"):
            Check(*calls, state=list, reset=list)
    other = App().task("t")(lambda: None)
    with pytest.raises(ConfigurationError, match="of one App"):
        Check(bank.charge.call(amount=1), other.call(), state=list, reset=list).find()


def test_a_state_that_cannot_be_read_any_more_is_a_finding(tmp_path):
    """A file that a crash left half written, say; where all goes well, it is the check's own fault."""
    app, file = App(), tmp_path / "book.json"

    @app.task("write")
    def write() -> None:
        if file.exists():
            return
        with file.open("w") as book:
            book.write("[1, ")
            book.write("2]")

    def check(text):
        return Check(
            write.call(), state=lambda: json.loads(file.read_text() + text), reset=lambda: file.unlink(missing_ok=True)
        )

    finding = check("").find()
    assert "state() raised JSONDecodeError" in str(finding)
    assert [1, 2] == finding.expected
    with pytest.raises(json.JSONDecodeError):
        check("?").find()


def test_native_deduplication_takes_part():
    """A child that is sent with a key isn't stored twice: the memory driver knows native ids, as services do."""
    app, log = App(), []

    @app.task("child")
    def child(n: int) -> None:
        log.append(n)

    @app.task("parent")
    def parent(n: int, keyed: bool) -> None:
        (child.options(idempotency_key=f"child-{n}") if keyed else child).send(n)

    def find(keyed):
        # The parent alone is delivered again, right after its acknowledgement.
        check = Check(parent.call(n=1, keyed=keyed), state=lambda: list(log), reset=log.clear, faults={"duplicates"})
        return check.find([0])

    assert "parent" == find(keyed=False).task
    assert find(keyed=True) is None


def claiming(app, stores):
    """A middleware that does with a key what the worker will: claim it, run, complete it; or wait, or skip."""

    def middleware(context):
        store = stores.setdefault(app.clock, MemoryStore(app.clock))
        key, day = ClaimKey(context.task, context.message.idempotency_key or context.id), timedelta(days=1)
        claim = store.claim(key, owner=uuid4().hex, lease=timedelta(minutes=2), fingerprint=None, keep=day)
        match claim:
            case Completed():
                return Acked()
            case InProgress(left=left):
                return Retried(delay=left, reason="another run has the key", counted=False)
            case Claimed(token=token):
                outcome = yield
                if isinstance(outcome, Acked):
                    store.complete(key, token, result=None, keep=day)
                else:
                    store.release(key, token)
                return outcome

    return middleware


@pytest.mark.parametrize("has_claims", [True, False], ids=["with claims", "without"])
def test_a_claim_around_the_task_takes_part(bank, has_claims):
    """Duplicates and runs beside each other do no harm then; the waiting ones use up no attempt, and all end."""
    if has_claims:
        bank.app.middleware = (claiming(bank.app, {}),)
    finding = check_of(bank, faults={"duplicates", "concurrent", "reorder"}).find()
    assert has_claims == (finding is None)


@pytest.mark.parametrize("fault", ["crashes", "stale"])
def test_a_claim_alone_is_no_transaction(bank, fault):
    """It can't know whether a run that died, or was paused for too long, had its effect: that is found."""
    bank.app.middleware = (claiming(bank.app, {}),)
    finding = check_of(bank, faults={fault}).find()
    assert finding.point is not None
