"""Whatever is logged while a task runs says for which message, in each kind of worker process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHOP = """
import asyncio
import contextvars
import logging
import threading
import warnings

import cloudq

app = cloudq.App("sqlite:///q.db")
log = logging.getLogger("bank")


def beside():
    log.warning("from a thread", extra={"order": 42})


@app.task
def pay() -> None:
    log.warning("from the task")
    warnings.warn("from warnings")
    thread = threading.Thread(target=contextvars.copy_context().run, args=(beside,))
    thread.start()
    thread.join()
    raise ValueError("no such order")


@app.task
async def ship() -> None:
    async def inner() -> None:
        log.warning("from a coroutine's task")
        await asyncio.to_thread(log.warning, "from to_thread")

    await asyncio.create_task(inner())
"""
HEADERS = '{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}'
SEND = f"""
import shop
headers = {HEADERS}
print(shop.pay.options(headers=headers).send().id, shop.ship.options(headers=headers).send().id)
"""


@pytest.mark.parametrize("options", [[], ["--processes", "1"]], ids=["threads", "processes"])
def test_each_line_of_a_task_names_its_message(tmp_path: Path, options: list[str]) -> None:
    """All in JSON; the failure with its traceback, once, from where it ran."""
    (tmp_path / "shop.py").write_text(SHOP)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )

    paid, shipped = run("-c", SEND).stdout.split()
    said = run("-m", "cloudq", "worker", "--app", "shop", "--max-tasks", "2", "--log-format", "json", *options).stderr
    lines = [json.loads(line) for line in said.splitlines()]
    trace = "0af7651916cd43dd8448eb211c80319c"
    of_pay = [line for line in lines if line.get("id") == paid]
    assert {"from the task", "from a thread"} <= {line["message"] for line in of_pay}
    assert [42] == [line["order"] for line in of_pay if line["message"] == "from a thread"]
    assert any(line["logger"] == "py.warnings" and "from warnings" in line["message"] for line in of_pay)
    [failed] = [line for line in of_pay if line.get("outcome") == "retried"]
    assert "ValueError: no such order" in failed["traceback"]
    of_ship = {line["message"] for line in lines if line.get("id") == shipped}
    assert {"from a coroutine's task", "from to_thread"} <= of_ship
    for line in lines:
        if line.get("id") in {paid, shipped}:
            assert ("default", 1, trace) == (line["queue"], line["attempt"], line["trace_id"])
