"""`main` where the command line's own packages are missing: in a process of its own, which has loaded nothing yet."""

from __future__ import annotations

import subprocess
import sys


def run_without(module: str) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.modules[{module!r}] = None; from cloudq.cli import main; sys.exit(main(['version']))"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def test_without_typer() -> None:
    """Without typer it ends with 2 and says what to install."""
    done = run_without("typer")
    assert (2, "") == (done.returncode, done.stdout)
    assert "cloudq: the command line needs typer" in done.stderr
    assert "pip install" in done.stderr


def test_other_missing_module_is_not_hidden() -> None:
    """A missing module that isn't the command line's own is an error like any other."""
    done = run_without("cloudq.cli.failures")
    assert done.returncode == 1
    assert "ModuleNotFoundError: import of cloudq.cli.failures halted" in done.stderr
