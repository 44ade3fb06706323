"""`cloudq migrate-report celery`."""

from __future__ import annotations

import json
import os

import celery._state
import pytest

CELERY = """
from celery import Celery, chain
app = Celery("proj", broker="redis://:secret@host", set_as_current=False)

@app.task(bind=True, max_retries=None)
def one(self, a): ...

def start():
    chain(one.s(1), one.s(2)).apply_async(countdown=5)
"""


@pytest.fixture
def project(folder, monkeypatch):
    """A folder with a module that was written for Celery. Its tasks would be those of every app of the process."""
    monkeypatch.setattr(celery._state, "_on_app_finalizers", set())
    (folder.path / "celery_proj_of_h.py").write_text(CELERY, encoding="utf-8")
    return folder.path


def test_it_says_what_maps_what_changes_and_what_has_no_counterpart(cli, project):
    """And ends with 1 if something has none. No URL is shown."""
    result = cli("migrate-report", "celery", "celery_proj_of_h:app")
    assert (1, "") == (result.code, result.err)
    assert ", 2 change their meaning, 2 have no counterpart\n" in result.out
    refused, rest = result.out.split("What is honoured, and changes its meaning")
    assert "broker_url redis" in refused
    assert "celery_proj_of_h.py:9" in refused
    assert "max_retries" in rest
    assert "countdown" in rest
    assert "secret" not in result.out


def test_a_program_reads_a_line_a_thing(cli, project):
    """With all places, and the verdicts as words."""
    result = cli("migrate-report", "celery", "celery_proj_of_h", "--json")
    found = {(one["kind"], one["name"]): one for one in map(json.loads, result.out.splitlines())}
    assert ("refused", ["celery_proj_of_h.py:9"]) == (
        found["canvas", "chain"]["verdict"],
        found["canvas", "chain"]["places"],
    )
    assert "maps" == found["task", "task"]["verdict"]
    assert "changes" == found["task option", "max_retries"]["verdict"]


@pytest.mark.parametrize(("does", "code"), [("print('hello')", 1), ("raise SystemExit(0)", 2)])
def test_what_an_app_does_while_it_is_imported_is_no_report(cli, project, does, code):
    """What it prints is no line of it, and its exit no success."""
    (project / "celery_doing_of_h.py").write_text(f"{does}\n{CELERY}", encoding="utf-8")
    result = cli("migrate-report", "celery", "celery_doing_of_h:app", "--json")
    assert code == result.code
    assert all(json.loads(line)["verdict"] for line in result.out.splitlines())
    assert "celery_doing_of_h" in result.err or "hello" in result.err


def test_sources_alone_import_nothing(cli, project):
    """For a program whose app can't be imported here."""
    (project / "src").mkdir()
    (project / "src/a.py").write_text("raise SystemExit\n@app.task(acks_late=True)\ndef f(): ...\n", encoding="utf-8")
    result = cli("migrate-report", "celery", "--source", "src")
    assert (0, "") == (result.code, result.err)
    assert "acks_late" in result.out
    assert f"src{os.sep}a.py:3" in result.out


def test_a_file_that_isnt_python_is_told_and_passed_over(cli, project):
    """The rest is read."""
    (project / "broken.py").write_text("def", encoding="utf-8")
    result = cli("migrate-report", "celery", "--source", ".")
    assert "note: broken.py isn't read: " in result.err
    assert "chain" in result.out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("no_such_module_of_h:app",), "there is no module 'no_such_module_of_h'"),
        (
            ("celery_proj_of_h:nothing",),
            "celery_proj_of_h:nothing is no app of Celery's: there is nothing of that name",
        ),
        (("celery_proj_of_h:start",), "is no app of Celery's"),
        (("--source", "nowhere"), "--source 'nowhere' is no folder"),
    ],
)
def test_what_cant_be_read_is_wrong_usage(cli, project, words, what):
    """2, and what to do."""
    result = cli("migrate-report", "celery", *words)
    assert (2, "") == (result.code, result.out)
    assert what in result.err
    assert "hint: " in result.err
