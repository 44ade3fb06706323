"""moto's server: a second opinion on SQS, and DynamoDB, which LocalStack lacks without Docker."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from localstack.start import ACCOUNT

PATIENCE: Final = 60


@contextmanager
def moto_server(*program: str) -> Iterator[str]:
    """The URL of a server on this machine, which has LocalStack's account; it ends with the block.

    Args:
        program: The command that starts it; none for this environment's own moto.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with subprocess.Popen(
        [*(program or (sys.executable, "-m", "moto.server")), "-H", "127.0.0.1", "-p", str(port)],
        env=os.environ | {"MOTO_ACCOUNT_ID": ACCOUNT},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            _wait(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    start = time.monotonic()
    while time.monotonic() - start < PATIENCE:
        assert process.poll() is None, f"moto's server ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"moto's server doesn't listen after {PATIENCE} s")
