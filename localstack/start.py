"""Starts LocalStack without Docker, in an environment of its own that is made once and kept.

python localstack/start.py [--port 4566]

It listens on 127.0.0.1 only. A port that is taken is an error: whoever answers there is somebody else.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock

# The last releases that start outside of their container image, each with its dependencies as they were then: newer
# ones break it. The second needs Python 3.13 (it takes `deprecated` from `warnings`), though its metadata allow others.
RECIPES = {
    False: ("localstack-core[runtime]==4.13.1", "2026-02-20"),
    True: ("localstack-core[runtime]==2026.3.0", "2026-04-05"),
}
REQUIREMENT, EXCLUDE_NEWER = RECIPES[sys.version_info >= (3, 13)]
REGION = "us-east-1"
ACCOUNT = "000000000000"
# LocalStack takes any; the SDK wants some.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
INSTALL_PATIENCE = 600
START_PATIENCE = 90
STOP_PATIENCE = 15


# Of `run.py`, which is never imported: it runs in LocalStack's environment.
LISTENING = "listening"
PORT_TAKEN = 98


# What LocalStack may know of the shell that it was started in. Connection strings, tokens and keys are no business of a
# program that answers on a port.
MAY_KNOW = frozenset({"DEBUG", "HOME", "LANG", "LANGUAGE", "LOGNAME", "LS_LOG", "PATH", "TMPDIR", "TZ", "USER"})
MAY_KNOW_PREFIXES = ("LC_", "LOCALSTACK_")


def inherited(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of a shell's variables that LocalStack may know."""
    return {name: value for name, value in variables.items() if name in MAY_KNOW or name.startswith(MAY_KNOW_PREFIXES)}


class Unavailable(Exception):
    """LocalStack can't be started here; the text says what is missing."""


class LocalStack:
    """A running LocalStack, with SQS unless told otherwise: `with LocalStack() as localstack: localstack.url`.

    Args:
        port: The port on 127.0.0.1, or `None` for a free one.
        services: What it offers.

    Raises:
        Unavailable: On entering the block: what is missing.
    """

    def __init__(self, *, port: int | None = None, services: str = "sqs") -> None:
        self.port = port or _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.keep_log = False
        self._services = services
        self._folder = Path(tempfile.mkdtemp(prefix="cloudq-localstack-"))
        self.log = self._folder / "localstack.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            # Before the environment is made, which takes a minute; that the port is had is seen later.
            if _is_taken(self.port):
                raise self._port_taken()
            python = environment()
            self._start(python)
            self._wait_until_ready()
        except BaseException:
            self.keep_log = self.log.exists()
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.keep_log = self.keep_log or (kind is not None and issubclass(kind, Exception))
        self.stop()

    def stop(self) -> None:
        """Ends the process that was started, and no other; removes its files, unless the log is to be kept."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if not self.keep_log:
            shutil.rmtree(self._folder, ignore_errors=True)

    def wait(self) -> int:
        """Waits until LocalStack ends by itself; its exit code."""
        return self._process.wait() if self._process is not None else 0

    def _start(self, python: Path) -> None:
        variables = inherited(os.environ) | {
            "SERVICES": self._services,
            "GATEWAY_LISTEN": f"127.0.0.1:{self.port}",
            "FILESYSTEM_ROOT": str(self._folder / "files"),
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            # In a container it keeps its files in /var/lib/localstack, whatever FILESYSTEM_ROOT says, and each start
            # writes this one anew: another that starts at that moment may read half of it, and ends.
            "CUSTOM_SSL_CERT_PATH": str(self._folder / "server.pem"),
            # Before it says that it is ready: on a busy machine the first call would take longer than a call may.
            "EAGER_SERVICE_LOADING": "1",
            "DISABLE_EVENTS": "1",
            "DNS_ADDRESS": "0",
            "SQS_DISABLE_CLOUDWATCH_METRICS": "1",
            # Its cache of plugins is kept with the environment: one that an interrupted start broke goes with it.
            "XDG_CACHE_HOME": str(python.parents[1] / "cache"),
        }
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                # -P: the folder of the script isn't searched for modules.
                [str(python), "-P", str(Path(__file__).with_name("run.py")), str(os.getpid())],
                cwd=self._folder,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_PATIENCE
        while time.monotonic() < deadline:
            code = self._process.poll() if self._process is not None else None
            if code == PORT_TAKEN:
                raise self._port_taken()
            if code is not None:
                raise Unavailable(f"LocalStack ended at its start with code {code}; {self._end_of_log()}")
            if not (self._folder / LISTENING).exists():
                time.sleep(0.1)  # until then whoever answers at this port is somebody else
                continue
            try:
                with urllib.request.urlopen(f"{self.url}/_localstack/health", timeout=2):  # noqa: S310 - our own URL
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise Unavailable(f"LocalStack wasn't ready within {START_PATIENCE} s; {self._end_of_log()}")

    def _port_taken(self) -> Unavailable:
        return Unavailable(
            f"port {self.port} on 127.0.0.1 is taken by another program; name another one:"
            " make localstack PORT=4567, or PORT=0 for any that is free"
        )

    def _end_of_log(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        return "\n".join([f"its log is {self.log}:", *lines])


def environment() -> Path:
    """The interpreter of LocalStack's environment, which is made if there is none for these versions yet.

    Raises:
        Unavailable: It can't be made: uv, or what it downloads, is missing.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    key = hashlib.sha256(f"{REQUIREMENT} {EXCLUDE_NEWER} {version} {sys.prefix}".encode()).hexdigest()[:12]
    folder = _cache() / f"{key}-py{version}"
    python, stamp = folder / "bin" / "python", folder / "complete"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not stamp.exists():
            uv = _uv()
            shutil.rmtree(folder, ignore_errors=True)
            _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
            _run(
                *(uv, "pip", "install", "--quiet", "--python", str(python)),
                *("--exclude-newer", EXCLUDE_NEWER, REQUIREMENT),
            )
            stamp.touch()
    return python


