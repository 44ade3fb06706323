"""A stand-in of DynamoDB that says yes: `python -m tests.benchmarks.stand_in.table`. Prints its port.

Each write succeeds, and each read finds nothing: what a claim of a new key and its completion meet. It looks at neither
conditions nor signatures, and keeps nothing. It is for load: what DynamoDB does is moto's and the kit's to test.
"""

from __future__ import annotations

import asyncio
import re
from email.utils import formatdate
from typing import Final
from zlib import crc32

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BODY: Final = b"{}"


async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers one client's requests, one after the other."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
            lines = (
                "HTTP/1.1 200 OK",
                "Server: Server",
                f"Date: {formatdate(usegmt=True)}",
                "Content-Type: application/x-amz-json-1.0",
                f"Content-Length: {len(_BODY)}",
                "Connection: keep-alive",
                f"x-amzn-RequestId: {'A' * 52}",
                f"x-amz-crc32: {crc32(_BODY)}",
            )
            writer.write("\r\n".join([*lines, "", ""]).encode() + _BODY)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Serves until it is ended."""
    server = await asyncio.start_server(answered, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
