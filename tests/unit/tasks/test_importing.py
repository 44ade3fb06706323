"""What is said where a module of the program can't be imported."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from cloudq.errors import ConfigurationError
from cloudq.tasks.importing import not_imported


def told(module: str) -> ConfigurationError:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever the module raises
        importlib.import_module(module)
    return not_imported(f"{module} can't be imported", caught.value)


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    return tmp_path


def test_what_was_raised_is_told_with_its_line(modules: Path) -> None:
    """The program's own line, and what shows more."""
    (modules / "broken_at_two.py").write_text("x = 1\nraise ValueError('no such region')\n")
    error = told("broken_at_two")
    assert str(error).startswith("broken_at_two can't be imported: ValueError: no such region")
    assert "broken_at_two.py:2" in str(error) or "broken_at_two.py, line 2" in str(error)
    assert "--debug shows the whole traceback" == error.hint


def test_an_error_without_a_text_is_told_by_its_kind(modules: Path) -> None:
    """Without a colon that nothing follows."""
    (modules / "broken_silently.py").write_text("raise SystemExit\n")
    assert str(told("broken_silently")).startswith("broken_silently can't be imported: SystemExit (")


def test_a_module_that_is_missing_is_to_be_installed(modules: Path) -> None:
    """It is named."""
    (modules / "needs_more.py").write_text("import there_is_no_such_module\n")
    assert "install what provides 'there_is_no_such_module'" in str(told("needs_more").hint)


def test_modules_that_import_each_other_are_named_as_that(modules: Path) -> None:
    """With the way out."""
    (modules / "circle_one.py").write_text("from circle_two import x\ny = 1\n")
    (modules / "circle_two.py").write_text("from circle_one import y\nx = 1\n")
    assert "two modules import each other" in str(told("circle_one").hint)


def test_django_wants_to_be_set_up_first() -> None:
    """Its errors are known by where they come from."""
    kind = type("AppRegistryNotReady", (Exception,), {"__module__": "django.core.exceptions"})
    assert "django.setup()" in str(not_imported("shop.tasks can't be imported", kind("Apps aren't loaded")).hint)
