"""What mypy sees in users' code: the files of `tests/typing` are checked, strictly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "typing"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def mypy(cache: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            str(ROOT / "pyproject.toml"),
            "--cache-dir",
            str(cache),
            *files,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def test_users_code_is_typed_as_documented(cache):
    """Right calls pass, wrong ones are errors: each ignore that isn't needed would be one, too."""
    result = mypy(cache, *sorted(FOLDER.glob("*.py")))
    assert 0 == result.returncode, result.stdout


def test_the_check_would_see_a_wrong_call(cache, tmp_path):
    """Without its ignores the same code fails, at every line that had one."""
    found = expected = 0
    for file in sorted(FOLDER.glob("*.py")):
        lines = file.read_text().splitlines()
        marked = {number for number, line in enumerate(lines, 1) if "# type: ignore" in line}
        stripped = tmp_path / file.name
        stripped.write_text("\n".join(line.partition("  # type: ignore")[0] for line in lines))
        reported = {int(line.split(":")[1]) for line in mypy(cache, stripped).stdout.splitlines() if ": error:" in line}
        assert marked == reported
        expected += len(marked)
        found += len(reported)
    assert found == expected > 10
