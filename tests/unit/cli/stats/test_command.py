"""`cloudq stats`."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from types import SimpleNamespace

import pytest

from cloudq.cli.stats import command
from cloudq.core.ending import Ending
from cloudq.core.inspection import QueueStats
from cloudq.drivers.sqlite import SQLiteDriver
from cloudq.drivers.sqs import SQSDriver
from cloudq.running.metrics import MetricsServer
from tests.unit.cli.test_counted import worked
from tests.unit.drivers.cloud_tasks.fakes import FakeCloudTasks
from tests.unit.drivers.sqs.fakes import FakeSqs
from tests.unit.telemetry.test_prometheus import of


@pytest.fixture
def filled(cli, shop, bury, make_body):
    """Two ready messages, one delayed and one dead letter in emails; nothing in default."""
    bury("emails", [make_body()])
    for options in ((), (), ("--delay", "1h")):
        cli("send", "t", "--unchecked", "--queue", "emails", "--backend", shop.url, *options)
    return shop


def test_stats_of_the_declared_queues(cli, filled):
    """A line for every queue that the tasks declare."""
    result = cli("stats", "--app", "shop")
    assert (0, "") == (result.code, result.err)
    lines = [line.split() for line in result.out.splitlines()]
    assert ["queue", "ready", "delayed", "in", "flight", "dead", "oldest", "paused"] == lines[0]
    assert ["emails", "2", "1", "0", "1"] == lines[1][:5]
    assert (True, "no") == (lines[1][5].startswith("0:00:"), lines[1][6])
    assert ["default", "0", "0", "0", "0", "-", "no"] == lines[2]


def test_stats_json(cli, filled):
    """A program gets an object a queue, durations in seconds."""
    result = cli("stats", "--queue", "emails", "--queue", "default", "--json")
    emails, default = map(json.loads, result.out.splitlines())
    assert 0 <= emails.pop("oldest_age_seconds") < 60
    assert {
        "arrival_rate",
        "service_rate",
        "growth_rate",
        "workers",
        "backlog_per_worker",
        "recommended_workers",
    } == set(emails["unknown"])
    nothing = dict.fromkeys(emails.pop("unknown"))
    full = {"queue": "emails", "ready": 2, "delayed": 1, "in_flight": 0, "dead": 1, "paused": False}
    assert {**full, **nothing} == emails
    assert default["oldest_age_seconds"] is None


def test_stats_of_the_outbox(cli, filled, monkeypatch, tmp_path):
    """Where CLOUDQ_OUTBOX_URL names an outbox, how much waits there, and the age of the oldest."""
    from cloudq.outbox.opening import create_tables

    file = tmp_path / "outbox.db"
    sqlite3.connect(file).close()
    create_tables(f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "insert into cloudq_outbox (namespace, queue, task, body, key_digest, number, created_at)"
            " values ('', 'q', 't', '', '', 0, cast((julianday('now') - 2440587.5) * 86400000000 as integer))"
        )
    monkeypatch.setenv("CLOUDQ_OUTBOX_URL", f"sqlite:///{file}")
    lines = cli("stats", "--queue", "emails").out.splitlines()
    assert ["outbox", "waiting", "parked", "oldest"] == lines[2].split()
    assert ["1", "0", "0:00:00"] == lines[3].split()
    said = json.loads(cli("stats", "--queue", "emails", "--json").out.splitlines()[1])
    assert (f"sqlite:///{file}", 1, 0) == (said["outbox"], said["waiting"], said["parked"])


def test_stats_without_an_app(cli):
    """Without an app and a queue the default queue is shown, and stderr says so."""
    result = cli("stats")
    assert 0 == result.code
    assert "default" in result.out
    assert "the queue 'default' is meant" in result.err


def test_undeclared_queue_suggests_the_nearest(cli, shop):
    """A queue that no task declares is shown all the same, with the name that may have been meant."""
    result = cli("stats", "--queue", "emial", "--queue", "emails", "--app", "shop")
    assert 0 == result.code
    assert "did you mean 'emails'?" in result.err
    assert 1 == result.err.count("note: no task")


def test_a_pause_is_shown(cli, filled):
    """By a look that changes nothing."""
    cli("pause", "emails", "--backend", filled.url)
    assert "yes" == cli("stats", "--queue", "emails").out.splitlines()[1].split()[-1]
    assert json.loads(cli("stats", "--queue", "emails", "--json").out)["paused"] is True


def test_two_looks_at_queue_and_worker_say_rates(cli, filled, monkeypatch, patient):
    """In ten seconds the worker ends 20 messages, and another one arrives."""
    metrics = worked()
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds
        for _ in range(20):
            metrics.ended(of("welcome"), Ending.SUCCEEDED, 2.0)
        cli("send", "t", "--unchecked", "--queue", "emails", "--backend", filled.url)

    monkeypatch.setattr(command.time, "sleep", sleep)
    monkeypatch.setattr(command, "SYSTEM_CLOCK", SimpleNamespace(elapsed=lambda: timedelta(seconds=now[0])))
    server = MetricsServer(("127.0.0.1", 0), metrics)
    server.start()
    options = ("--over", "10s", "--target-age", "1m", "--worker", "{}:{}".format(*server.address))
    try:
        found = json.loads(cli("stats", "--queue", "emails", *options, "--json", "--backend", filled.url).out)
        shown = cli("stats", "--queue", "emails", *options, "--backend", filled.url)
    finally:
        server.stop()
    assert (2.0, 2.1, 0.1) == (found["service_rate"], found["arrival_rate"], found["growth_rate"])
    assert (1, 3.0, 1, {}) == tuple(
        found[name] for name in ("workers", "backlog_per_worker", "recommended_workers", "unknown")
    )
    assert ["emails", "2.1", "2.0", "+0.1", "1", "4.0", "1"] == shown.out.splitlines()[3].split()
    assert "" == shown.err


def test_what_is_not_known_is_a_dash_with_its_reason(cli, filled):
    """A worker that isn't there, and one look."""
    result = cli("stats", "--queue", "emails", "--worker", "127.0.0.1:1", "--backend", filled.url)
    assert 0 == result.code
    assert ["emails", "-", "-", "-", "-", "-", "-"] == result.out.splitlines()[3].split()
    assert "note: emails: no service rate: the worker at 127.0.0.1:1:" in result.err
    assert "recommended" not in result.err  # nobody asked


