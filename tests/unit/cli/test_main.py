"""`main` where the command line's own packages are missing."""

from __future__ import annotations

import sys

import pytest

from cloudq.cli import main


@pytest.fixture
def unloaded(monkeypatch):
    for name in [n for n in sys.modules if n.startswith("cloudq.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    return monkeypatch


def test_without_typer(unloaded, capsys):
    """Without typer it ends with 2 and says what to install."""
    unloaded.setitem(sys.modules, "typer", None)
    assert 2 == main(["version"])
    out, err = capsys.readouterr()
    assert ("", True, True) == (out, "typer" in err, "pip install" in err)


def test_other_missing_module_is_not_hidden(unloaded):
    """A missing module that isn't the command line's own is an error like any other."""
    unloaded.setitem(sys.modules, "cloudq.cli.failures", None)
    with pytest.raises(ModuleNotFoundError, match=r"cloudq\.cli\.failures"):
        main(["version"])
