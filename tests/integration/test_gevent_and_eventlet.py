"""Programs that gevent or eventlet has patched: they send, and their workers work and stop, as elsewhere."""

from __future__ import annotations

import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from cloudq.drivers.sqs import SQSDriver
from tests.compatibility.environment import PROGRAMS, command, run, variables
from tests.integration.processes import end, wait_until

pytestmark = pytest.mark.slow

LIBRARIES = ["gevent", "eventlet"]


@contextmanager
def started(folder: Path, *arguments: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(arguments, cwd=folder, env=variables(**more), stdout=log, stderr=log)
    try:
        yield process
    finally:
        end(process)


@pytest.fixture
def sqs_url(localstack: str) -> str:
    """A backend with a queue `default` on LocalStack."""
    prefix = f"green-{free_port()}-"
    driver = SQSDriver("us-east-1", prefix=prefix, endpoint_url=localstack)
    driver.make_queue("default")
    driver.close()
    return f"sqs://us-east-1?prefix={prefix}&endpoint_url={quote(localstack, safe='')}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize("library", LIBRARIES)
def test_sigterm_stops_a_worker(tmp_path, library):
    """It ends by itself with exit code 0, and has run what there was."""
    url = f"sqlite:///{tmp_path}/q.db"
    results = tmp_path / "results"
    assert run("green.py", library, "send", "50", CLOUDQ_URL=url).stdout == "50\n"
    worker = (command(), str(PROGRAMS / "green.py"), library, "worker", "--app", "shop:app", "--queue", "default")
    with started(tmp_path, *worker, CLOUDQ_URL=url, RESULTS=str(results)) as process:
        wait_until(
            lambda: results.exists() and len(results.read_text().splitlines()) == 50, within=60, what="all have run"
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, (tmp_path / "log").read_text()


@pytest.mark.parametrize("library", LIBRARIES)
def test_greenlets_send_to_sqs(sqs_url, library):
    """Through the SDK, whose sockets are the library's own here: 50 at a time, each stored."""
    ran = run("green.py", library, "send", "50", CLOUDQ_URL=sqs_url)
    assert ran.stdout == "50\n", ran.stderr


@pytest.mark.parametrize("early", [False, True], ids=["patched too late", "patched first"])
def test_gunicorn_with_gevent_and_preload(tmp_path, sqs_url, early):
    """A send at import opens the SDK before gevent patches: an error says what to do, and what it says works."""
    (tmp_path / "conf.py").write_text("from gevent import monkey; monkey.patch_all()\n" if early else "")
    port = free_port()
    server = (
        "-k",
        "gevent",
        "--preload",
        "-c",
        "conf.py",
        "--no-control-socket",
        "-b",
        f"127.0.0.1:{port}",
        "web:wsgi",
    )
    answers: list[str] = []

    def answered() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{len(answers)}", timeout=30) as response:
                answers.append(response.read().decode())
        except OSError:  # it doesn't listen yet, or leaves a request that came too early
            return False
        return len(answers) == 2

    with started(tmp_path, command("gunicorn"), *server, "web:wsgi", CLOUDQ_URL=sqs_url, EARLY="1"):
        wait_until(answered, within=60, what="two requests are answered")
    if early:
        assert ["stored", "stored"] == answers
    else:
        assert all(answer.startswith("ConfigurationError: gevent or eventlet has patched") for answer in answers), (
            answers
        )
