"""What a worker says on stderr before it begins."""

from __future__ import annotations

import json

import cloudq
from cloudq import App
from cloudq.cli.banner import show_banner
from cloudq.cli.choosing import Chosen


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


def test_undeclared_queue_suggests_the_nearest(cli, writer):
    """A queue that no task declares is served all the same, with the name that may have been meant."""
    result = cli("worker", "--app", "writer", "--burst", "--queue", "emials")
    assert 0 == result.code
    assert "no task declares queue 'emials': did you mean 'emails'?" in result.err


def test_the_banner_names_the_store_of_large_payloads(cli, shop, monkeypatch):
    """Its place, without our parameters; JSON has it, too."""
    monkeypatch.setenv("CLOUDQ_CLAIM_CHECK", "memory://payloads?threshold=2000")
    assert "  payloads too large for their queue: memory://payloads\n" in cli("worker", "--app", "shop", "--burst").err
    said = cli("worker", "--app", "shop", "--burst", "--log-format", "json").err
    assert "memory://payloads" == json.loads(said.splitlines()[0])["claim_check"]


def test_the_banner_names_the_store_of_keys(writer, capsys):
    """Where keys are declared, or a store is chosen; without the password in its URL."""

    def told(*, keyed: bool = False, **settings: str) -> tuple[str, object]:
        app = App(writer.url, **settings)
        if keyed:
            app.task("t", idempotency_key="{n}")(lambda n: None)
        for as_json in (False, True):
            show_banner(Chosen(app=app, spec="a", how="--app"), {}, {}, as_json=as_json)
        *lines, said = capsys.readouterr().err.splitlines()
        return next((line.strip() for line in lines if line.startswith("  keys")), ""), json.loads(said)["store"]

    assert ("", None) == told()
    assert (f"keys     claimed in {writer.url}", writer.url) == told(keyed=True)
    assert ("keys     left to the backend", "none") == told(keyed=True, store="none")
    assert ("keys     claimed in redis://***@host", "redis://***@host") == told(store="redis://:secret@host")


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


def test_no_line_of_the_banner_is_forged(writer, capsys):
    """A task's or a folder's name is one line of it, and the JSON can be shown on a terminal."""
    chosen = Chosen(app=App(writer.url), spec="evil\n  backend  elsewhere\u2028", how="--app")
    show_banner(chosen, {}, {}, as_json=False)
    show_banner(chosen, {}, {}, as_json=True)
    *lines, as_json, end = capsys.readouterr().err.split("\n")
    assert (1, "") == (sum(line.startswith("  backend") for line in lines), end)
    assert all(line.isprintable() for line in [*lines, as_json])
    assert "evil\n  backend  elsewhere\u2028" == json.loads(as_json)["app"]
