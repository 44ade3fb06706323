"""`cloudq emulate cloudtasks`: what it prints, how it ends, what it refuses."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import grpc
import pytest
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_listens_until_it_is_told_to_end(number):
    """It prints what to export once it listens, has the queues it was told to, and ends with 0 on a signal."""
    arguments = ["emulate", "cloudtasks", "--port", "0", "--certs-port", "0", "--queue", "emails", "--relaxed"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cloudq", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        exported = process.stdout.readline().strip()
        assert exported.startswith("export CLOUD_TASKS_EMULATOR_HOST=127.0.0.1:")
        assert process.stdout.readline() == "# queue: projects/dev/locations/local/queues/emails\n"
        assert process.stderr.readline().startswith("certificates: http://127.0.0.1:")
        with grpc.insecure_channel(exported.partition("=")[2]) as channel:
            client = tasks_v2.CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))
            names = [queue.name for queue in client.list_queues(parent="projects/dev/locations/local", timeout=60)]
            assert names == ["projects/dev/locations/local/queues/emails"]
        process.send_signal(number)
        out, err = process.stdout.read(), process.stderr.read()
        process.wait(60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, err
    assert (out, err) == ("", "")


def test_a_taken_port_is_said_with_what_to_do(cli):
    """A port at which somebody listens ends it with 2, and the error names the port and a way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for options in (("--port", str(port), "--certs-port", "0"), ("--port", "0", "--certs-port", str(port))):
            result = cli("emulate", "cloudtasks", *options)
            assert (2, "") == (result.code, result.out)
            assert f"can't listen at 127.0.0.1:{port}" in result.err
            assert "--port 0" in result.err


@pytest.mark.parametrize("options", [("--queue", "no_such name"), ("--queue", "emails", "--parent", "dev")])
def test_a_queue_that_cant_be_is_refused(cli, options):
    """What is no queue's name ends it with 2 and says how names are written."""
    result = cli("emulate", "cloudtasks", "--port", "0", "--certs-port", "0", *options)
    assert (2, "") == (result.code, result.out)
    assert "--queue projects/PROJECT/locations/LOCATION/queues/emails" in result.err


def test_without_the_extra_it_says_what_to_install(cli, monkeypatch):
    """Where its packages aren't installed, the error names the extra."""
    for name in [name for name in sys.modules if name.startswith("cloudq.emulators.cloud_tasks")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    result = cli("emulate", "cloudtasks")
    assert result.code == 2
    assert "pip install 'cloudq[emulators]'" in result.err


def test_help_has_an_example(cli):
    """The help shows how it's called."""
    result = cli("emulate", "cloudtasks", "--help")
    assert result.code == 0
    assert "cloudq emulate cloudtasks --relaxed --queue emails" in " ".join(result.out.split())
