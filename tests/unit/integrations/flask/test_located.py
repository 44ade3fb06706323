"""The App of the Flask app that `FLASK_APP` names."""

from __future__ import annotations

import sys

import pytest

import cloudq
from cloudq.discovery import load_app
from cloudq.errors import ConfigurationError
from cloudq.integrations.flask import located
from cloudq.integrations.flask.command import APP_SPEC
from tests.imports import imported_within

SHOP = """
import cloudq
from flask import Flask
from cloudq.integrations.flask import Cloudq

app = cloudq.App()
queue = Cloudq(app=app)

@app.task("t")
def task() -> None: ...

def create_app(default_queue="default"):
    web = Flask("shop")
    web.config["CLOUDQ_DEFAULT_QUEUE"] = default_queue
    queue.init_app(web)
    return web
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("FLASK_APP", raising=False)
    with imported_within(tmp_path):
        yield tmp_path


@pytest.mark.parametrize(
    ("spec", "queue"), [("web", "default"), ("web.py:create_app", "default"), ("web:create_app('mail')", "mail")]
)
def test_the_application_is_named_as_flask_takes_it(folder, monkeypatch, spec, queue):
    """By a module, a file, a factory, also with arguments; and loaded as `cloudq --app` loads every App."""
    (folder / "web.py").write_text(SHOP)
    monkeypatch.setenv("FLASK_APP", spec)
    app = load_app(APP_SPEC)
    assert (["t"], queue) == (list(app.tasks), app.default_queue)


def test_without_a_name_it_is_wsgi_py_or_app_py(folder):
    """As for `flask`."""
    (folder / "wsgi.py").write_text(SHOP)
    assert isinstance(located.app, cloudq.App)


def test_what_flask_does_not_find_is_said(folder):
    """In Flask's words, as an error of the configuration."""
    with pytest.raises(ConfigurationError, match="Could not locate a Flask application") as refused:
        _ = located.app
    assert "flask --app" in str(refused.value.hint)


def test_an_application_without_the_extension_is_refused(folder, monkeypatch):
    """With what to write."""
    (folder / "bare.py").write_text("from flask import Flask\napp = Flask('bare')\n")
    monkeypatch.setenv("FLASK_APP", "bare")
    with pytest.raises(ConfigurationError, match="'bare' has no cloudq") as refused:
        load_app(APP_SPEC)
    assert "init_app" in str(refused.value.hint)


def test_nothing_else_is_there():
    """And asking for that makes no application."""
    with pytest.raises(AttributeError, match="no attribute 'queue'"):
        _ = located.queue
