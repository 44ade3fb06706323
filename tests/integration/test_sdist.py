"""The source archive holds what the repository does and passes its own tests; its description links somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from email.parser import Parser
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
# Some that read files of the repository, some that import what isn't in the wheel, some of the library.
SUBSET = [
    *("tests/unit/test_project.py", "tests/unit/test_localstack_start.py", "tests/unit/test_makefile.py"),
    *("tests/unit/test_structure.py", "tests/unit/test_public_api.py", "tests/unit/core/test_message.py"),
    *("tests/unit/emulators/service_bus/test_config.py", "tests/unit/drivers/memory"),
]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, built from this tree and unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    [archive] = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    [tree] = folder.glob("cloudq-*/")
    return tree


def test_it_holds_what_the_repository_tracks(unpacked):
    """No file is missing, and none is there that isn't tracked, but for the archive's own metadata."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0 or not listed.stdout:
        pytest.skip("this tree is no repository, so there is nothing to compare with")
    tracked = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    held = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert (tracked - held, held - tracked) == (set(), {"PKG-INFO"})


def test_its_own_tests_pass(unpacked):
    """A part of the suite, run in the unpacked archive against the library in it."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *SUBSET],
        cwd=unpacked,
        env={**os.environ, "PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(re.findall(r"(\d+) passed", ran.stdout)[0]) > 100


def test_links_of_the_description_lead_to_the_projects_pages(unpacked):
    """The README as an index shows it has no relative link, and each that it had names a file of the project."""
    metadata = Parser().parsestr((unpacked / "PKG-INFO").read_text(encoding="utf-8"))
    urls = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL", []))
    assert {"Homepage", "Documentation", "Changelog", "Issues", "Security"} == set(urls)
    assert all(url.startswith(urls["Homepage"]) for url in urls.values())
    links = re.findall(r"\]\(([^)]+)\)", metadata.get_payload())
    assert [] == [link for link in links if not link.startswith("https://")]
    pages = f"{urls['Homepage']}/blob/main/"
    named = [link.removeprefix(pages).partition("#")[0] for link in links if link.startswith(pages)]
    assert len(named) > 15
    assert [] == [name for name in named if not (unpacked / name).is_file()]
