"""What `cloudq worker --app cloudq.integrations.django.worker_app` finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.projects.django_site.reports.names import NAMES

pytestmark = pytest.mark.slow
APP = "cloudq.integrations.django.worker_app"
SETTINGS = "tests.projects.django_site.settings"


def cloudq(folder: Path, *arguments: str, settings: str = SETTINGS) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": settings,
        "CLOUDQ_URL": f"sqlite:///{folder}/q.db",
        "PYTHONPATH": os.pathsep.join([str(folder), os.getcwd()]),  # noqa: PTH109 - a text is wanted
    }
    command = [sys.executable, "-m", "cloudq", *arguments]
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=110, check=False
    )


def test_a_worker_runs_what_was_enqueued_elsewhere(tmp_path: Path) -> None:
    """In another process, by the task's name; `cloudq tasks` lists what the apps have."""
    listed = cloudq(tmp_path, "tasks", "--app", APP, "--json")
    assert 0 == listed.returncode, listed.stderr
    assert {NAMES.add, NAMES.odd} <= {json.loads(line)["name"] for line in listed.stdout.splitlines()}
    sent = cloudq(tmp_path, "send", "--app", APP, NAMES.add, '{"args": [1], "kwargs": {"b": 2}}')
    assert 0 == sent.returncode, sent.stderr
    worked = cloudq(tmp_path, "worker", "--app", APP, "--burst")
    assert 0 == worked.returncode, worked.stderr
    assert f"path={NAMES.add} state=SUCCESSFUL" in worked.stderr


def test_another_back_end_by_its_alias(tmp_path: Path) -> None:
    """Of one that isn't there, or isn't ours, it says so."""
    (tmp_path / "others.py").write_text(
        f"from {SETTINGS} import *\n"
        f"TASKS = {{'mail': {{**TASKS['default'], 'OPTIONS': {{'url': 'sqlite:///{tmp_path}/mail.db'}}}}, **TASKS,\n"
        "    'now': {'BACKEND': DJANGOS + '.backends.immediate.ImmediateBackend'}}\n"
    )
    unknown, theirs, mail = (
        cloudq(tmp_path, "worker", "--app", f"{APP}:{alias}", "--burst", settings="others")
        for alias in ("nobody", "now", "mail")
    )
    assert (2, True) == (unknown.returncode, "no back end 'nobody'" in unknown.stderr)
    assert (2, True) == (theirs.returncode, "whose tasks cloudq doesn't run" in theirs.stderr)
    assert (2, True) == (mail.returncode, "declares no task" in mail.stderr)  # none of the project's is of that one


def test_without_a_project_it_says_so(tmp_path: Path) -> None:
    """In place of an error of Django's."""
    ended = cloudq(tmp_path, "tasks", "--app", APP, settings="")
    assert (2, True) == (ended.returncode, "DJANGO_SETTINGS_MODULE" in ended.stderr)
