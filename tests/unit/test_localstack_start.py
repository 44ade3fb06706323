"""`localstack/start.py` where LocalStack can't be started: what is missing is said, and nothing is left running."""

from __future__ import annotations

import http.server
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from localstack import run, start


class Somebody(http.server.BaseHTTPRequestHandler):
    """Answers whatever it is asked, as another program's LocalStack would."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(params=["127.0.0.1", ""], ids=["loopback", "every address"])
def somebodys_port(request) -> Iterator[int]:
    """A port on which another program answers."""
    with http.server.ThreadingHTTPServer((request.param, 0), Somebody) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_port_that_is_taken_is_an_error_in_words(somebodys_port, monkeypatch, capsys):
    """Nothing is started, no exports lead to the other program's server, and the way out is named."""
    monkeypatch.setattr(start, "environment", lambda: pytest.fail("it went on"))
    monkeypatch.setattr(sys, "argv", ["start.py", "--port", str(somebodys_port)])
    monkeypatch.setattr(start.signal, "signal", lambda *_: None)
    assert start.main() == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"port {somebodys_port} on 127.0.0.1 is taken by another program" in err
    assert "make localstack PORT=4567" in err


@pytest.mark.parametrize("port", ["70000", "-1", "http", "4566x"])
def test_what_is_no_port_is_refused(port, monkeypatch, capsys):
    """With what a port is."""
    monkeypatch.setattr(sys, "argv", ["start.py", f"--port={port}"])
    with pytest.raises(SystemExit):
        start.main()
    assert "1 to 65535" in capsys.readouterr().err


@pytest.mark.slow
def test_a_port_that_was_taken_meanwhile_is_noticed(somebodys_port, monkeypatch, tmp_path):
    """Somebody answers there before LocalStack finds it taken: that isn't readiness."""
    monkeypatch.setattr(start, "_is_taken", lambda port: False)
    monkeypatch.setattr(start, "environment", lambda: Path(sys.executable))
    monkeypatch.setattr(start, "__file__", str(tmp_path / "start.py"))
    # Long enough for whoever would ask the other program for its health.
    (tmp_path / "run.py").write_text(f"import time, sys\ntime.sleep(1)\nsys.exit({run.PORT_TAKEN})\n")
    localstack = start.LocalStack(port=somebodys_port)
    with pytest.raises(start.Unavailable, match="is taken by another program"):
        localstack.__enter__()
    localstack.keep_log = False
    localstack.stop()


def test_both_files_name_the_same_things():
    """`run.py` can't be imported by `start.py`, nor the other way round: they run in environments apart."""
    assert (start.LISTENING, start.PORT_TAKEN) == (run.LISTENING, run.PORT_TAKEN)


@pytest.mark.slow
def test_it_listens_on_this_machine_only(localstack):
    """On 127.0.0.1 and on no other address of the machine."""
    port = int(localstack.rpartition(":")[2])
    assert _answers("127.0.0.1", port)
    assert not _answers("127.0.0.2", port)


def _answers(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, port)) == 0


def test_without_uv_it_says_so(monkeypatch, tmp_path):
    """And leaves no half-made environment behind that would be taken for a whole one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "uv", None)
    with pytest.raises(start.Unavailable, match="pip install uv"):
        start.LocalStack().__enter__()
    assert [] == list(tmp_path.rglob("complete"))


def test_an_installation_that_fails_is_made_again(monkeypatch, tmp_path):
    """What the installer said is passed on, and the next start begins anew."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    installer = tmp_path / "installer"
    installer.write_text("#!/bin/sh\necho no such version >&2\nexit 1\n")
    installer.chmod(0o755)
    monkeypatch.setattr(start, "_uv", lambda: str(installer))
    for _ in range(2):
        with pytest.raises(start.Unavailable, match="no such version"):
            start.environment()


@pytest.mark.slow
def test_a_start_that_fails_shows_the_log(monkeypatch, tmp_path):
    """An environment without LocalStack in it: its end is noticed at once, and the log is kept and quoted."""
    monkeypatch.setattr(start, "environment", lambda: Path(sys.executable))
    localstack = start.LocalStack()
    with pytest.raises(start.Unavailable, match="ended at its start with code 1") as caught:
        localstack.__enter__()
    assert "No module named 'localstack" in str(caught.value)
    assert localstack.log.exists()
    localstack.keep_log = False
    localstack.stop()
    assert not localstack.log.exists()


@pytest.mark.slow
def test_it_ends_what_it_started(monkeypatch, tmp_path):
    """Its own process, by its id; the folder goes, too, as Ctrl-C is no failure."""
    monkeypatch.setattr(start, "environment", lambda: Path(sys.executable))
    monkeypatch.setattr(start, "__file__", str(tmp_path / "start.py"))
    (tmp_path / "run.py").write_text(
        "import http.server, os, pathlib\n"
        "host, port = os.environ['GATEWAY_LISTEN'].split(':')\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "server = http.server.HTTPServer((host, int(port)), Handler)\n"
        "pathlib.Path('listening').touch()\n"
        "server.serve_forever()\n"
    )
    localstack = start.LocalStack()
    localstack.__enter__()
    process = localstack._process
    assert process is not None
    assert process.poll() is None
    localstack.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert process.returncode is not None
    assert not localstack.log.parent.exists()


def test_localstack_gets_no_credentials_of_its_shell(monkeypatch, tmp_path):
    """Its environment is made by a list of what it may have, so that no new secret has to be thought of."""
    secrets = (
        "AWS_SECRET_ACCESS_KEY",
        "CLOUDQ_SERVICEBUS_CONNECTION_STRING",
        "CLOUDQ_SIGNING_KEYS",
        "GITHUB_TOKEN",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "PYTHONPATH",
    )
    for name in (*secrets, "LOCALSTACK_PERSISTENCE"):
        monkeypatch.setenv(name, "s3cret")
    given = []
    monkeypatch.setattr(start.subprocess, "Popen", lambda *_, env, **__: given.append(env))
    localstack = start.LocalStack(port=4566)
    localstack.log.parent.mkdir(parents=True, exist_ok=True)
    localstack._start(tmp_path / "bin" / "python")
    assert set() == set(secrets) & set(given[0])
    assert {"PATH", "SERVICES", "LOCALSTACK_PERSISTENCE"} <= set(given[0])


def test_two_that_start_together_share_no_file_that_a_start_writes(monkeypatch, tmp_path):
    """In a container each start of LocalStack (4.13.1, 2026.3.0) writes its certificate; one read half of another's."""
    given = []
    monkeypatch.setattr(start.subprocess, "Popen", lambda *_, env, **__: given.append(env["CUSTOM_SSL_CERT_PATH"]))
    for runner in (start.LocalStack(port=4566), start.LocalStack(port=4567)):
        runner._start(tmp_path / "bin" / "python")
        runner.keep_log = False
        assert runner.log.parent == Path(given[-1]).parent
        runner.stop()
    assert 2 == len(set(given))
