"""Tasks written without sight of the tester: it finds those that are wrong, and accuses none that is right."""

from __future__ import annotations

import os
import shutil
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import shipped_samples as shipped

from cloudq import App
from cloudq.testing.redelivery import Check

# A run that crashes between opening a connection and its block leaves it to the garbage collector, as a process that
# died leaves it to its system. Python 3.13 warns of that.
pytestmark = [
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SEEDS = range(int(os.environ.get("CLOUDQ_TEST_SEEDS", "60")))
# They stand for what is elsewhere, and doesn't die with a worker.
SERVICES = [shipped.Mailer, shipped.Payments]
# A key can't know whether a run that died had its effect: its page says so.
WHAT_A_KEY_HELPS_WITH = {"duplicates", "concurrent", "reorder"}
TABLES = ["download", "orders", "stock", "address", "badge", "account"]

WRONG = [
    [shipped.count_download.call(file="manual.pdf")],
    [shipped.confirm_order.call(order_id=7)],
    [shipped.note_sale.call(order_id=7, cents=100), shipped.note_sale.call(order_id=8, cents=250)],
    [shipped.charge_with_a_fresh_key.call(customer="ada", cents=100)],
    [shipped.take_from_stock.call(item="lamp")],
    [shipped.add_points.call(customer="ada", more=5), shipped.add_points.call(customer="ada", more=7)],
]
RIGHT = [
    [shipped.remember_address.call(user_id=1, street="High Street 1")],
    [shipped.award_badge.call(user_id=1, name="first"), shipped.award_badge.call(user_id=1, name="second")],
    [shipped.write_report.call(month="may")],
    [shipped.ship_order.call(order_id=7, item="lamp")],
    [
        shipped.charge_order.call(order_id=7, customer="ada", cents=100),
        shipped.charge_order.call(order_id=8, customer="ben", cents=250),
    ],
    [shipped.pay_back.call(account=1, cents=100), shipped.pay_back.call(account=1, cents=250)],
]


def named(samples):
    return {"argvalues": samples, "ids": [calls[0].task.name.rpartition(".")[2] for calls in samples]}


def reset():
    shutil.rmtree("reports", ignore_errors=True)
    for file in Path().iterdir():
        file.unlink()
    shipped.set_up()


def state():
    """All that the tasks change; of what they themselves note of their runs, nothing."""
    with closing(shipped.shop()) as db:
        rows = {table: sorted(db.execute(f"select * from {table}")) for table in TABLES}  # noqa: S608 - names from above
    sales = Path("sales.csv")
    return (
        rows,
        sorted(sales.read_text().splitlines()) if sales.exists() else [],
        {file.name: file.read_text() for file in Path("reports").glob("[!.]*")},
        sorted(shipped.mailer.sent),
        sorted(shipped.payments.charges),
        dict(shipped.points),
    )


def check_of(calls, **options):
    return Check(*calls, state=state, reset=reset, services=SERVICES, **options)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("calls", **named(WRONG))
def test_what_is_wrong_is_found(calls):
    """In a fraction of a second each, on a machine that isn't busy: 0.1 to 0.3 s, the shortest schedule included."""
    check = check_of(calls)
    finding = check.find()
    assert finding is not None


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("calls", **named(RIGHT))
def test_what_is_right_is_not_accused(calls):
    """Whatever happens to its messages."""
    assert check_of(calls).find(SEEDS) is None


def test_a_payment_service_in_the_tasks_own_file_is_named_as_one():
    """Else a crash between its lines is a finding, which says what to do about it."""
    calls = next(calls for calls in RIGHT if calls[0].task is shipped.charge_order)
    finding = Check(*calls, state=state, reset=reset).find(shrink_within=timedelta(minutes=1))
    assert "self.keys.add(key)" in finding.point
    assert "services=[...]" in str(finding)


def digests(task):
    return [task.call(user_id=1, day="monday"), task.call(user_id=2, day="monday")]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_mail_that_has_a_key_is_sent_once():
    """Where no run dies, or sleeps for longer than its lease."""
    assert check_of(digests(shipped.send_digest), faults=WHAT_A_KEY_HELPS_WITH).find(SEEDS) is None


def test_without_its_key_it_is_found():
    """The same function, declared without it."""
    keyless = App().task("send_digest")(shipped.send_digest.__wrapped__)
    assert check_of(digests(keyless), faults=WHAT_A_KEY_HELPS_WITH).find() is not None


def test_the_key_does_not_help_a_run_that_dies():
    """Which its page says, too."""
    finding = check_of(digests(shipped.send_digest), faults={"crashes"}).find()
    assert "crashed" == finding.fault
