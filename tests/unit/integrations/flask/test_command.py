"""`flask cloudq ...` is cloudq's own command line, with the application's tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask
from flask.cli import FlaskGroup

import cloudq
from cloudq.integrations.flask import Cloudq, command
from tests.imports import imported_within

ROOT = Path(__file__).parents[4]
WEB = """
import cloudq
import flask
from cloudq.integrations.flask import Cloudq

queue = Cloudq()

@cloudq.task
def welcome(user_id: int) -> None:
    print(f"{flask.current_app.name} welcomes {user_id}", flush=True)

def create_app():
    web = flask.Flask("shop")
    web.config["CLOUDQ_URL"] = "sqlite:///shop.db"
    queue.init_app(web)

    @web.post("/users/<int:user_id>")
    def join(user_id: int) -> str:
        return welcome.send(user_id).id

    return web
"""


class Became(Exception):
    """In the place of `os.execve`, which doesn't return."""


@pytest.fixture
def became(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    calls: list[tuple[list[str], dict[str, str]]] = []

    def execve(program: str, words: list[str], environment: dict[str, str]) -> None:
        calls.append((words, environment))
        raise Became

    monkeypatch.setattr(command.os, "execve", execve)
    monkeypatch.delenv("FLASK_APP", raising=False)
    return calls


def a_web() -> Flask:
    web = Flask("shop")
    Cloudq(web, app=cloudq.App())
    return web


def test_all_words_are_the_command_lines_own(became, tmp_path, monkeypatch):
    """Options too, help among them; and who makes the App is told by the environment, as children need it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "web_of_command.py").write_text(WEB)
    words = ["worker", "--queue", "mail=5", "--burst", "--help"]
    with imported_within(tmp_path), pytest.raises(Became):
        FlaskGroup().main(["--app", "web_of_command", "cloudq", *words], standalone_mode=False)
    [(called, environment)] = became
    assert [sys.executable, "-m", "cloudq", *words] == called
    assert "web_of_command" == environment["FLASK_APP"]
    assert command.APP_SPEC == environment["CLOUDQ_APP"]


def test_an_application_that_a_script_makes_is_not_taken_for_another(became, capsys):
    """It has no name by which a worker could make it: else whatever lies in the folder would be served."""
    with pytest.raises(SystemExit) as end:
        FlaskGroup(create_app=a_web).main(["cloudq", "worker"])
    assert 2 == end.value.code
    assert "name it with --app" in capsys.readouterr().err
    assert [] == became


@pytest.mark.slow
def test_a_worker_runs_what_the_application_sent(tmp_path):
    """In real processes: a request's send, then the worker, whose exit code is its own."""
    (tmp_path / "web.py").write_text(WEB)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDQ_", "FLASK_"))}
    environment |= {"PYTHONPATH": str(ROOT), "FLASK_APP": "web"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    sent = run("-c", "import web; print(web.create_app().test_client().post('/users/42').text)")
    assert 0 == sent.returncode, sent.stderr
    worked = run("-m", "flask", "cloudq", "worker", "--burst")
    assert (0, "shop welcomes 42\n") == (worked.returncode, worked.stdout), worked.stderr
    assert 2 == run("-m", "flask", "cloudq", "worker", "--no-such-option").returncode
