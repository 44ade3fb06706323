"""A server is started once a test run, and ends with the last process that uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import databases, own
from tests.servers.shared import ROOT

# As `shared` does, but that nothing is asked of the server: waits for a line, and ends.
USER = """
import fcntl, json, sys
from pathlib import Path
from tests.servers import shared
name, folder = sys.argv[1], Path(sys.argv[2])
with shared.running(name, folder) as told:
    print(json.dumps(told), flush=True)
    sys.stdin.readline()
"""


@contextmanager
def user(folder: Path, kind: str = "Redis") -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", USER, kind, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


def told(process: subprocess.Popen[str]) -> int:
    """The port that a user got."""
    assert process.stdout is not None
    port: int = json.loads(process.stdout.readline())["port"]
    return port


def ends(port: int) -> bool:
    """Whether nobody listens there any more, soon."""
    until = time.monotonic() + 30
    while databases._answers(port):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(autouse=True)
def installed() -> None:
    own.find("redis-server", "redis-server", "valkey-server")


@pytest.mark.slow
def test_all_users_have_one_server_until_the_last_one_ends(tmp_path: Path) -> None:
    """Also if the one who started it is killed first."""
    with user(tmp_path) as first:
        port = told(first)
        with user(tmp_path) as second:
            assert told(second) == port
            first.kill()
            first.wait()
            with user(tmp_path) as third:
                assert told(third) == port
        assert databases._answers(port) or ends(port)
    assert ends(port)


@pytest.mark.slow
def test_who_comes_after_the_last_one_has_a_new_server(tmp_path: Path) -> None:
    """Never one that is just being ended."""
    for _ in range(3):
        with user(tmp_path) as one:
            assert databases._answers(told(one))


@pytest.mark.slow
def test_two_that_come_at_once_start_one_server(tmp_path: Path) -> None:
    """The second waits for it."""
    with user(tmp_path) as first, user(tmp_path) as second:
        assert told(first) == told(second)


@pytest.mark.parametrize(("ci", "raised"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_what_is_not_installed_is_skipped_by_name_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch, ci: str, raised: type[BaseException]
) -> None:
    """The text says which package has it."""
    monkeypatch.setenv("CI", ci)
    with pytest.raises(raised, match="no-such-server is not installed: apt-get install its-package"):
        own.find("its-package", "no-such-server")
