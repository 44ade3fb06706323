"""The environment of the programs that cloudq has to get on with: `make test` makes it, apart from its own tools."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / ".venv/compatibility"
PROGRAMS: Final = Path(__file__).parent / "programs"


def command(name: str = "python") -> str:
    """The path of one of the environment's commands. Without it the test is skipped; where CI is set it fails."""
    path = FOLDER / "bin" / name
    if not path.exists():
        reason = f"{name} isn't in {FOLDER.relative_to(ROOT)}: `make compatibility-tools` installs it"
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return str(path)


def variables(**more: str) -> dict[str, str]:
    """This process's variables, with this tree's cloudq and without its settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDQ_", "COV_"))}
    return {**clean, "PYTHONPATH": f"{ROOT}{os.pathsep}{PROGRAMS}", **more}


def run(program: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs one of the programs to its end."""
    return subprocess.run(
        [command(), PROGRAMS / program, *arguments],
        env=variables(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
