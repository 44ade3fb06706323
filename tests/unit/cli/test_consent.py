"""Whose code a command runs."""

from __future__ import annotations

import os

import pytest

from cloudq.cli import consent

APP = "import cloudq\napp = cloudq.App()\n@app.task\ndef t() -> None: ...\n"
SOMEBODY = 12345
COMMANDS = [("worker", "--burst"), ("tasks",), ("terraform", "vars", "--cloud", "aws")]


@pytest.fixture
def own_group(monkeypatch):
    """A group with other members, whoever runs the tests."""
    monkeypatch.setattr(consent, "_has_one_member", lambda _group: False)


def give_away(place):
    if os.getuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(place, SOMEBODY, -1)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(("place", "how"), [(p, h) for p in ("", "app.py") for h in ("all write", "another's")])
def test_what_others_may_have_put_there_is_refused(cli, folder, command, place, how):
    """Nothing is imported from a folder, or a file, of another user, or that all may write to. Naming it is consent."""
    (folder.path / "app.py").write_text(APP + "print('imported')\n")
    changed = folder.path / place
    if how == "all write":
        changed.chmod(0o777)
    else:
        give_away(changed)
    result = cli(*command)
    assert 2 == result.code
    assert "imported\n" not in result.err
    assert f"app isn't imported, as nobody named it and {changed}" in result.err
    assert "hint: if you trust it, name it: --app app, or CLOUDQ_APP=app" in result.err
    assert "imported\n" in cli(*command, "--app", "app").err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_variable_is_consent_too(cli, folder, monkeypatch, command):
    """In a container, say, whose folders belong to somebody else."""
    (folder.path / "app.py").write_text(APP)
    folder.path.chmod(0o777)
    assert 2 == cli(*command).code
    monkeypatch.setenv("CLOUDQ_APP", "app")
    assert 0 == cli(*command).code


def test_a_projects_file_is_looked_at_too(cli, folder):
    """It names what is imported."""
    (folder.path / "shop.py").write_text(APP)
    project = folder.path / "pyproject.toml"
    project.write_text('[tool.cloudq]\napp = "shop"\n')
    assert (0, "") == cli("tasks")[::2]
    project.chmod(0o666)
    result = cli("tasks")
    assert 2 == result.code
    assert f"shop isn't imported, as nobody named it and {project} can be written by every user" in result.err


def test_the_folders_of_a_package_are_looked_at_too(cli, folder, monkeypatch):
    """From the module up to the folder that goes on the import path."""
    (folder.path / "pyproject.toml").write_text("")
    inner = folder.path / "shop" / "mail"
    inner.mkdir(parents=True)
    for place in (inner, inner.parent):
        (place / "__init__.py").touch()
    (inner / "tasks.py").write_text(APP.replace("app", "a"))
    monkeypatch.chdir(inner)
    assert 0 == cli("tasks").code
    inner.parent.chmod(0o777)
    assert f"and {inner.parent} can be written by every user" in cli("tasks").err


@pytest.mark.usefixtures("own_group")
def test_a_group_that_can_write_is_noted(cli, folder):
    """Build machines and OpenShift have such folders: it goes on."""
    (folder.path / "app.py").write_text(APP)
    folder.path.chmod(0o770)
    result = cli("tasks")
    assert 0 == result.code
    assert f"note: app is imported, and {folder.path} can be written by its group\n" == result.err
    assert "" == cli("tasks", "--app", "app").err


def test_ones_own_group_is_no_other(monkeypatch):
    """Many systems give each user a group of that name, with nobody else in it, and files that it can write."""
    monkeypatch.setattr("pwd.getpwuid", lambda _uid: type("User", (), {"pw_gid": 7, "pw_name": "ann"}))
    for name, members, own in [
        ("ann", [], True),
        ("ann", ["ann"], True),
        ("ann", ["bob"], False),
        ("staff", [], False),
    ]:
        group = type("Group", (), {"gr_name": name, "gr_mem": members})
        monkeypatch.setattr("grp.getgrgid", lambda _gid, group=group: group)
        assert own is consent._has_one_member(7)
    assert not consent._has_one_member(8)


@pytest.mark.parametrize("place", ["shop", "shop/__init__.py", "shop/tasks.py"])
def test_a_package_that_a_projects_file_names_is_looked_at(cli, folder, place):
    """Each folder and file on the way to the module, wherever the project's file lies."""
    (folder.path / "pyproject.toml").write_text('[tool.cloudq]\napp = "shop.tasks"\n')
    package = folder.path / "shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tasks.py").write_text(APP)
    assert 0 == cli("tasks").code
    (folder.path / place).chmod(0o777)
    result = cli("tasks")
    assert 2 == result.code
    assert f"{folder.path / place}" in result.err
