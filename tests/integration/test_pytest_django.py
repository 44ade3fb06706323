"""The recipes of `docs/how-to/use-in-django.md`, as written: by pytest-django, and by Django's own runner.

In the environment of Django 6, as pytest-django's plugin isn't to take part in this test run.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.django_tasks import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the environment is made once, from a package index

PAGE: Final = environment.ROOT / "docs/how-to/use-in-django.md"
FENCE: Final = re.compile(r"^```(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE: Final = re.compile(r'title="([^"]+)"')
# What a project's installation of cloudq does by itself.
PLUGIN: Final = ("-p", "cloudq.testing.plugin")
# Async tasks' ORM calls are made in another thread: they are part of the mark's transaction, and gone with it.
LEDGER: Final = """
import pytest

from cloudq.default_app import default
from cloudq.testing import in_memory, run_all
from tests.projects.django_site.ledger.models import Run
from tests.projects.django_site.ledger.tasks import anote, note


@pytest.mark.django_db
@pytest.mark.parametrize("number", [1, 2])
def test_rows_are_those_of_the_test(number, django_capture_on_commit_callbacks):
    with in_memory(default), django_capture_on_commit_callbacks(execute=True):
        note.send(number=number)
        anote.send(number=number)
        run_all(default)
    assert [number, number] == list(Run.objects.values_list("number", flat=True))
"""


def run(folder: Path, *words: str, **others: str) -> str:
    """What a program of the environment printed, in a folder."""
    try:
        python = environment.made()
    except environment.Lacking as error:
        if os.environ.get("REQUIRE_DJANGO6") == "1":
            pytest.fail(f"REQUIRE_DJANGO6=1, and {error}", pytrace=False)
        pytest.skip(str(error))
    ran = subprocess.run(
        [str(python), "-W", "error", *words],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{environment.ROOT}", "CLOUDQ_URL": "memory://"} | others,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_the_recipes_of_the_page(tmp_path: Path) -> None:
    """A reader's project: both files of tests by pytest-django, and that of Django's classes by `manage.py test`."""
    for match in FENCE.finditer(PAGE.read_text(encoding="utf-8")):
        if title := TITLE.search(match["info"]):
            (tmp_path / title[1]).write_text(match["code"], encoding="utf-8")
    written = {path.name for path in tmp_path.iterdir()}
    assert {"settings.py", "pyproject.toml", "test_confirm.py", "test_with_pytest_django.py"} <= written
    said = run(tmp_path, "-m", "pytest", *PLUGIN, "-v")
    assert "django: version: 6." in said
    assert "8 passed" in said, said
    assert "Ran 4 tests" in run(tmp_path, "-m", "django", "test", DJANGO_SETTINGS_MODULE="settings")


def test_what_async_tasks_write_is_the_tests_own(tmp_path: Path) -> None:
    """It is seen there, and rolled back with it: the second test finds nothing of the first."""
    (tmp_path / "test_ledger.py").write_text(LEDGER)
    own = {
        "DJANGO_SETTINGS_MODULE": "tests.projects.django_site.settings",
        "DJANGO_SITE_APPS": "cloudq.integrations.django tests.projects.django_site.ledger",
    }
    assert "2 passed" in run(tmp_path, "-m", "pytest", *PLUGIN, "-q", "test_ledger.py", **own)
