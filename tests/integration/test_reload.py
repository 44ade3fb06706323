"""`cloudq worker --reload`, with a real worker and a real file that changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.unit.worker.fakes import until

SHOP = """
from pathlib import Path
import cloudq

app = cloudq.App("sqlite:///q.db")


@app.on_start
def ready() -> None:
    Path("ready-VERSION").touch()


@app.task
def pay() -> None:
    Path("paid-VERSION").touch()
"""


def test_new_code_runs_after_a_change(tmp_path: Path) -> None:
    """Without anybody starting anything; a SIGTERM ends both processes."""
    shop = tmp_path / "shop.py"
    shop.write_text(SHOP.replace("VERSION", "1"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"}
    cloudq = [sys.executable, "-m", "cloudq"]
    with (tmp_path / "log.txt").open("w") as log:
        worker = subprocess.Popen(
            [*cloudq, "worker", "--app", "shop", "--reload", "--wait", "1"],
            cwd=tmp_path,
            env=environment,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        for version in "12":
            if version == "2":
                shop.write_text(SHOP.replace("VERSION", version))
            until((tmp_path / f"ready-{version}").exists, within=60)
            subprocess.run(
                [*cloudq, "send", "shop.pay", "--app", "shop"], cwd=tmp_path, env=environment, check=True, timeout=60
            )
            until((tmp_path / f"paid-{version}").exists, within=60)
        worker.send_signal(signal.SIGTERM)
        assert 0 == worker.wait(60)
    finally:
        worker.kill()
        worker.wait()
    assert "reload: shop.py changed" in (tmp_path / "log.txt").read_text()
