"""`cloudq worker` on a backend that pushes: what it is told, what it refuses, its banner."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

import cloudq
from cloudq.cli.worker_push import EVERYWHERE, LOCALHOST, Serving, listens_at
from cloudq.errors import BackendUnavailable, ConfigurationError, PermissionDenied, QueueNotFound
from cloudq.push import PushSettings
from cloudq.push.server import ServerSettings
from tests.unit.push.fakes import ACCOUNT, AUDIENCE, URL, PushedDriver

# The services are faked behind their URLs: nothing is reached.
pytestmark = [pytest.mark.usefixtures("shop"), pytest.mark.cloudq_allow_real]


@pytest.fixture(autouse=True)
def pushing(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cloudtasks://` opens a backend in memory."""
    monkeypatch.setattr("cloudq.queues.connection.open_driver", lambda *_: PushedDriver())
    monkeypatch.setenv("CLOUDQ_URL", URL)
    monkeypatch.setenv("CLOUDQ_STORE_URL", "none")  # a task of the shop declares a key
    monkeypatch.delenv("PORT", raising=False)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """The workers that ran, each of which ended at once."""
    seen: list[Any] = []

    def run(worker: Any) -> int:
        seen.append(worker)
        worker._close()
        return 0

    monkeypatch.setattr("cloudq.push.server.PushWorker.run", run)
    return lambda: seen[-1]


def test_settings_reach_the_worker(cli, started):
    """Each option arrives in the worker's settings, in their units."""
    result = cli(
        *("worker", "--app", "shop", "--queue", "emails", "--concurrency", "3", "--max-tasks", "7", "--grace", "5"),
        *("--host", "localhost", "--port", "0", "--service-account", "a@b", "--service-account", "c@d"),
        *("--unsigned-account", "c@d"),
        *("--audience", "x", "--verified-in-front", "--health", "127.0.0.1:0"),
        *("--metrics-port", "127.0.0.1:0"),
    )
    assert (0, "") == (result.code, result.out), result.err
    assert started().settings == PushSettings(
        concurrency=3,
        waiting=3,
        queues=["emails"],
        service_accounts=["a@b", "c@d"],
        unsigned_accounts=["c@d"],
        audiences=["x"],
        verified_in_front=True,
    )
    assert started().server == ServerSettings(
        host="localhost",
        port=0,
        grace=timedelta(seconds=5),
        max_tasks=7,
        health=("127.0.0.1", 0),
        metrics=("127.0.0.1", 0),
    )


@pytest.mark.parametrize("error", [QueueNotFound("there is no queue 'emails'"), PermissionDenied("not yours")])
def test_a_queue_that_is_missing_is_3_with_fail_fast(cli, started, monkeypatch, error):
    """It is looked at before anything listens; what passes by itself is a note."""
    asked = []

    def stats(self, queue):
        asked.append(queue)
        if queue == "emails":
            raise error
        raise BackendUnavailable("no route")

    monkeypatch.setattr(PushedDriver, "stats", stats)
    result = cli("worker", "--app", "shop", "--port", "0", "--fail-fast")
    assert (3, "emails") == (result.code, asked[-1])
    assert error.message in result.err
    assert 0 == cli("worker", "--app", "shop", "--port", "0", "--fail-fast", "--queue", "default").code
    assert (
        "queue 'default' couldn't be looked at: no route"
        in cli("worker", "--app", "shop", "--port", "0", "--fail-fast", "--queue", "default").err
    )
    assert 0 == cli("worker", "--app", "shop", "--port", "0").code


def test_banner(cli, started):
    """It says on stderr which version serves which app, where, and who may push."""
    lines = cli("worker", "--app", "shop", "--backend", "cloudtasks", "--port", "0").err.splitlines()
    host, port = started().address
    assert lines[0].startswith(f"cloudq {cloudq.__version__}, worker ")
    assert [
        "  app      shop, from --app",
        "  queues   whichever push here",
        "  tasks    shop.report, shop.welcome",
        "  at once  10 tasks at once",
        f"  address  http://{host}:{port}",
        f"  pushers  {ACCOUNT}, for {AUDIENCE}",
    ] == lines[2:8]
    assert "  backend  cloudtasks://project-1/europe-west1" in lines[1]


def test_banner_as_json(cli, started):
    """With JSON logs the banner is a line like the others."""
    err = cli("worker", "--app", "shop", "--port", "0", "--log-format", "json", "--queue", "emials").err
    banner, *_ = [json.loads(line) for line in err.splitlines()]
    assert (["emials"], 10, started().address[1], [ACCOUNT], [AUDIENCE]) == (
        banner["queues"],
        banner["concurrency"],
        banner["port"],
        banner["service_accounts"],
        banner["audiences"],
    )


def test_undeclared_queue_suggests_the_nearest(cli, started):
    """As for the polling worker."""
    err = cli("worker", "--app", "shop", "--port", "0", "--queue", "emials").err
    assert "no task declares queue 'emials': did you mean 'emails'?" in err


