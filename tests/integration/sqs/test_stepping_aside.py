"""Real tracers, recorders and stand-ins around a real SDK: what they are to see, or to keep from AWS, is theirs.

Each is turned on in a process of its own (`tests/compatibility/programs/aside.py`), whose endpoint is a server here.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from tests.chaos.http_proxy import Request
from tests.chaos.raw_answers import RawServer
from tests.compatibility.environment import ROOT, run
from tests.unit.drivers.sqs.served import of

pytestmark = pytest.mark.slow

LEAN = True


class Tool(NamedTuple):
    """What a tool does.

    Attributes:
        passes: Whether calls reach AWS while it is on.
        later: Whether a driver that is opened while it is on makes its calls itself.
        spans: How many it has seen after one call, and after another one by a driver opened while it is on.
        leaves: Whether the driver makes its calls itself once it is off: not where it leaves a handler, or stays on.
    """

    passes: bool
    later: bool = False
    spans: tuple[int, int] = (0, 0)
    leaves: bool = True


TOOLS = {
    "stubber": Tool(passes=False, later=LEAN),  # it is one client's
    "vcrpy": Tool(passes=False),
    "pytest-recording": Tool(passes=False),
    "pytest-socket": Tool(passes=False),
    "httpretty": Tool(passes=False),
    "otel-botocore": Tool(passes=True, spans=(1, 2)),
    "otel-boto3sqs": Tool(passes=True, spans=(1, 2)),
    "ddtrace": Tool(passes=True, spans=(1, 2), leaves=False),
    "xray": Tool(passes=True, spans=(1, 2), leaves=False),
    "sentry": Tool(passes=True, spans=(1, 3), leaves=False),  # HTTP, too; of the new client also the call
    "instana": Tool(passes=True, leaves=False),  # without an agent it keeps no spans
}


class Recorder:
    """A server that stores nothing, and says that it does."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def respond(self, request: Request) -> bytes:
        entries: list[Any] = request.parameters["Entries"]
        self.sent += [json.loads(entry["MessageBody"])["sent"] for entry in entries]
        return of({"Successful": [_stored(entry) for entry in entries]})


def _stored(entry: Any) -> dict[str, str]:
    digest = hashlib.md5(entry["MessageBody"].encode(), usedforsecurity=False).hexdigest()
    return {"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": digest}


@pytest.mark.parametrize("name", TOOLS)
def test_the_lean_wire_steps_aside_and_comes_back(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """For a driver that was opened before, and for one that is opened while the tool is on."""
    tool, recorder = TOOLS[name], Recorder()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with RawServer(recorder.respond) as server:
        ran = run("aside.py", name, server.url)
    assert ran.returncode == 0, ran.stderr[-3000:]
    said = json.loads(ran.stdout.splitlines()[-1])
    assert [LEAN, "None"] == said["before"]
    assert not said["on"][0]
    assert (said["on"][1] == "None") is tool.passes
    assert said["opened while on"][0] is tool.later
    assert tool.spans == (said["seen"], said["seen later"])
    assert [tool.leaves, "None"] == said["off"]
    passed = [moment for moment in ("on", "opened while on") if said[moment][1] == "None"]
    assert ["before", *passed, "off"] == recorder.sent


UNDER_MOTO = """
import socket, sys
from datetime import timedelta

reached = []

def stay_here(event, arguments):
    if event in {"socket.connect", "socket.getaddrinfo"}:
        reached.append((event, arguments))
        raise OSError("nothing leaves this test")

sys.addaudithook(stay_here)
import moto
from cloudq import App
from cloudq.drivers.sqs.lean import LeanClient
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings

app = App("sqs://us-east-1")
ran = []

@app.task("add")
def add(n: int) -> None:
    ran.append(n)

with moto.mock_aws():
    driver = app.driver()
    driver.make_queue("default")
    assert not isinstance(driver._calls.client_for("default"), LeanClient)
    for n in range(3):
        add.send(n)
    app.send_many([add.call(n) for n in range(3, 23)])
    Worker(app, WorkerSettings(burst=True, wait=timedelta(0))).run()
    assert sorted(ran) == list(range(23)), ran
    assert app.queue("default").stats().ready == 0
assert reached == [], reached
print("nobody was reached")
"""


def test_a_program_under_moto_reaches_nobody() -> None:
    """A user's own test: queues, sends, a worker's receives and deletions, and not a socket nor a name looked up."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CLOUDQ_"))}
    ran = subprocess.run(
        [sys.executable, "-c", UNDER_MOTO],
        check=False,
        env=env | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "nobody was reached" in ran.stdout