@pytest.mark.cloudq_allow_real
def test_a_hosted_queue_says_what_it_can(cli, folder, monkeypatch):
    """SQS: its counts, no age; and a pause only where a store is named."""
    client = FakeSqs("emails", "emails-dlq")
    monkeypatch.setattr("cloudq.drivers.sqs.url.open_url", lambda *_: SQSDriver("test", client=client))
    cli("send", "t", "--unchecked", "--queue", "emails", "--backend", "sqs://test")
    found = json.loads(cli("stats", "--queue", "emails", "--backend", "sqs://test", "--json").out)
    assert (1, 0, 0, 0, None) == tuple(
        found[name] for name in ("ready", "delayed", "in_flight", "dead", "oldest_age_seconds")
    )
    assert (None, "the backend doesn't say") == (found["paused"], found["unknown"]["oldest_age_seconds"])
    assert "no store is named" in found["unknown"]["paused"]


@pytest.mark.cloudq_allow_real
def test_tasks_of_cloud_tasks_are_counted_and_its_pause_is_seen(cli, folder, monkeypatch):
    """By the state of its queue."""
    service = FakeCloudTasks("emails")
    monkeypatch.setattr("cloudq.drivers.cloud_tasks.url.open_url", lambda *_: service.driver())
    backend = ("--backend", "cloudtasks://my-project/europe-west1?target=https://worker.example/")
    cli("send", "t", "--unchecked", "--queue", "emails", "--delay", "1h", *backend)
    assert json.loads(cli("stats", "--queue", "emails", *backend, "--json").out)["paused"] is False
    cli("pause", "emails", *backend)
    found = json.loads(cli("stats", "--queue", "emails", *backend, "--json").out)
    assert (1, True) == (found["delayed"], found["paused"])
    assert "no dead-letter queue" in found["unknown"]["dead"]


@pytest.mark.parametrize(
    ("stats", "unknown"),
    [
        (QueueStats(ready=1, delayed=0, dead=0), {"in_flight", "oldest_age_seconds"}),  # Service Bus
        (QueueStats(dead=0), {"ready", "delayed", "in_flight", "oldest_age_seconds"}),  # Cloud Tasks, beyond 10,000
        (QueueStats(ready=0, delayed=0, in_flight=0, dead=0), set()),  # of nothing there is no age
    ],
)
def test_each_figure_that_is_missing_has_its_reason(cli, filled, monkeypatch, stats, unknown):
    """In JSON, by its name."""
    monkeypatch.setattr(SQLiteDriver, "stats", lambda *_: stats)
    found = json.loads(cli("stats", "--queue", "emails", "--backend", filled.url, "--json").out)["unknown"]
    assert unknown == {
        name for name in found if name in {"ready", "delayed", "in_flight", "oldest_age_seconds", "dead"}
    }


@pytest.mark.parametrize(
    "arguments", [("--over", "0"), ("--target-age", "x"), ("--task-time", "0"), ("--worker", "w"), ("--workers", "-1")]
)
def test_wrong_usage_is_2(cli, filled, arguments):
    """Before anything is asked."""
    assert 2 == cli("stats", "--queue", "emails", *arguments, "--backend", filled.url).code


def test_name_that_is_none_is_2(cli):
    """A dead-letter queue's name and what can't be a queue's name end with 2."""
    assert 2 == cli("stats", "--queue", "emails-dlq").code
    assert 2 == cli("stats", "--queue", "e mails").code
