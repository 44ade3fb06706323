"""RQ's tutorial, as the guide has it: a page is checked in the background, with no server and no connection."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.unit.test_docs_examples import blocks_of

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/how-to/coming-from-rq.md"


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Nothing to say."""


@pytest.fixture
def page() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.slow
def test_the_guides_tutorial_checks_a_page(page: str, tmp_path: Path) -> None:
    """Its file, its send and its worker, and nothing else."""
    [module] = [block.code for block in blocks_of(GUIDE) if block.file == "pages.py"]
    (tmp_path / "pages.py").write_text(module)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOUDQ_")}

    def run(*words: str) -> str:
        ended = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    run("-c", f"from pages import is_page_ok; is_page_ok.send({page!r})")
    assert f"{page} is ok\n" == run("-m", "cloudq", "worker", "--app", "pages", "--burst")
