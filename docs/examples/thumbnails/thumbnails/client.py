"""Talks to the web application: `python -m thumbnails.client put http://127.0.0.1:8000/images/photo.jpg`."""

from __future__ import annotations

import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

# A server that has just been started may not listen yet.
TRIES: Final = 300


def ask(server: str, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """One request: the status, and the body of the answer."""
    for _ in range(TRIES):
        connection = HTTPConnection(server, timeout=60)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except ConnectionRefusedError:
            time.sleep(0.1)
        finally:
            connection.close()
    raise SystemExit(f"nothing listens at {server}")


def main(verb: str, url: str) -> None:
    """Does what the command line says."""
    parts = urlsplit(url)
    name = parts.path.removeprefix("/images/")
    if verb == "put":
        status, body = ask(parts.netloc, "PUT", parts.path, Path(name).read_bytes())
    else:
        status, body = ask(parts.netloc, "GET", parts.path)
    if body.startswith(b"\xff\xd8"):  # a JPEG
        target = Path(name.replace("/", "-") + ".jpeg")
        target.write_bytes(body)
        print(status, target)
    else:
        print(status, body.decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
