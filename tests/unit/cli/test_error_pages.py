"""The page of errors that travels with the package."""

from __future__ import annotations

import tomllib
from pathlib import Path

from cloudq.cli import error_pages

ROOT = Path(__file__).parents[3]


def test_the_page_is_in_the_wheel():
    """What is built takes the page along under the name that `cloudq explain` looks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    taken = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert f"cloudq/cli/{error_pages.SHIPPED}" == taken[error_pages.ERRORS_PAGE]


def test_the_shipped_page_comes_first(tmp_path, monkeypatch):
    """An installation reads what it was installed with, whatever lies beside it."""
    (tmp_path / "errors.md").write_text("### `own` { #own }\n\n`Own`: a [word](../index.md).\nMore.\n\n## Next\n")
    monkeypatch.setattr(error_pages, "files", lambda package: tmp_path)
    assert {"own": "`Own`: a word (docs/index.md).\nMore."} == error_pages.sections()


def test_a_first_sentence_is_one_line():
    """A list shows a section up to its first full stop, with its line ends as spaces."""
    assert "One of\nthese." != error_pages.first_sentence("One of\nthese. Two.")
    assert "One of these." == error_pages.first_sentence("One of\nthese. Two.")


def test_the_address_is_the_projects():
    """What an error links is where the project's metadata say that it lives."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"]["Homepage"] == error_pages.PROJECT
