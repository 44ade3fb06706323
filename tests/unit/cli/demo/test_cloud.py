"""`cloudq demo` on the emulators of hosted queues: the whole tour, and what it says where it can't be taken."""

from __future__ import annotations

import os
import threading

import pytest

from cloudq.cli.demo import cloud as demo_cloud
from cloudq.cli.demo.places import PLACES
from cloudq.cli.demo.shop import app, ledger

VARIABLES = ("CLOUDQ_SERVICEBUS_CONNECTION_STRING", "CLOUD_TASKS_EMULATOR_HOST")


@pytest.fixture(autouse=True)
def fresh_ledger():
    """What other tests did isn't in it."""
    ledger.clear()


@pytest.mark.slow
@pytest.mark.parametrize("backend", PLACES)
def test_tour(cli, backend, monkeypatch):
    """All tasks run, the dead letter is shown and redriven, and nothing is left: no thread, no variable, no backend."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    before = set(threading.enumerate())
    result = cli("demo", "--backend", backend)
    assert 0 == result.code, result.err
    orders = 300 if backend == "servicebus" else 500
    assert "1. Send: 500 tasks to" in result.out
    assert "500 messages are stored" in result.out
    assert ("20 of 20 customers' histories are complete and in order" in result.out) == (backend == "servicebus")
    assert "reason:       the card of order 42 has expired" in result.out
    assert f"1 dead letter sent again. {orders} of {orders} orders are charged;" in result.out
    assert "0 messages are waiting, 0 dead letters left;" in result.out
    assert result.out.endswith("All done.\n")
    assert "   500 of 500 tasks have run" in result.err.splitlines()
    assert not app.is_open
    assert [] == [name for name in VARIABLES if name in os.environ]
    assert [] == [thread.name for thread in set(threading.enumerate()) - before if thread.name.endswith("-emulator")]


@pytest.mark.slow
def test_what_is_missing_is_an_error(cli, monkeypatch):
    """If a task's effect isn't there at the end, the demo says so and fails."""
    monkeypatch.setattr(demo_cloud, "TASKS", 250)
    monkeypatch.setattr(ledger, "add", lambda customer, number: None)
    result = cli("demo", "--backend", "servicebus")
    assert 1 == result.code
    assert "the demo didn't end as it should: a history isn't as it was sent" in result.err
    assert "All done." not in result.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--backend", "sqs"), "there is no demo on 'sqs'"),
        (("--backend", "servicebus", "--keep"), "--folder and --keep are for the demo on SQLite"),
        (("--backend", "cloudtasks", "--folder", "."), "--folder and --keep are for the demo on SQLite"),
    ],
)
def test_what_can_not_be_is_2(cli, arguments, said):
    """Nothing is started, and the hint says what there is."""
    result = cli("demo", *arguments)
    assert (2, "") == (result.code, result.out)
    assert said in result.err
    assert "hint: " in result.err
