"""Servers that all processes of one test run share: each takes a second or more to start.

```
 worker 1 ── lock ─ starts ─▶ keeper ─▶ server     each user holds a shared lock on KIND.users;
 worker 2 ── waits ─ finds ──────────────┘ │       the keeper waits for an exclusive one, and ends the server
```
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers import databases
from tests.servers.own import PATIENCE

ROOT = Path(__file__).parents[2]


def folder_of_run(made: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run have in common, and no other run has."""
    own = made.getbasetemp()
    return own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own


@contextmanager
def shared(kind: type[databases.PostgreSQL | databases.MariaDB], folder: Path) -> Iterator[str]:
    """SQLAlchemy's URL of a database of this process's own, on the server that the run shares.

    Skips the test where the server isn't installed; in CI that fails.
    """
    from sqlalchemy import create_engine, make_url, text

    kind.check()
    with running(kind.__name__, folder) as told:
        own = f"test_{os.getpid()}"
        engine = create_engine(told["url"], isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"create database {own}"))
        engine.dispose()
        yield make_url(told["url"]).set(database=own).render_as_string(hide_password=False)


@contextmanager
def running(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Where the run's server is, `url` and `port`. It is started if it isn't there, and stays for this block at least.

    Args:
        name: The name of a class of `databases`.
        folder: The run's.
    """
    with (folder / f"{name}.users").open("ab") as users:
        with (folder / f"{name}.turn").open("ab") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)  # waits where the last server is just being ended
            told = folder / f"{name}.json"
            if not told.exists():
                _start(name, folder)
            said: dict[str, Any] = json.loads(told.read_text())
        yield said


def _start(name: str, folder: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.servers.keeper", name, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=4 * PATIENCE,
        check=False,
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr)
