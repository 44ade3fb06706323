"""A real Chromium without a window, for tests of what a web page can do to a server on the developer's machine.

Found as `CHROMIUM` says, or else on the PATH. Tests that ask for it are skipped by name where there is none.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No window, no user, no calls to its maker's hosts; names of the page's own for this machine, as DNS rebinding makes.
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
)
PAGE = """<!doctype html><meta charset=utf-8><title>page</title><script>
const report = (said) => fetch("/report", {method: "POST", body: JSON.stringify(said)});
const attempts = ATTEMPTS;
(async () => {
  const results = {};
  for (const [name, run] of Object.entries(attempts)) {
    try { results[name] = String(await run()); } catch (error) { results[name] = "failed: " + error; }
  }
  await report(results);
})();
</script>"""


def chromium() -> str:
    """Where it is. Skips the test where there is none."""
    named = os.environ.get("CHROMIUM")
    found = named or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: install it, or name it with CHROMIUM=/path/to/chromium")
    return found


class Page:
    """A page of a site of its own, on this machine, and what it reported.

    Attributes:
        port: Where it is served.
        report: What each attempt came to, by name, once there is one.
    """

    def __init__(self, attempts: Mapping[str, str]) -> None:
        listed = ",\n".join(f"{json.dumps(name)}: async () => {{ {code} }}" for name, code in attempts.items())
        html = PAGE.replace("ATTEMPTS", f"{{{listed}}}").encode()
        self.report: dict[str, str] | None = None
        self.done = threading.Event()
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(html)))
                self.end_headers()
                self.wfile.write(html)

            def do_POST(self) -> None:
                said: Any = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()
                if self.path == "/report":
                    page.report = said
                    page.done.set()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def _browser(url: str) -> Iterator[None]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [chromium(), *ARGUMENTS, f"--user-data-dir={profile}", "--remote-debugging-port=0", url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            process.kill()
            process.wait(20)


def visited(attempts: Mapping[str, str], *, host: str = "page.example", seconds: float = 60) -> dict[str, str]:
    """Opens a page in Chromium that makes each attempt, one after the other.

    Args:
        attempts: JavaScript by name, the body of an async function. What it returns or throws is in the result.
        host: By what name the page is opened: whatever ends in `.example` is this machine, and another site than
            `127.0.0.1`.
        seconds: How long it may take.

    Returns:
        What each attempt came to, as a text, by name.
    """
    page = Page(attempts)
    try:
        with _browser(f"http://{host}:{page.port}/"):
            assert page.done.wait(seconds), "the page reported nothing"
    finally:
        page.close()
    assert page.report is not None
    return page.report
