"""What a test lacks is named: a reason to skip, or with REQUIRE_TF=1 a failure."""

from __future__ import annotations

import pytest

from tests.terraform import tools


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No tools are installed, neither in their environment nor elsewhere."""
    monkeypatch.setattr(tools, "FOLDER", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("REQUIRE_TF", raising=False)
    monkeypatch.delenv("CI", raising=False)
    return tmp_path


def test_skips_by_name(nowhere):
    """A tool that isn't there is named, and how it comes."""
    with pytest.raises(pytest.skip.Exception, match="checkov isn't installed: `make terraform-tools` does it"):
        tools.tool("checkov")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("REQUIRE_TF", "1", "REQUIRE_TF=1, and checkov isn't"), ("CI", "true", "checkov isn't installed: `make")],
    ids=["required", "CI"],
)
def test_required(nowhere, monkeypatch, name, value, reason):
    """With REQUIRE_TF=1 that is a failure, and in CI, where `make test` has installed it."""
    monkeypatch.setenv(name, value)
    with pytest.raises(pytest.fail.Exception, match=reason):
        tools.tool("checkov")


def test_own_environment_first(nowhere, monkeypatch):
    """The tools' own environment goes before PATH."""
    folder = nowhere / "none"
    for place in (folder, nowhere):
        place.mkdir(exist_ok=True)
        (place / "checkov").touch(0o755)
    assert tools.tool("checkov") == str(folder / "checkov")
    (folder / "checkov").unlink()
    assert tools.tool("checkov") == str(nowhere / "checkov")
