"""What is run for a row's cells. Each check raises, or returns what the cell says."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tests.compatibility.environment import FOLDER, PROGRAMS, command, variables
from tests.compatibility.places import Place

Check = Callable[[Place], str]

OK: Final = "all"
REQUESTS: Final = 20
WORKERS: Final = 2


def exercise(tracer: str) -> Check:
    """All that a program does with tasks."""

    def check(place: Place) -> str:
        place.run("exercise.py", TRACER=tracer)
        return OK

    return check


def full_batches(tracer: str) -> Check:
    """Eighty messages in batches that are full before the tracer adds to them."""

    def check(place: Place) -> str:
        endpoint = place.url.partition("endpoint_url=")[2].replace("%3A", ":").replace("%2F", "/")
        said = json.loads(place.run("full_batches.py", tracer, endpoint, f"full-{place.prefix}").splitlines()[-1])
        assert said["left"] == [80, 0], said
        return f"all, {said['refused']} calls in halves" if said["refused"] else OK

    return check


def forks(place: Place) -> str:
    sent = int(place.run("forks.py"))
    assert place.ready() == sent, f"{sent} were sent, and {place.ready()} are there"
    return f"{sent} of {sent}"


def green(library: str) -> Check:
    """Sends from 50 greenlets, and a worker that SIGTERM stops."""

    def check(place: Place) -> str:
        assert place.run("green.py", library, "send", "50") == "50\n"
        worker = (command(), str(PROGRAMS / "green.py"), library, "worker", "--app", "shop:app", "--wait", "1")
        results = place.folder / "results"
        with started(place, *worker) as process:
            wait_until(lambda: results.exists() and len(results.read_text().splitlines()) >= 50)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, (place.folder / "log").read_text()[-3000:]
        return OK

    return check


def powertools(place: Place) -> str:
    place.run("powertools.py")
    return OK


def neighbours(place: Place) -> str:
    """npm's consumer and producer, which `package.json` beside the program names."""
    node = FOLDER / "node"
    endpoint = place.url.partition("endpoint_url=")[2].replace("%3A", ":").replace("%2F", "/")
    place.run("green.py", "gevent", "send", "12")
    url = f"{endpoint}/000000000000/{place.prefix}default"
    ran = subprocess.run(
        ["node", node / "neighbours.mjs", url, endpoint, "5"], capture_output=True, text=True, timeout=100, check=True
    )
    assert json.loads(ran.stdout) == list(range(12)), ran.stdout
    worker = (command(), "-m", "cloudq", "worker", "--app", "shop:app", "--queue", "default", "--wait", "1")
    results = place.folder / "results"
    with started(place, *worker):
        wait_until(lambda: results.exists() and len(results.read_text().splitlines()) == 5)
    return OK


def served(*server: str, early: int, configuration: str = "") -> Check:
    """A web server's processes send: requests all at once, and `early` sends at the application's import."""

    def check(place: Place) -> str:
        port = free_port()
        (place.folder / "conf.py").write_text(configuration)
        arguments = [word.replace("PORT", str(port)) for word in server]
        with started(place, command(arguments[0]), *arguments[1:], EARLY="1" if early else ""):
            wait_until(lambda: listens(port))
            said = [request(port, n) for n in range(REQUESTS)]
            if all(one.startswith("ConfigurationError: gevent or eventlet has patched") for one in said):
                return "an error that says what to do"
            assert said == ["stored"] * REQUESTS, said
            wait_until(lambda: place.ready() == REQUESTS + early)
        return OK

    return check


def request(port: int, n: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{n}", timeout=30) as response:
        return str(response.read().decode())


def listens(port: int) -> bool:
    """Whether somebody does; sends nothing."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def started(place: Place, *arguments: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is stopped at the end of the block, by force if need be. Its output is in `log`."""
    with (place.folder / "log").open("wb") as log:
        process = subprocess.Popen(
            arguments, cwd=place.folder, env=variables(**place.variables(**more)), stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until(holds: Callable[[], object], within: float = 60) -> None:
    end = time.monotonic() + within
    while not holds():
        assert time.monotonic() < end, f"not within {within:g} s"
        time.sleep(0.05)
