"""`cloudq worker`: what it is told, what it refuses, its banner. It works in this process, in bursts."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

import cloudq
from cloudq import App
from cloudq.cli.worker import EVERYWHERE, address
from cloudq.errors import ConfigurationError
from cloudq.worker.settings import WorkerSettings

WRITER = """
from pathlib import Path
import cloudq
app = cloudq.App()

@app.task(queue="emails")
def write(name: str) -> None:
    Path(name).touch()

@app.task
def fail(reason: str) -> None:
    raise cloudq.DeadLetter(reason)
"""


@pytest.fixture
def writer(folder):
    """The folder with `writer.py`, whose tasks leave something behind."""
    (folder.path / "writer.py").write_text(WRITER)
    return folder


def test_burst(cli, writer):
    """It runs what is ready, keeps what failed, ends with 0, and stdout stays empty."""
    cli("send", "writer.write", '{"name": "done"}', "--app", "writer")
    cli("send", "writer.fail", '{"reason": "no good"}', "--app", "writer")
    result = cli("worker", "--app", "writer", "--burst")
    assert (0, "") == (result.code, result.out)
    assert (writer.path / "done").exists()
    assert "dead-lettered: no good" in result.err
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


def test_banner(cli, writer):
    """It says on stderr which version works for which app, on which backend, queues and tasks."""
    err = cli("worker", "--app", "writer", "--burst", "--queue", "emails=5", "--queue", "default", "--lease", "2m").err
    lines = err.splitlines()
    assert lines[0].startswith(f"cloudq {cloudq.__version__}, worker ")
    assert [
        f"  backend  {writer.url}, from CLOUDQ_URL",
        "  app      writer, from --app",
        "  queues   emails=5, default",
        "  tasks    writer.fail, writer.write",
        "  at once  10 tasks at once",
        "  leases   emails 120 s, default 120 s",
    ] == lines[1:7]


def test_banner_as_json(cli, writer):
    """With JSON logs the banner is a line like the others: every line is one object."""
    result = cli("worker", "--app", "writer", "--burst", "--log-format", "json", "--concurrency", "3")
    banner, *_ = [json.loads(line) for line in result.err.splitlines()]
    assert ("info", "cloudq.worker", cloudq.__version__, writer.url, {"emails": 1, "default": 1}, 3) == (
        banner["level"],
        banner["logger"],
        banner["version"],
        banner["backend"],
        banner["queues"],
        banner["concurrency"],
    )
    assert ["writer.fail", "writer.write"] == banner["tasks"]
    assert {"emails": 120, "default": 120} == banner["lease_seconds"]


def test_only_the_named_queues_are_served(cli, writer):
    """`--queue` leaves the others alone."""
    cli("send", "writer.write", '{"name": "done"}', "--app", "writer")
    assert 0 == cli("worker", "--app", "writer", "--burst", "--queue", "default").code
    assert not (writer.path / "done").exists()


def test_strict_is_the_order_given(cli, writer):
    """`--strict` reaches the worker, whose banner says so."""
    err = cli("worker", "--app", "writer", "--burst", "--queue", "emails", "--queue", "default", "--strict").err
    assert "  queues   emails, default (in this order)" in err.splitlines()


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
        *("--lease", "3m", "--wait", "20", "--prefetch", "2", "--health", "127.0.0.1:81", "--queue", "emails=2"),
    )
    assert [
        WorkerSettings(
            queues={"emails": 2},
            processes=3,
            burst=True,
            max_tasks=7,
            grace=timedelta(seconds=5),
            lease=timedelta(minutes=3),
            wait=timedelta(seconds=20),
            prefetch=2,
            health=("127.0.0.1", 81),
            app_spec="writer:app",
            app_folder=str(Path.cwd()),
            app_found=f"writer:app in {writer.path}, from --app",
        )
    ] == seen


def test_undeclared_queue_suggests_the_nearest(cli, writer):
    """A queue that no task declares is served all the same, with the name that may have been meant."""
    result = cli("worker", "--app", "writer", "--burst", "--queue", "emials")
    assert 0 == result.code
    assert "no task declares queue 'emials': did you mean 'emails'?" in result.err


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", (EVERYWHERE, 8080)),
        ("0", (EVERYWHERE, 0)),
        ("127.0.0.1:8080", ("127.0.0.1", 8080)),
        ("[::1]:8080", ("::1", 8080)),
        (":8080", (EVERYWHERE, 8080)),
    ],
)
def test_address(text, expected):
    """A bare port is served everywhere, HOST:PORT there."""
    assert expected == address(text)


@pytest.mark.parametrize("text", ["", "x", "localhost", "1:2:x", "-1", "65536", "٣"])
def test_no_address(text):
    """Anything else is refused."""
    with pytest.raises(ConfigurationError):
        address(text)


def test_the_banner_names_the_store_of_large_payloads(cli, shop, monkeypatch):
    """Its place, without our parameters; JSON has it, too."""
    monkeypatch.setenv("CLOUDQ_CLAIM_CHECK", "memory://payloads?threshold=2000")
    assert "  payloads too large for their queue: memory://payloads\n" in cli("worker", "--app", "shop", "--burst").err
    said = cli("worker", "--app", "shop", "--burst", "--log-format", "json").err
    assert "memory://payloads" == json.loads(said.splitlines()[0])["claim_check"]


def test_the_banner_tells_what_named_app_and_backend(cli, writer, monkeypatch):
    """A line each: the file, variable or option, so that a worker in the wrong folder is seen to be in one."""

    def told(*options: str) -> list[str]:
        lines = cli("worker", "--burst", *options).err.splitlines()
        return [line.strip() for line in lines if line.startswith(("  backend", "  app"))]

    monkeypatch.delenv("CLOUDQ_URL")
    logged = cli("worker", "--burst", "--log-format", "json", "--app", "writer").err.splitlines()
    line = next(line for line in map(json.loads, logged) if "app" in line)
    assert ("--app", "the default") == (line["app_from"], line["backend_from"])
    monkeypatch.setenv("CLOUDQ_URL", writer.url)
    monkeypatch.setenv("CLOUDQ_APP", "writer")
    assert [f"backend  {writer.url}, from CLOUDQ_URL", "app      writer, from CLOUDQ_APP"] == told()
    assert [f"backend  {writer.url}, from --backend", "app      writer, from CLOUDQ_APP"] == told(
        "--backend", writer.url
    )
    monkeypatch.delenv("CLOUDQ_APP")
    project = writer.path / "pyproject.toml"
    project.write_text('[tool.cloudq]\napp = "writer"\n')
    assert f"app      writer, from [tool.cloudq] app in {project}" == told()[1]
    project.unlink()
    usual = writer.path / "tasks.py"
    usual.write_text('import cloudq\napp = cloudq.App("sqlite:///own.db")\n@app.task\ndef t() -> None: ...\n')
    assert [f"backend  sqlite:///{writer.path / 'own.db'}, from the App", f"app      tasks, from {usual}"] == told()
