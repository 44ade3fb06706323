"""From a name in a message, which may be a stranger's, to a task: nothing else is imported or taken."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.projects.django_site.reports.names import NAMES

APP = "tests.projects.django_site.reports"


@pytest.fixture
def harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path, whose modules only say by being there that somebody imported them."""
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("harmless_module", "reportsx"):
        (tmp_path / f"{name}.py").write_text("def task(): ...\n")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "harmless_module.task",
        "harmless_module",
        "reportsx.task",
        ".harmless_module.task",
        "harmless_module..task",
        f"{APP}..tasks.add",
        f"{APP}.tasks.",
        f"{APP}.tasks.add()",
        f"{APP} .tasks.add",
        "os.system",
        "builtins.print",
        "",
        ".",
        "a" * 5000 + ".b",
        "." * 5000,
    ],
)
def test_a_strangers_name_imports_nothing(django_site: None, harmless: Path, name: str) -> None:
    """Not what is on the path, nor the standard library, nor what only begins as an app does."""
    from cloudq.integrations.django.resolver import task_of

    before = set(sys.modules)
    assert task_of(name) is None
    assert before == set(sys.modules)


def test_a_program_is_not_imported(django_site: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`__main__` of an installed app would run as one."""
    from cloudq.integrations.django.resolver import may_be_imported

    assert may_be_imported(f"{APP}.tasks")
    assert not may_be_imported(f"{APP}.__main__")
    assert not may_be_imported(f"{APP}x.tasks")


@pytest.mark.parametrize("name", [NAMES.not_a_task, NAMES.renamed, f"{APP}.tasks.ran", f"{APP}.tasks.nothing"])
def test_only_a_task_of_that_name_is_taken(django_site: None, name: str) -> None:
    """Not a function, a list, a task by another name, or what isn't there."""
    from cloudq.integrations.django.resolver import task_of

    assert task_of(name) is None


def test_a_task_is_found(django_site: None) -> None:
    """In a module of an installed app."""
    from cloudq.integrations.django.resolver import task_of
    from tests.projects.django_site.reports import tasks

    assert task_of(NAMES.add) is tasks.add


def test_a_list_allows_more(django_site: None, harmless: Path) -> None:
    """The modules that it names, and what is below them."""
    from cloudq.integrations.django.resolver import may_be_imported, task_of

    assert may_be_imported("harmless_module", ["harmless_module"])
    assert may_be_imported("harmless_module.below", ["harmless_module"])
    assert not may_be_imported("harmless", ["harmless_module"])
    assert task_of("harmless_module.task", ["harmless_module"]) is None  # it is no task, and was imported to know it
    assert "harmless_module" in sys.modules
    del sys.modules["harmless_module"]


def test_a_module_that_cannot_be_imported_has_unknown_tasks(
    django_site: None, harmless: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever it raises; what is no ImportError is logged, as nobody deploys that on purpose."""
    from cloudq.integrations.django.resolver import task_of

    (harmless / "broken_module.py").write_text("import no_such_module_at_all\n")
    (harmless / "raising_module.py").write_text("raise RuntimeError('at import')\n")
    assert task_of("broken_module.task", ["broken_module"]) is None
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert task_of("raising_module.task", ["raising_module"]) is None
    assert "raising_module can't be imported" in caplog.text
    (harmless / "exiting_module.py").write_text("import sys\nsys.exit(3)\n")
    assert task_of("exiting_module.task", ["exiting_module"]) is None
    assert "exiting_module can't be imported" in caplog.text
    (harmless / "interrupted_module.py").write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        task_of("interrupted_module.task", ["interrupted_module"])


def test_a_modules_own_getattr_is_not_called(django_site: None, harmless: Path) -> None:
    """It is code, which a name must not run."""
    from cloudq.integrations.django.resolver import task_of

    (harmless / "asking_module.py").write_text("asked = []\ndef __getattr__(name):\n    asked.append(name)\n")
    assert task_of("asking_module.task", ["asking_module"]) is None
    module: Any = sys.modules.pop("asking_module")
    assert [] == [name for name in module.asked if not name.startswith("__")]


def test_the_tasks_of_a_module_are_its_own(django_site: None) -> None:
    """By their own names, each once."""
    from cloudq.integrations.django.resolver import tasks_in
    from tests.projects.django_site.reports import tasks

    assert ["add", "aadd", "told", "atold", "fails", "afails", "odd", "strange", "says", "asks"] == [
        task.name for task in tasks_in(tasks)
    ]
