"""`cloudq cost`."""

from __future__ import annotations

import json

import pytest

from cloudq.cli.cost import bill
from cloudq.running.metrics import MetricsServer
from tests.unit.cli.test_counted import worked

SQS = "sqs://eu-west-1"


@pytest.fixture
def worker(patient):
    """The address of a worker's metrics: 5 of 9 deliveries have left the queue emails, by 3 calls."""
    server = MetricsServer(("127.0.0.1", 0), worked())
    server.start()
    yield "{}:{}".format(*server.address)
    server.stop()


def test_an_estimate_is_by_what_was_measured(cli):
    """Two ways to send; the price with source and date, and what isn't in it, on stderr."""
    result = cli("cost", "--queue", "emails", "--backend", SQS)
    assert 0 == result.code
    lines = result.out.splitlines()
    assert "sent by send_many" in lines[0]
    assert ["SendMessageBatch", "0.100", "0.04"] == lines[2].split()
    assert ["together", "0.301", "0.12"] == lines[4].split()
    assert ["together", "1.201", "0.48"] == lines[-2].split()
    assert "price: 0.4 USD a million requests to standard queues of Amazon SQS; https://" in result.err
    assert "2026-06-13" in result.err
    assert "not in it: data transfer, claim checks" in result.err


def test_workers_have_counted(cli, worker):
    """Three calls for five tasks."""
    result = cli("cost", "--queue", "emails", "--worker", worker, "--tasks", "10000000", "--backend", SQS, "--json")
    found = json.loads(result.out)
    assert {"DeleteMessageBatch": 0.2, "ReceiveMessage": 0.4} == found["operations_per_task"]
    assert (5, 10_000_000, 0.40, pytest.approx(2.40)) == (
        found["counted_tasks"],
        found["tasks"],
        found["usd_per_million"],
        found["usd"],
    )
    assert ("2026-06-13", {}) == (found["price"]["read"], found["unknown"])
    assert any("claim checks" in one for one in found["not_included"])


def test_a_fifo_queue_costs_more(cli):
    """By its own row."""
    found = json.loads(cli("cost", "--queue", "emails.fifo", "--backend", SQS, "--json").out.splitlines()[0])
    assert 0.50 == found["usd_per_million"]


def test_a_price_that_is_not_known_can_be_said(cli, worker, monkeypatch):
    """Service Bus."""
    monkeypatch.setitem(bill.SYSTEMS, "servicebus", "aws_sqs")  # what the worker of this test says
    arguments = ("cost", "--queue", "emails", "--worker", worker, "--backend", "servicebus://x.servicebus.windows.net")
    found = json.loads(cli(*arguments, "--json").out)
    assert (None, None) == (found["usd"], found["price"])
    assert "--price USD" in found["unknown"]["usd"]
    said = json.loads(cli(*arguments, "--json", "--price", "0.5").out)
    assert (pytest.approx(0.3), None, {}) == (said["usd"], said["price"], said["unknown"])
    assert ["together", "0.600", "-"] == cli(*arguments).out.splitlines()[-2].split()
    assert "base charge" in cli(*arguments).err
    assert "as was said" in cli(*arguments, "--price", "0.5").err


@pytest.mark.parametrize(
    "options",
    [
        ("--price", "x"),
        ("--price", "-1"),
        ("--price", "nan"),
        ("--tasks", "0"),
        ("--worker", "w"),
        ("--worker", "127.0.0.1:1"),
        ("--backend", "servicebus://x.servicebus.windows.net"),
    ],
)
def test_what_cannot_be_said_is_2(cli, options):
    """Wrong usage, a worker that says nothing, and a service of which nothing was measured."""
    backend = () if "--backend" in options else ("--backend", SQS)
    result = cli("cost", "--queue", "emails", *backend, *options)
    assert (2, "") == (result.code, result.out)


def test_a_file_costs_nothing_a_call(cli, shop):
    """Which is said, rather than a price of 0."""
    result = cli("cost", "--queue", "emails", "--backend", shop.url)
    assert 2 == result.code
    assert "nobody bills" in result.err
