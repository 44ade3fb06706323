"""Async tasks that Django's tests run stay within the test's transaction, on its own connection."""

from __future__ import annotations

import subprocess
import sys

import pytest

MODULES = {
    "conf.py": (
        "SECRET_KEY = 'x'\n"
        "DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}}\n"
        "INSTALLED_APPS = ['shop']\n"
    ),
    "shop/__init__.py": "",
    "shop/models.py": ("from django.db import models\nclass Row(models.Model):\n    name = models.TextField()\n"),
    "shop/tasks.py": """
import cloudq
from shop.models import Row

app = cloudq.App("sqs://never-opened")

@app.task
async def write(name: str) -> None:
    await Row.objects.acreate(name=name)

@app.task
async def copy(name: str, to: str) -> None:
    assert await Row.objects.filter(name=name).aexists()
    await Row.objects.acreate(name=to)

@app.task
def write_sync(name: str) -> None:
    Row.objects.create(name=name)
""",
    "shop/tests.py": """
from datetime import timedelta
import cloudq
from django.test import TestCase
from cloudq.testing import in_memory, run_all
from shop.models import Row
from shop.tasks import app, copy, write, write_sync


def names():
    return sorted(Row.objects.values_list("name", flat=True))


async def anames():
    return sorted([row.name async for row in Row.objects.all()])


class Each(TestCase):
    # Each test sees none of the others' rows: they are gone with the transaction.
    def setUp(self):
        assert names() == [], names()
        Row.objects.create(name="set up")

    def test_eager(self):
        with app.eager():
            write.send("a")
            copy.send("set up", to="b")
            write_sync.send("c")
        assert names() == ["a", "b", "c", "set up"]

    def test_run_all(self):
        with in_memory(app):
            write.send("a")
            copy.options(delay=timedelta(hours=1)).send("set up", to="b")
            write_sync.send("c")
            assert run_all(app).errors == []
        assert names() == ["a", "b", "c", "set up"]

    async def test_eager_within_async_code(self):
        with app.eager():
            await write.asend("a")
            await copy.asend("set up", to="b")
            await write_sync.asend("c")
            write.send("d")
        assert await anames() == ["a", "b", "c", "d", "set up"]

    async def test_run_all_within_async_code(self):
        with in_memory(app):
            await write.asend("a")
            await copy.asend("set up", to="b")
            await write_sync.asend("c")
            assert run_all(app).errors == []
        assert await anames() == ["a", "b", "c", "set up"]

    def test_within_sync_code_that_async_code_calls(self):
        from asgiref.sync import async_to_sync, sync_to_async

        def send():
            with app.eager():
                write.send("a")

        async_to_sync(sync_to_async(send))()
        assert names() == ["a", "set up"]

    def test_errors_arrive(self):
        with app.eager():
            try:
                copy.send("nobody", to="b")
            except AssertionError:
                return
        raise RuntimeError("the task's own error is lost")
""",
}
TESTS = [
    line.split("test_")[1].partition("(")[0] for line in MODULES["shop/tests.py"].splitlines() if "def test_" in line
]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A Django project with an app, a model and tests of its tasks."""
    folder = tmp_path_factory.mktemp("django")
    (folder / "shop").mkdir()
    for name, content in MODULES.items():
        (folder / name).write_text(content)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("database", ["memory", "file"])
def test_rows_are_gone_after_the_rollback(project, database):
    """And a test that has written meets no locked table, whether code is sync or async."""
    settings = "conf"
    if database == "file":
        (project / "filed.py").write_text(
            "from conf import *\nDATABASES['default']['TEST'] = {'NAME': 'test.db'}\n"
            "DATABASES['default']['OPTIONS'] = {'timeout': 1}\n"
        )
        settings = "filed"
    result = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "django", "test", "--noinput", "--settings", settings],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert 0 == result.returncode, result.stderr
    assert f"Ran {len(TESTS)} tests" in result.stderr