def test_without_tokens(cli, started):
    """`--insecure-no-auth` is for this machine only, and the banner says so."""
    result = cli("worker", "--app", "shop", "--port", "0", "--insecure-no-auth")
    assert "  pushers  anybody on this machine (--insecure-no-auth)" in result.err.splitlines()
    result = cli("worker", "--app", "shop", "--port", "0", "--insecure-no-auth", "--host", EVERYWHERE)
    assert 2 == result.code
    assert "without tokens" in result.err


def test_without_tokens_where_port_is_set(cli, monkeypatch):
    """Where PORT is set it would listen on all addresses, so that is refused, too."""
    monkeypatch.setenv("PORT", "8080")
    result = cli("worker", "--app", "shop", "--insecure-no-auth")
    assert 2 == result.code
    assert "without tokens" in result.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--lease", "60"), "--lease"),
        (("--wait", "5"), "--wait"),
        (("--prefetch", "0"), "--prefetch"),
        (("--polls", "1"), "--polls"),
        (("--burst",), "--burst"),
        (("--strict",), "--strict"),
        (("--processes", "2"), "--processes"),
        (("--queue", "emails=5"), "a weight of --queue"),
        (("--burst", "--prefetch", "1"), "--burst, --prefetch"),
    ],
)
def test_options_of_the_polling_worker_are_refused(cli, arguments, said):
    """With 2, a reason and a hint: to ignore them would be to do something else than was asked for."""
    result = cli("worker", "--app", "shop", "--port", "0", *arguments)
    assert (2, "") == (result.code, result.out)
    assert f"and {said} is for backends that are polled" in result.err
    assert "hint: " in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--host", "127.0.0.1"),
        ("--port", "0"),
        ("--audience", "x"),
        ("--service-account", "a@b"),
        ("--unsigned-account", "a@b"),
        ("--verified-in-front",),
        ("--insecure-no-auth",),
    ],
)
def test_options_of_the_push_worker_are_refused(cli, arguments, monkeypatch, folder):
    """The other way round, by the polling worker."""
    monkeypatch.undo()
    monkeypatch.chdir(folder.path)
    result = cli("worker", "--app", "shop", "--backend", folder.url, "--burst", *arguments)
    assert (2, "") == (result.code, result.out)
    assert f"{arguments[0]} is for backends that push" in result.err


def test_nobody_who_may_push_is_2(cli, monkeypatch):
    """Without an account, in the URL or given, it doesn't start."""
    monkeypatch.setenv("CLOUDQ_URL", "cloudtasks://project-1/europe-west1?target=https://worker.example/")
    result = cli("worker", "--app", "shop", "--port", "0")
    assert 2 == result.code
    assert "who may push" in result.err


def serving(host: str | None = None, port: int | None = None) -> Serving:
    return Serving(
        host=host,
        port=port,
        service_accounts=None,
        unsigned_accounts=None,
        audiences=None,
        verified_in_front=False,
        insecure_no_auth=False,
    )


@pytest.mark.parametrize(
    ("variable", "given", "expected"),
    [
        (None, serving(), (LOCALHOST, 8080)),
        ("", serving(), (LOCALHOST, 8080)),
        ("9000", serving(), (EVERYWHERE, 9000)),
        ("9000", serving(port=1), (EVERYWHERE, 1)),
        ("9000", serving(host="::1"), ("::1", 9000)),
        ("x", serving(host="::1", port=0), ("::1", 0)),
        (None, serving(port=0), (LOCALHOST, 0)),
    ],
)
def test_where_it_listens(variable, given, expected, monkeypatch):
    """On PORT and on all addresses where Cloud Run sets it; else on this machine only."""
    if variable is not None:
        monkeypatch.setenv("PORT", variable)
    assert expected == listens_at(given)


@pytest.mark.parametrize("text", ["x", "0", "65536", "-1", "8080/tcp", "٣"])
def test_a_port_that_is_none(text, monkeypatch):
    """`PORT` is refused if it is no port."""
    monkeypatch.setenv("PORT", text)
    with pytest.raises(ConfigurationError, match="PORT"):
        listens_at(serving())


def test_old_records_go_while_it_works(cli, started, monkeypatch, tmp_path):
    """As beside the polling worker."""
    swept = Event()
    monkeypatch.setenv("CLOUDQ_STORE_URL", f"sqlite:///{tmp_path}/keys.db")
    monkeypatch.setattr("cloudq.running.sweeping.EVERY", timedelta(0))
    monkeypatch.setattr("cloudq.stores.sqlite.SqliteStore.sweep", lambda store, limit: swept.set() or 0)
    assert 0 == cli("worker", "--app", "shop", "--port", "0").code
    assert swept.wait(60)


def test_a_declared_key_without_a_store_is_2(cli, monkeypatch):
    """The task is named, and both ways out."""
    monkeypatch.delenv("CLOUDQ_STORE_URL")
    result = cli("worker", "--app", "shop", "--insecure-no-auth")
    assert 2 == result.code
    assert "task 'shop.welcome' declares an idempotency key, and there is no store to claim it in" in result.err
    assert "CLOUDQ_STORE_URL=postgresql://" in result.err
    assert 'App(store="none")' in result.err