def _cache() -> Path:
    """The user's cache folder, or where there is none one in the checkout."""
    given = os.environ.get("XDG_CACHE_HOME")
    folder = Path(given) if given else Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    folder /= "cloudq-localstack"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(__file__).parents[1] / ".localstack"
    return folder


def _uv() -> str:
    try:
        from uv import find_uv_bin
    except ModuleNotFoundError:
        found = shutil.which("uv")
    else:
        found = find_uv_bin()
    if not found:
        raise Unavailable("uv isn't installed, which makes LocalStack's environment: pip install uv")
    return found


def _run(*command: str) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"LocalStack can't be installed: {error}") from error
    if done.returncode != 0:
        raise Unavailable(f"LocalStack can't be installed: {done.stderr.strip()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _is_taken(port: int) -> bool:
    """Whether somebody answers there, or it can't be had: on some systems one is possible without the other."""
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return True
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError as error:
            raise Unavailable(f"port {port} on 127.0.0.1 can't be had: {error.strerror}") from error
        except OSError:
            return True
    return False


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text[:6]) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 1 to 65535, or 0 for any that is free")
    return int(text[:6])


def main() -> int:
    """Runs LocalStack until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Start LocalStack without Docker.")
    parser.add_argument("--port", type=_port, default=4566, help="on 127.0.0.1; 0: any that is free (default: 4566)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("starting LocalStack; the first time it is installed, which takes a minute", file=sys.stderr)
    try:
        with LocalStack(port=given.port) as localstack:
            print(f"export AWS_ENDPOINT_URL={localstack.url}")
            for name, value in CREDENTIALS.items():
                print(f"export {name}={value}")
            print(f"export CLOUDQ_URL=sqs://{REGION}", flush=True)
            print(f"its log: {localstack.log}; Ctrl-C ends it", file=sys.stderr)
            return localstack.wait()
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
