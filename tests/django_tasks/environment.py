"""An environment with Django 6 beside the development one, Django's own tests of its tasks, and pytest-django.

    python -m tests.django_tasks.environment

makes it, once (`make django-tools`). Django 6 takes Python 3.12: `PYTHON312`, the first on PATH, or pyenv's newest.
Nothing of Django's is copied into the repository: its sdist is downloaded, and its tests are unpacked beside it.
pytest-django isn't beside our own tests, as its plugin would take part in them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock

ROOT: Final = Path(__file__).parents[2]
VERSION: Final = "6.1.3"
PYTEST: Final = ("pytest==9.1.*", "pytest-django==4.14.*")
FOLDER: Final = Path(sys.prefix) / "django6"
TESTS: Final = FOLDER / f"django-{VERSION}/tests"
"""Where Django's own tests are, as packages: `tasks` is that of its tasks."""
PYTHON: Final = FOLDER / "bin/python"
_NAMES: Final = ("python3.14", "python3.13", "python3.12", "python3")
_USABLE: Final = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 12))"


class Lacking(Exception):
    """What isn't there, so that these tests can't run: says what would help."""


def made() -> Path:
    """The environment's Python; makes the environment if it isn't there.

    Raises:
        Lacking: There is no Python that Django 6 takes, or the package index can't be reached.
    """
    stamp, wanted = FOLDER / ".stamp", f"django {VERSION}, {PYTEST}, {_requirements()}"
    with FileLock(f"{FOLDER}.lock"):
        if not stamp.is_file() or stamp.read_text() != wanted:
            python = _python()
            shutil.rmtree(FOLDER, ignore_errors=True)
            _run(str(python), "-m", "venv", str(FOLDER), lacking=f"{python} makes no environment")
            _install()
            _unpack()
            stamp.write_text(wanted)
    return PYTHON


def _requirements() -> str:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return text[text.index("dependencies = [") : text.index("]", text.index("sqs = ["))]


def _python() -> Path:
    if given := os.environ.get("PYTHON312"):
        if not _is_usable(Path(given)):
            raise Lacking(f"PYTHON312={given} is no Python >= 3.12 that makes environments")
        return Path(given)
    found = next(filter(_is_usable, _candidates()), None)
    if found is None:
        raise Lacking("no Python >= 3.12 is found on PATH or in pyenv: PYTHON312=/path/to/python3.12 names one")
    return found


def _candidates() -> Iterator[Path]:
    yield Path(sys.executable)
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield from (Path(folder) / name for name in _NAMES)
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    yield from sorted(versions.glob("3.1[2-9]*/bin/python"), reverse=True)


def _is_usable(python: Path) -> bool:
    """Whether it runs, and is new enough: a shim of pyenv's may be there and fail."""
    try:
        return subprocess.run([python, "-c", _USABLE], capture_output=True, timeout=60, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _install() -> None:
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        raise Lacking("uv isn't installed, which the development tools bring")
    what = [f"django=={VERSION}", *PYTEST, "--requirements", str(ROOT / "pyproject.toml"), "--extra", "sqs"]
    _run(uv, "pip", "install", "--quiet", "--python", str(PYTHON), *what, lacking="Django 6 can't be installed")


def _unpack() -> None:
    """Django's tests of its tasks. They are in its sdist alone."""
    download = [str(PYTHON), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    lacking = f"the sdist of Django {VERSION} can't be downloaded"
    _run(*download, "--dest", str(FOLDER), f"django=={VERSION}", lacking=lacking)
    [archive] = FOLDER.glob("[dD]jango-*.tar.gz")
    with tarfile.open(archive) as opened:
        wanted = [one for one in opened.getmembers() if one.name.startswith(f"django-{VERSION}/tests/tasks/")]
        opened.extractall(FOLDER, wanted, filter="data")


def _run(*command: str, lacking: str) -> None:
    """Runs one step.

    Raises:
        Lacking: It failed.
    """
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if ended.returncode:
        last = (ended.stderr.strip() or ended.stdout.strip() or "it said nothing").splitlines()[-1]
        raise Lacking(f"{lacking}: {last}")


if __name__ == "__main__":
    try:
        made()
    except Lacking as error:
        print(f"Django's own tests won't run: {error}")
