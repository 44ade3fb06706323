"""The sample of docs/how-to/sentry.md, with Sentry's own SDK, whose events are kept in the place of being sent."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs/how-to/sentry.md"
# A transport is what the SDK gives its envelopes to: by default over HTTP, here into a list.
PROGRAM: Final = """
import json, logging, sys
import sentry_sdk
from sentry_sdk.transport import Transport

kept, init = [], sentry_sdk.init

class Kept(Transport):
    def capture_envelope(self, envelope):
        kept.extend(item.payload.json for item in envelope.items if item.type == "event")

def init_kept(**options):
    init(**{**options, "dsn": "http://key@127.0.0.1:9/1", "transport": Kept, **more})

more = {}
if sys.argv[1] == "each":
    from sentry_sdk.integrations.logging import LoggingIntegration
    more["integrations"] = [LoggingIntegration(event_level=logging.WARNING)]
sentry_sdk.init = init_kept
from app import app, charge
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

charge.send(order_id=7)
Worker(app, WorkerSettings(burst=True)).run()
sentry_sdk.flush()
print(json.dumps(kept))
"""


def events(tmp_path: Path, which: str) -> list[dict[str, Any]]:
    """What the sample's worker sends to Sentry."""
    found = re.search(r'```python title="app.py"\n(.*?)```', PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    quick = "retry=cloudq.RetryPolicy(stop=stop_after_attempt(2), wait=wait_fixed(0))"
    sample = "from tenacity import stop_after_attempt, wait_fixed\n" + found[1].replace(
        "retry=cloudq.RetryPolicy()", quick
    )
    (tmp_path / "app.py").write_text(sample, encoding="utf-8")
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "program.py", which],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "CLOUDQ_URL": "memory://", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == ran.returncode, ran.stderr
    told: list[dict[str, Any]] = json.loads(ran.stdout.splitlines()[-1])
    return told


def test_a_dead_letter_is_one_event_with_the_exception_and_its_task(tmp_path: Path) -> None:
    """The stack ends in the task's own line; the message is a tag's search away."""
    [event] = events(tmp_path, "dead")
    [error] = event["exception"]["values"]
    assert ("ValueError", "order 7 has no card") == (error["type"], error["value"])
    assert "charge" == error["stacktrace"]["frames"][-1]["function"]
    assert ({"task": "shop.charge", "queue": "default"}, "error") == (event["tags"], event["level"])
    assert ["{{ default }}", "shop.charge"] == event["fingerprint"]
    assert "dead_lettered" == event["extra"]["cloudq_outcome"]
    assert not any("vars" in frame for frame in error["stacktrace"]["frames"])


@pytest.mark.parametrize("which", ["each"])
def test_each_attempt_can_be_one(tmp_path: Path, which: str) -> None:
    """By the level at which lines become events."""
    levels = [event["level"] for event in events(tmp_path, which)]
    assert ["warning", "error"] == levels
