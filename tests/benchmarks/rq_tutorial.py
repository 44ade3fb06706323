"""RQ's tutorial from a bare machine, by RQ and by cloudq: how many commands, and how many seconds.

    python -m tests.benchmarks.rq_tutorial [ROUNDS]

Each round is an empty folder with an environment of its own and nothing from pip's cache. The page that is checked is
served from this machine. A bare machine has Python, but no Redis server: the packages of Debian's are downloaded each
time and unpacked into the folder, which leaves the machine as it was and takes no longer than an installation. Needs
`apt-get`, and packages that pip finds. cloudq's own package is built before, unmeasured, as RQ's is already.
"""

from __future__ import annotations

import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
ROUNDS: Final = 3

OURS: Final = """
import cloudq
from urllib.request import urlopen


@cloudq.task(queue="important")
def is_page_ok(url: str) -> None:
    with urlopen(url) as page:
        print("page is ok" if page.status == 200 else "page is not ok", flush=True)
"""
OUR_SEND: Final = """
from pages import is_page_ok

is_page_ok.send("{page}")
"""
RQS: Final = """
from urllib.request import urlopen


def is_page_ok(url: str) -> None:
    with urlopen(url) as page:
        print("page is ok" if page.status == 200 else "page is not ok", flush=True)
"""
RQ_SEND: Final = """
from redis import Redis
from rq import Queue

from pages import is_page_ok

Queue("important", connection=Redis(port={port})).enqueue(is_page_ok, "{page}")
"""


class Tutorial(NamedTuple):
    """What is typed.

    Attributes:
        name: Whose it is.
        files: What is written, by file.
        commands: What is called, in order; one that ends in `&` goes on.
    """

    name: str
    files: Mapping[str, str]
    commands: Sequence[str]


def tutorials(page: str, port: int, wheel: Path) -> list[Tutorial]:
    """Both, for a page, a port for Redis, and cloudq's package."""
    environment = "python3 -m venv .venv"
    ours = Tutorial(
        "cloudq",
        {"pages.py": OURS, "send.py": OUR_SEND.format(page=page)},
        [
            environment,
            f".venv/bin/pip install --quiet --no-cache-dir {wheel}",
            ".venv/bin/python send.py",
            ".venv/bin/cloudq worker --app pages --burst",
        ],
    )
    rqs = Tutorial(
        "RQ",
        {"pages.py": RQS, "send.py": RQ_SEND.format(page=page, port=port)},
        [
            "apt-get update",
            "apt-get install redis-server",
            f"redis-server --port {port} &",
            environment,
            ".venv/bin/pip install --quiet --no-cache-dir rq",
            ".venv/bin/python send.py",
            f".venv/bin/rq worker --burst --url redis://127.0.0.1:{port} important",
        ],
    )
    return [ours, rqs]


def carried_out(tutorial: Tutorial, folder: Path) -> list[tuple[str, float]]:
    """The seconds of each command, in an empty folder.

    Raises:
        RuntimeError: One failed, or the page wasn't checked.
    """
    for name, text in tutorial.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    seconds, printed = [], ""
    going_on: list[subprocess.Popen[bytes]] = []
    try:
        for command in tutorial.commands:
            began = time.monotonic()
            if command.endswith(" &"):
                going_on.append(_started(command.removesuffix(" &"), folder))
            else:
                printed += _run(_as_here(command), folder)
            seconds.append((command, time.monotonic() - began))
    finally:
        for process in going_on:
            process.send_signal(signal.SIGTERM)
            process.wait()
    if "page is ok" not in printed:
        raise RuntimeError(f"{tutorial.name}: the page wasn't checked: {printed}")
    return seconds


def _as_here(command: str) -> str:
    """What stands for a command that would change the machine."""
    if command == "apt-get update":
        return "apt-get -qq update"
    if command == "apt-get install redis-server":
        return (
            "sh -c 'apt-get -qq download redis-server redis-tools && for file in *.deb; do dpkg -x $file redis; done'"
        )
    return command


def _run(command: str, folder: Path) -> str:
    ended = subprocess.run(
        shlex.split(command), cwd=folder, env=_environment(), capture_output=True, text=True, timeout=600, check=False
    )
    if ended.returncode:
        raise RuntimeError(f"{command}: {ended.stderr}{ended.stdout}")
    return ended.stdout + ended.stderr


def _started(command: str, folder: Path) -> subprocess.Popen[bytes]:
    """Redis, once it takes connections."""
    program, *words = shlex.split(command)
    process = subprocess.Popen(
        [str(folder / "redis/usr/bin" / program), *words, "--save", ""],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if b"Ready to accept connections" in line:
            break
    threading.Thread(target=process.stdout.read, daemon=True).start()
    return process


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDQ_", "PYTHON", "VIRTUAL"))}


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """The page."""
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@contextmanager
def _page() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def _wheel(folder: Path) -> Path:
    """cloudq's package, built from this checkout."""
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(words, check=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def main() -> None:
    """Prints each command of both with its seconds, and the sums."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    sums: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as built, _page() as page:
        wheel = _wheel(Path(built))
        for number in range(1, rounds + 1):
            with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as probe:
                port = probe.server_port
            for tutorial in tutorials(page, port, wheel):
                with tempfile.TemporaryDirectory() as folder:
                    seconds = carried_out(tutorial, Path(folder))
                sums.setdefault(tutorial.name, []).append(sum(spent for _, spent in seconds))
                lines = sum(len([line for line in text.splitlines() if line]) for text in tutorial.files.values())
                print(
                    f"round {number}, {tutorial.name}: {len(tutorial.commands)} commands, {lines} lines in "
                    f"{len(tutorial.files)} files, load {os.getloadavg()[0]:.1f}"
                )
                for command, spent in seconds:
                    print(f"  {spent:6.2f} s  {command.replace(str(wheel), 'cloudq')}")
    for name, each in sums.items():
        print(f"{name}: median {statistics.median(each):.1f} s, from {min(each):.1f} to {max(each):.1f}")


if __name__ == "__main__":
    main()
