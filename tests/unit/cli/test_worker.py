"""`cloudq worker`: what it is told, what it refuses, its banner. It works in this process, in bursts."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from threading import Event

import pytest

from cloudq import App
from cloudq.drivers.sqs import SQSDriver
from cloudq.worker.settings import WorkerSettings
from tests.unit.drivers.sqs.fakes import FakeSqs


def test_burst(cli, writer):
    """It runs what is ready, keeps what failed, ends with 0, and stdout stays empty."""
    cli("send", "writer.write", '{"name": "done"}', "--app", "writer")
    cli("send", "writer.fail", '{"reason": "no good"}', "--app", "writer")
    result = cli("worker", "--app", "writer", "--burst")
    assert (0, "") == (result.code, result.out)
    assert (writer.path / "done").exists()
    assert "dead_lettered: no good" in result.err
    assert "no good" in cli("dlq", "list", "default").out


def test_a_burst_says_what_it_leaves(cli, writer):
    """Messages of tasks that it doesn't know go back, and it ends with 1; its own are run."""
    cli("send", "writer.write", '{"name": "done"}', "--app", "writer")
    cli("send", "bank.pay", "--unchecked", "--queue", "emails", "--app", "writer")
    result = cli("worker", "--app", "writer", "--burst")
    assert 1 == result.code
    assert (writer.path / "done").exists()
    assert "the burst ends with work left: queue emails: 1 message of unknown tasks went back, bank.pay" in result.err


def test_a_burst_among_strangers_says_how_its_app_was_found(cli, writer):
    """Who is in the wrong folder sees which one it is."""
    for _ in range(10):
        cli("send", "bank.pay", "--unchecked", "--queue", "emails", "--app", "writer")
    result = cli("worker", "--app", "writer", "--burst")
    assert 1 == result.code
    assert f"was found as writer in {writer.path}, from --app" in result.err


def test_only_the_named_queues_are_served(cli, writer):
    """`--queue` leaves the others alone."""
    cli("send", "writer.write", '{"name": "done"}', "--app", "writer")
    assert 0 == cli("worker", "--app", "writer", "--burst", "--queue", "default").code
    assert not (writer.path / "done").exists()


def test_strict_is_the_order_given(cli, writer):
    """`--strict` reaches the worker, whose banner says so."""
    err = cli("worker", "--app", "writer", "--burst", "--queue", "emails", "--queue", "default", "--strict").err
    assert "  queues   emails, default (in this order)" in err.splitlines()


@pytest.mark.cloudq_allow_real
def test_a_queue_that_is_missing_is_3_with_fail_fast(cli, writer, monkeypatch):
    """The log says which, and what to do."""
    monkeypatch.setattr(
        "cloudq.drivers.sqs.url.open_url", lambda url, clock: SQSDriver("test", client=FakeSqs("default"), clock=clock)
    )
    result = cli("worker", "--app", "writer", "--backend", "sqs://test", "--fail-fast", "--wait", "0")
    assert (3, "") == (result.code, result.out), result.err
    assert "there is no queue 'emails' on Amazon SQS" in result.err
    assert "cloudq queues create emails" in result.err
    assert "fail fast: queue emails can't be received from" in result.err


def test_settings_reach_the_worker(cli, writer, monkeypatch):
    """Each option arrives in the worker's settings, in their units."""
    seen = []

    class Stopped(Exception):
        pass

    def worker(_app, settings):
        seen.append(settings)
        raise Stopped

    monkeypatch.setattr("cloudq.worker.service.Worker", worker)
    cli(
        *("worker", "--app", "writer:app", "--processes", "3", "--burst", "--max-tasks", "7", "--grace", "5"),
        *(
            "--lease",
            "3m",
            "--wait",
            "20",
            "--prefetch",
            "2",
            "--polls",
            "3",
            "--health",
            "127.0.0.1:81",
            "--metrics-port",
            "127.0.0.1:82",
            "--queue",
            "emails=2",
        ),
        "--fail-fast",
    )
    assert [
        WorkerSettings(
            queues={"emails": 2},
            processes=3,
            burst=True,
            fail_fast=True,
            max_tasks=7,
            grace=timedelta(seconds=5),
            lease=timedelta(minutes=3),
            wait=timedelta(seconds=20),
            prefetch=2,
            polls=3,
            health=("127.0.0.1", 81),
            metrics=("127.0.0.1", 82),
            app_spec="writer:app",
            app_folder=str(Path.cwd()),
            app_found=f"writer:app in {writer.path}, from --app",
        )
    ] == seen


