"""A worker as the first process of a container (here of a PID namespace), which gets no default handling of signals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cloudq

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SHOP = """
import cloudq, sys

app = cloudq.App()

@app.task("shop.t")
def t() -> None:
    print("it works", file=sys.stderr, flush=True)
"""
UNSHARE = ("unshare", "--fork", "--pid", "--mount-proc")


def can_unshare() -> bool:
    """Linux, with the right to make a namespace."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not can_unshare(), reason="a PID namespace can't be made here")
def test_sigterm_ends_a_worker_that_is_process_1(tmp_path):
    """It has handlers of its own, so it ends in order: exit code 0, well within Docker's ten seconds."""
    (tmp_path / "shop.py").write_text(SHOP)
    app = cloudq.App(f"sqlite:///{tmp_path}/q.db")
    app.send("shop.t", {})
    app.close()
    worker = subprocess.Popen(
        [*UNSHARE, sys.executable, "-m", "cloudq", "worker", "--app", "shop"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "CLOUDQ_URL": f"sqlite:///{tmp_path}/q.db"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert worker.stderr is not None
    with worker:
        said = ""
        while "it works" not in said:
            line = worker.stderr.readline()
            assert line, said
            said += line
        [process_1] = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
        assert "NSpid" in Path(f"/proc/{process_1}/status").read_text()
        began = time.monotonic()
        os.kill(int(process_1), signal.SIGTERM)
        assert worker.wait(timeout=60) == 0
        assert time.monotonic() - began < 10
