"""Starting a server that refuses to be root's, and ending it."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import pytest

NOBODY = "nobody"
PATIENCE = 60.0
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def find(package: str, *programs: str) -> str:
    """Where a program is, or another of its kind. Skips the test where there is none, and fails it in CI.

    Args:
        package: Debian's that has it, for what is said then.
        programs: Their names.
    """
    for program in programs:
        # Debian has servers where only root looks.
        if found := shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/bin"):
            return found
    said = f"{programs[0]} is not installed: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(said)
    pytest.skip(said)


def free_port() -> int:
    """A port of loopback that nobody has at the moment."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _end_with_parent() -> None:
    """In the child, before it becomes the server: a test run that is killed leaves none behind, on Linux."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


class Server:
    """A process in a folder of its own, as a user without rights.

    Args:
        prepare: Makes the folder ready: called with it.
        command: What to start: called with the folder.
        ready: Whether it answers: called with the folder.
        settle: Changes the folder after it was made ready, if anything is to be changed.
    """

    ending: ClassVar[signal.Signals] = signal.SIGTERM
    """By which it ends soon, whoever is connected."""

    def __init__(
        self,
        *,
        prepare: Callable[[Path], Sequence[str] | None],
        command: Callable[[Path], Sequence[str]],
        ready: Callable[[Path], bool],
        settle: Callable[[Path], None] | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cloudq-server-"))
        self.folder.chmod(0o755)
        self._user = NOBODY if os.geteuid() == 0 else None
        data, temporary = self.folder / "data", self.folder / "tmp"
        for made in (data, temporary):
            made.mkdir()
        if self._user:
            for one in (self.folder, data, temporary):
                shutil.chown(one, self._user)
        # Of its own: a MariaDB that starts removes the temporary tables of all others from a folder that it shares.
        environment = {**os.environ, "TMPDIR": str(temporary)}
        self._log = (self.folder / "log").open("wb")
        if first := prepare(data):
            try:
                subprocess.run(
                    first,
                    user=self._user,
                    check=True,
                    stdout=self._log,
                    stderr=self._log,
                    cwd=data,
                    env=environment,
                    timeout=PATIENCE,
                )
            except (OSError, subprocess.SubprocessError) as error:
                raise RuntimeError(f"the server's folder wasn't made: {error}: {self._said()}") from error
        if settle:
            settle(data)
        self.process = subprocess.Popen(
            command(data),
            user=self._user,
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
            cwd=data,
            env=environment,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - it takes no lock and imports nothing
        )
        until = time.monotonic() + PATIENCE
        while not ready(data):
            if self.process.poll() is not None or time.monotonic() > until:
                self.go_on()
                self.process.kill()
                self.process.wait(20)
                raise RuntimeError(f"the server didn't start: {self._said()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Has it stand still, with the processes that it has started, as a machine that hangs does."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends `stop`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        with suppress(OSError):  # Linux says which they are
            pid = self.process.pid
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(child), number)

    def _said(self) -> str:
        """The end of what it said. Nothing is left of it then."""
        self._log.close()
        said = (self.folder / "log").read_text(errors="replace")[-2000:]
        shutil.rmtree(self.folder, ignore_errors=True)
        return said

    def close(self) -> None:
        """Ends it, and removes its folder."""
        self.go_on()
        self.process.send_signal(self.ending)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
