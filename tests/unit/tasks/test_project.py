"""The project's file is looked for upward, and no further than where somebody else may have put one."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from cloudq.tasks.project import in_packages, project_file


@pytest.fixture
def inner(tmp_path, monkeypatch):
    """A folder two levels below one that has a project's file; nothing between them is a border."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "outer" / "middle" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "pyproject.toml").write_text("")
    return tmp_path / "outer" / "middle" / "inner"


def found(start: Path) -> Path | None:
    file = project_file(start)
    return None if file is None else file.parent


def test_the_nearest_one_upward_counts(inner):
    """From where one stands, whatever it holds."""
    assert inner.parent.parent == found(inner)
    (inner.parent / "pyproject.toml").write_text("")
    assert inner.parent == found(inner)
    (inner / "pyproject.toml").write_text("")
    assert inner == found(inner)


def test_a_folder_of_that_name_is_none(inner):
    """It is passed over."""
    (inner / "pyproject.toml").mkdir()
    assert inner.parent.parent == found(inner)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_repositorys_root_is_the_last_to_be_looked_at(inner, kind):
    """`.git` is a folder, or in a worktree or submodule a file."""
    git = inner.parent / ".git"
    git.mkdir() if kind == "folder" else git.write_text("gitdir: elsewhere\n")
    assert found(inner) is None
    (inner.parent / "pyproject.toml").write_text("")
    assert inner.parent == found(inner)


def test_the_home_folder_is_the_last_to_be_looked_at(inner, monkeypatch):
    """What is above it is the machine's, or everybody's."""
    monkeypatch.setenv("HOME", str(inner.parent))
    assert found(inner) is None
    (inner.parent / "pyproject.toml").write_text("")
    assert inner.parent == found(inner)


def test_a_home_folder_is_known_behind_a_link(inner, monkeypatch):
    """The current folder never has links in it; HOME may."""
    (inner.parents[2] / "link").symlink_to(inner.parent)
    monkeypatch.setenv("HOME", str(inner.parents[2] / "link"))
    assert found(inner) is None


@pytest.mark.parametrize("difference", ["device", "owner", "mode"])
def test_another_file_system_another_owner_and_a_folder_for_all_are_not_looked_at(inner, monkeypatch, difference):
    """A mount's host, another user or anybody may have put a file there, and what it names would be run."""
    real = Path.stat

    def stat(path: Path, *, follow_symlinks: bool = True) -> object:
        seen = real(path, follow_symlinks=follow_symlinks)
        if path != inner.parent:
            return seen
        changed = {"device": ("st_dev", seen.st_dev + 1), "owner": ("st_uid", 4711), "mode": ("st_mode", 0o41777)}
        fields = {name: getattr(seen, name) for name in ("st_dev", "st_uid", "st_mode")}
        return SimpleNamespace(**fields | dict([changed[difference]]))

    (inner.parent / "pyproject.toml").write_text("")
    assert inner.parent == found(inner)
    monkeypatch.setattr(Path, "stat", stat)
    assert found(inner) is None
    (inner / "pyproject.toml").write_text("")
    assert inner == found(inner)


def test_from_another_users_folder_nobody_looks_up(inner, monkeypatch):
    """Whoever owns it may have moved it to where they like."""
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    if inner.stat().st_uid == 0:
        os.chown(inner, 4712, -1)
    assert found(inner) is None
    (inner / "pyproject.toml").write_text("")
    assert inner == found(inner), "where one stands is one's own choice"


def test_root_owned_folders_are_passed(inner, monkeypatch):
    """As in containers, whose files are root's while the program's user is another one."""
    if inner.stat().st_uid != 0:
        pytest.skip("only root can make folders of root's")
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    assert inner.parent.parent == found(inner)


def test_packages_are_named_from_where_they_are_imported(inner):
    """Up to a folder that is none, or a project's own, which often has an `__init__.py` by mistake."""
    for folder in (inner, inner.parent, inner.parent.parent):
        (folder / "__init__.py").write_text("")
    assert (inner.parent.parent, ["middle", "inner", "tasks"]) == in_packages(inner / "tasks.py")
    assert (inner.parent.parent, ["middle", "inner"]) == in_packages(inner / "__init__.py")
    (inner.parent / "__init__.py").unlink()
    assert (inner.parent, ["inner", "tasks"]) == in_packages(inner / "tasks.py")
