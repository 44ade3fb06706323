"""What each target of the Makefile installs: no more than it needs, and not twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEV = "pip uv>=0.9.6"  # by which the rest is installed
CORE = "pip --no-compile --editable ."


@pytest.fixture
def folder(tmp_path) -> Path:
    """A clone with an environment in which nothing is installed yet."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").touch()
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 0\n")
    python.chmod(0o755)
    for command in ("cloudq", "uv"):
        (tmp_path / ".venv/bin" / command).symlink_to(python)
    for environment in ("terraform", "compatibility"):  # where uv, which does nothing here, makes one more
        (tmp_path / ".venv" / environment).mkdir()
    return tmp_path


def printed(folder: Path, *arguments: str) -> list[str]:
    """The lines that make prints. The tests may themselves be run by one, of which this one is to know nothing."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    ran = subprocess.run(
        ["make", "PIP=echo pip", *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def make(folder: Path, *targets: str) -> list[str]:
    """The lines that begin with pip, which isn't run."""
    return [line for line in printed(folder, *targets) if line.startswith("pip ")]


@pytest.mark.parametrize(
    ("target", "extras"),
    [("demo", ""), ("demo-servicebus", "[servicebus,emulators]"), ("demo-cloudtasks", "[cloudtasks,emulators]")],
)
def test_a_demo_installs_what_it_needs_once(folder, target, extras):
    """The library with the demo's extras, none of the development tools; the second time nothing."""
    assert [CORE + extras] == make(folder, target)
    assert [] == make(folder, target)


def test_the_tests_install_the_rest_after_a_demo(folder):
    """In the same environment; the demos then need nothing more."""
    make(folder, "demo")
    assert [DEV] == make(folder, "test")
    assert [] == make(folder, "test", "demo", "demo-servicebus", "demo-cloudtasks")


def test_new_requirements_are_installed_by_whoever_comes_first(folder):
    """What was installed before pyproject.toml changed doesn't count, the development tools neither."""
    make(folder, "test", "demo")
    later = time.time() + 5
    os.utime(folder / "pyproject.toml", (later, later))
    assert [CORE] == make(folder, ".venv/.stamp-core")
    assert [DEV] == make(folder, ".venv/.stamp")


def test_an_installation_that_fails_is_done_again(folder):
    """The stamp is written last."""
    with pytest.raises(AssertionError):
        make(folder, "PIP=false", "demo")
    assert not (folder / ".venv/.stamp-core").exists()
    assert [CORE] == make(folder, "demo")


@pytest.mark.parametrize(("given", "shown"), [((), ""), (("PORT=4567",), "--port '4567'")], ids=["default", "given"])
def test_localstack_takes_a_port(folder, given, shown):
    """PORT= names it; without, the script's own default goes."""
    *_, last = printed(folder, "--dry-run", "localstack", *given)
    assert f".venv/bin/python localstack/start.py {shown}" == last
