"""Tests that can't run say why; what fails, fails."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.terraform.workshop import ROOT, Failure

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run_one(tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
    """One test, where there is no terraform."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/terraform/test_modules.py"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "REQUIRE_TF", "COV_"))}
    return subprocess.run(
        [*command, "-k", "test_formatted"],
        cwd=ROOT,
        env=kept | {"PATH": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_skips_by_name(tmp_path):
    """Without terraform a test is skipped, and says that it's terraform that is missing."""
    ended = run_one(tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 skipped" in ended.stdout
    assert "the terraform command isn't installed" in ended.stdout


def test_required(tmp_path):
    """With REQUIRE_TF=1 the same is a failure."""
    ended = run_one(tmp_path, REQUIRE_TF="1")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "REQUIRE_TF=1, and the terraform command isn't installed" in ended.stdout


def test_no_runs_are_a_failure(workshop):
    """A module without tests doesn't pass them."""
    place = workshop.copy("aws-sqs")
    for path in (place / "tests").iterdir():
        path.unlink()
    workshop.init(place)
    with pytest.raises(Failure, match="0 runs passed"):
        workshop.test(place)
