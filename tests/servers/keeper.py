"""`python -m tests.servers.keeper KIND FOLDER`: a server that stays for others, and ends with its last user.

Returns once the server answers. What stays behind is a process of its own, which keeps the server for as long as
anybody holds a shared lock on `KIND.users` in the folder: a lock goes with its process, however that ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
from pathlib import Path

from tests.servers import databases


def main(kind: str, folder: Path) -> None:
    """Starts it."""
    reads, writes = os.pipe()
    if os.fork():
        os.close(writes)
        said = b""
        while piece := os.read(reads, 65536):
            said += piece
        sys.exit(said.decode() or 0)
    os.setsid()
    os.close(reads)
    try:
        server = getattr(databases, kind)()
    except BaseException as error:  # told to whoever waits
        os.write(writes, f"{kind}: {error}".encode() or b"?")
        raise
    told = folder / f"{kind}.json"
    told.write_text(json.dumps({"url": server.url, "port": server.port}))
    _leave_output()
    os.close(writes)
    try:
        with (folder / f"{kind}.users").open("ab") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            told.unlink(missing_ok=True)  # before the lock goes: who comes next starts another one
            server.close()
    finally:
        os._exit(0)


def _leave_output() -> None:
    """Whoever waits for what was printed isn't to wait for the server's end."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
