"""Carries out the commands of an example's README, in a copy of its folder, as a reader would."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMAND = re.compile(r"^\$ (.*)$", re.MULTILINE)
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What makes the environment, which there is here already.
LEFT_OUT = ("python -m venv", ". .venv", "pip install")


def carried_out(folder: Path, copy: Path, *, ports: Collection[str] = ()) -> dict[str, str]:
    """What each command printed to stdout, by the command; of one that stands there twice, with a line `---` between.

    A command that ends in `&` goes on until the end. One that fails is a failure of the test.

    Args:
        folder: Of the example.
        copy: An empty folder.
        ports: The README's ports, in whose places free ones are taken.
    """
    shutil.copytree(folder, copy, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.db*", "instance"))
    (copy / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")  # the project's own settings are no reader's
    text = (folder / "README.md").read_text(encoding="utf-8")
    for port in ports:
        text = text.replace(port, str(free_port()))
    printed: dict[str, str] = {}
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in (line for block in BLOCK.findall(text) for line in COMMAND.findall(block)):
            if command.startswith(LEFT_OUT):
                continue
            words = shlex.split(command)
            if words[-1] == "&":
                running.append(_started(words[:-1], copy))
                continue
            ended = subprocess.run(
                words, cwd=copy, env=_environment(), capture_output=True, text=True, timeout=100, check=False
            )
            assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
            printed[command] = f"{printed[command]}\n---\n{ended.stdout}" if command in printed else ended.stdout
    finally:
        for process in running:
            process.terminate()
            process.wait()
    return printed


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLOUDQ_", "FLASK_", "PYTEST_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


def _started(words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """A server, once it listens on the port that its command names."""
    process = subprocess.Popen(
        words, cwd=folder, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    [port] = [int(word) for word in words if word.isdecimal()]
    until = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        assert process.poll() is None, f"{words} has ended"
        assert time.monotonic() < until, f"{words} doesn't listen"
        time.sleep(0.05)
