"""A project written for Celery, before and after it moved: its own tests, unchanged, and a worker of ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "tests/projects/celery_shop"
GUIDE = ROOT / "docs/how-to/coming-from-celery.md"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(folder: Path, *words: str, **more: str) -> str:
    """What a Python of its own prints, in the project's folder."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDQ_", "COV_", "CELERY_"))}
    ran = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**clean, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project as it was written for Celery."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return folder


def move(project: Path) -> list[str]:
    """What the guide says to do: its command for the imports. Returns the files that it changed."""
    command = re.search(r"^ *\$ sed -i -E '(s/.*/)' ", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert command is not None
    files = sorted(project.rglob("*.py"))
    before = {path: path.read_bytes() for path in files}
    subprocess.run(["sed", "-i", "-E", command[1], *map(str, files)], check=True, timeout=60)
    return [str(path.relative_to(project)) for path in files if before[path] != path.read_bytes()]


ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # none of this suite's plug-ins, which take longer than the tests
TESTS = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "shop_tests.py")


def test_the_projects_tests_pass_with_celery(project: Path) -> None:
    """Else they would prove nothing."""
    assert "17 passed" in run(project, *TESTS, **ALONE)


def test_the_same_tests_pass_after_the_move(project: Path) -> None:
    """One import changed in two files; neither the tests nor the settings."""
    assert ["shop/app.py", "shop/tasks.py"] == move(project)
    assert (PROJECT / "shop_tests.py").read_bytes() == (project / "shop_tests.py").read_bytes()
    assert "17 passed" in run(project, *TESTS, **ALONE)


SENDS = """
from datetime import UTC, datetime, timedelta
from shop import tasks
tasks.add.delay(1, 2)
tasks.resize.delay("a.png")
tasks.mail_reminder.apply_async(("ann",), eta=datetime.now(UTC) - timedelta(seconds=1))
tasks.export.delay("bad")
"""


def test_a_worker_serves_the_project_after_the_move(project: Path) -> None:
    """All queues that its tasks and routes name, without a word of Celery's."""
    move(project)
    settings = project / "shop/settings.py"
    settings.write_text(settings.read_text("utf-8").replace("memory://", "sqlite:///shop.db"), encoding="utf-8")
    run(project, "-c", SENDS)
    how = ("--burst", "--log-format", "json", "--log-level", "debug")
    log = run(project, "-m", "cloudq", "worker", "--app", "shop.app:app", *how)
    ended = dict(re.findall(r'"task":"([\w.]+)"[^\n]*"outcome":"(\w+)"', log))
    assert {
        "shop.tasks.add": "succeeded",
        "shop.tasks.resize": "succeeded",
        "shop.tasks.mail_reminder": "succeeded",
        "shop.tasks.export": "dead_lettered",
    } == ended, log
