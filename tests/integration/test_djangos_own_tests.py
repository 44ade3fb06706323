"""Django's own tests of its tasks, from its sdist, with `CloudqBackend` in the place of its dummy."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from pathlib import Path
from urllib.parse import quote

import pytest

from cloudq.drivers.sqs import SQSDriver
from tests.django_tasks import environment
from tests.django_tasks.left_out import LEFT_OUT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the environment is made once, from a package index
PROTOTYPES = 33
COUNTS = {"test_tasks": 39, "test_dummy_backend": 17}


def lacking(reason: str) -> None:
    """Skips the test, and says why. With REQUIRE_DJANGO6=1 it fails instead."""
    if os.environ.get("REQUIRE_DJANGO6") == "1":
        pytest.fail(f"REQUIRE_DJANGO6=1, and {reason}", pytrace=False)
    pytest.skip(reason)


def outcomes(folder: Path, url: str) -> dict[str, str | None]:
    """What became of each test, with the messages there and results in a file beside."""
    try:
        python = environment.made()
    except environment.Lacking as error:
        lacking(str(error))
        raise
    out = folder / "out.json"
    program = ["-m", "tests.django_tasks.in_dummys_place", url, f"sqlite:///{folder}/results.db", str(out)]
    path = os.pathsep.join([str(environment.ROOT), str(environment.TESTS)])
    ran = subprocess.run(
        [str(python), *program],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, str | None] = json.loads(out.read_text())
    return found


def check(found: dict[str, str | None]) -> None:
    """Every test is there, and those that fail are those of the table."""
    assert {name: sum(f".{name}." in test for test in found) for name in COUNTS} == COUNTS
    failed = {name: said for name, said in found.items() if said is not None}
    assert set(failed) == set(LEFT_OUT), failed
    assert len(found) - len(failed) > PROTOTYPES


def test_djangos_own_tests_on_sqlite(tmp_path: Path) -> None:
    """All that can apply pass; the others are named, with the reason."""
    check(outcomes(tmp_path, f"sqlite:///{tmp_path}/q.db"))


def test_djangos_own_tests_on_sqs(tmp_path: Path, localstack: str) -> None:
    """The same ones: the project is unchanged but for the URL."""
    prefix = f"django-{uuid.uuid4().hex[:8]}-"
    driver = SQSDriver("us-east-1", prefix=prefix, endpoint_url=localstack)
    driver.make_queue("default")
    driver.close()
    check(outcomes(tmp_path, f"sqs://us-east-1?prefix={prefix}&endpoint_url={quote(localstack, safe='')}"))


def test_without_a_python_that_takes_it_the_reason_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A reason to skip, or with REQUIRE_DJANGO6=1 a failure."""
    monkeypatch.setattr(environment, "FOLDER", tmp_path / "django6")
    monkeypatch.setenv("PYTHON312", str(tmp_path / "python3.12"))
    monkeypatch.delenv("REQUIRE_DJANGO6", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"PYTHON312=.* is no Python >= 3\.12"):
        outcomes(tmp_path, "memory://")
    monkeypatch.setenv("REQUIRE_DJANGO6", "1")
    with pytest.raises(pytest.fail.Exception, match="REQUIRE_DJANGO6=1, and PYTHON312"):
        outcomes(tmp_path, "memory://")


def test_without_an_index_the_reason_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is left that a later run would take for an environment."""
    folder = tmp_path / "django6"
    monkeypatch.setattr(environment, "FOLDER", folder)
    monkeypatch.setattr(environment, "_python", lambda: Path("/bin/false"))
    with pytest.raises(environment.Lacking, match="makes no environment"):
        environment.made()
    assert not (folder / ".stamp").exists()
