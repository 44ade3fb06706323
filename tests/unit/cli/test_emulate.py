"""`cloudq emulate servicebus`."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.integration.processes import end, environment

CONFIG = '{"UserConfig": {"Namespaces": [{"Name": "x", "Queues": [{"Name": "mine"}]}]}}'


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_runs_until_it_is_told_to_end(tmp_path: Path, ending: signal.Signals) -> None:
    """It shows what to export and where the administration is, has the queues that were asked for, and ends with 0."""
    (tmp_path / "Config.json").write_text(CONFIG, encoding="utf-8")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "cloudq", "emulate", "servicebus", "--port", "0", "--admin-port", "0"),
            *("--config", "Config.json", "--queue", "default", "--queue", "orders.fifo"),
        ],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        export = process.stdout.readline()
        found = re.fullmatch(
            r"export CLOUDQ_SERVICEBUS_CONNECTION_STRING='Endpoint=sb://127\.0\.0\.1:(\d+);.*"
            r"UseDevelopmentEmulator=true'\n",
            export,
        )
        assert found is not None, export
        backend = re.fullmatch(r"export CLOUDQ_URL='servicebus://\?admin_endpoint=(.*)'\n", process.stdout.readline())
        assert backend is not None
        socket.create_connection(("127.0.0.1", int(found[1])), 60).close()
        url = re.search(r"http://\S+(?=;)", process.stderr.readline())
        assert url is not None
        assert backend[1] == url[0]
        listed = httpx.get(f"{url[0]}/$Resources/queues", timeout=60).text
        assert ["default", "mine", "orders.fifo"] == re.findall(r'<title type="text">([a-z.]+)</title>', listed)[1:]
        assert ["false", "false", "true"] == re.findall(r"<RequiresSession>(\w+)<", listed)
        process.send_signal(ending)
        assert 0 == process.wait(60)
        assert ("", "") == (process.stdout.read(), process.stderr.read())
    finally:
        end(process)
        process.stdout.close()
        process.stderr.close()


def test_a_port_that_is_taken_is_2(cli) -> None:
    """The error says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = cli("emulate", "servicebus", "--port", str(taken.getsockname()[1]), "--admin-port", "0")
    assert (2, "") == (result.code, result.out)
    assert "--port 0" in result.err


def test_a_config_that_cannot_be_used_is_2(cli, tmp_path: Path) -> None:
    """The error names the file and where in it."""
    path = tmp_path / "Config.json"
    path.write_text('{"UserConfig": {}}', encoding="utf-8")
    result = cli("emulate", "servicebus", "--config", str(path))
    assert (2, "") == (result.code, result.out)
    assert "Config.json: UserConfig.Namespaces: it is missing" in result.err


def test_queues_that_cannot_be_made_are_2(cli) -> None:
    """Twice the same name is refused."""
    result = cli("emulate", "servicebus", "--queue", "a", "--queue", "A")
    assert 2 == result.code
    assert "already exists" in result.err


def test_without_uvicorn_it_says_what_to_install(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The administration needs it."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = cli("emulate", "servicebus", "--port", "0", "--admin-port", "0")
    assert 2 == result.code
    assert "pip install 'cloudq[emulators]'" in result.err
