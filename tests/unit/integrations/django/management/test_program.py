"""Commands of `manage.py` that become `cloudq`."""

from __future__ import annotations

from pathlib import Path

import django
import pytest

from cloudq.integrations.django.management.program import _folder_of


def test_the_folder_of_manage_py_is_looked_in(tmp_path: Path) -> None:
    """Wherever the command is given."""
    assert tmp_path.resolve() == _folder_of(tmp_path / "manage.py")


def test_of_python_m_django_it_is_the_folder_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django's own has modules of the names of the standard library's, which would take their places."""
    monkeypatch.chdir(tmp_path)
    program = Path(django.__file__).with_name("__main__.py")
    assert (program.parent / "http").is_dir()
    assert Path.cwd() == _folder_of(program)