def test_a_summary_is_logged(cli, writer):
    """At the end as well, of what is left of a period; a worker that computes in processes counts in the parent."""
    cli("send", "writer.write", '{"name": "done"}', "--app", "writer")
    said = cli("worker", "--app", "writer", "--burst", "--log-summary", "60").err
    assert "s: 1 succeeded (" in said
    assert 2 == cli("worker", "--app", "writer", "--log-summary", "0").code


def test_max_tasks(cli, writer):
    """`--max-tasks` ends after so many; the rest stays."""
    for name in "abc":
        cli("send", "writer.write", json.dumps({"name": name}), "--app", "writer")
    assert 0 == cli("worker", "--app", "writer", "--max-tasks", "2", "--queue", "emails", "--lease", "5").code
    app = App(writer.url)
    assert 1 == app.queue("emails").stats().ready
    app.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--processes", "2", "--concurrency", "5"), "exclude each other"),
        (("--backend", "memory://"), "one process"),
        (("--queue", "a", "--queue", "a=2"), "twice"),
        (("--queue", "a=0"), "weight"),
        (("--queue", "a=x"), "weight"),
        (("--queue", "a=5", "--strict"), "--strict"),
        (("--queue", "a-dlq"), "dead-letter"),
        (("--grace", "soon"), "--grace"),
        (("--health", "x"), "--health"),
        (("--health", "99999"), "--health"),
        (("--metrics-port", "x"), "--metrics-port"),
        (("--log-format", "xml"), "--log-format"),
        (("--log-level", "loud"), "log level"),
    ],
)
def test_what_cant_work_is_2(cli, writer, arguments, said):
    """What can't work is refused at the start with 2, a reason and a hint."""
    result = cli("worker", "--app", "writer", "--burst", *arguments)
    assert (2, "") == (result.code, result.out)
    assert said in result.err
    assert "hint: " in result.err


def test_lease_of_nothing_is_2(cli, writer):
    """A lease has to last."""
    result = cli("worker", "--app", "writer", "--burst", "--lease", "0")
    assert 2 == result.code
    assert "--lease '0' has to be longer than nothing" in result.err
    assert "hint: --lease 30s" in result.err


def test_push_backend_is_2(cli, writer, monkeypatch):
    """A backend that pushes has nothing to poll."""

    class Pushing:
        def close(self):
            return

    monkeypatch.setattr("cloudq.queues.connection.open_driver", lambda *_: Pushing())
    result = cli("worker", "--app", "writer", "--burst")
    assert 2 == result.code
    assert "pushes" in result.err


def test_no_app_is_2(cli):
    """Without tasks there is nothing to do: what was tried is said."""
    result = cli("worker")
    assert 2 == result.code
    assert "tried --app" in result.err


def test_log_lines_are_redacted_as_the_app_says(cli, folder):
    """The app's own lines, too: its `redact` is known once the app is loaded."""
    (folder.path / "secretive.py").write_text(
        "import logging, cloudq\napp = cloudq.App(redact=lambda text: text.replace('tenant-7', 'T'))\n"
        "@app.task('t')\ndef t() -> None: logging.getLogger('shop').warning('of tenant-7')\n"
    )
    assert 0 == cli("send", "t", "--app", "secretive").code
    said = cli("worker", "--app", "secretive", "--burst").err
    assert (True, False) == ("WARNING shop: of T  task=t id=" in said, "tenant-7" in said)


def test_old_records_go_while_it_works(cli, writer, monkeypatch):
    """Beside its tasks: what was kept for long enough is removed from its store."""
    swept = Event()
    monkeypatch.setattr("cloudq.running.sweeping.EVERY", timedelta(0))
    monkeypatch.setattr("cloudq.stores.sqlite.SqliteStore.sweep", lambda store, limit: swept.set() or 0)
    result = cli("worker", "--app", "writer", "--burst")
    assert 0 == result.code
    assert swept.wait(60)
