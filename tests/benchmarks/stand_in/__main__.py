"""A stand-in of SQS that is fast enough to load its clients: `python -m tests.benchmarks.stand_in --delay 8`.

It keeps messages in memory and speaks the JSON protocol over plain HTTP. It does what a queue's clients repeat:
sends, receives with long polls, deletions and changed visibilities, singly and ten a call; delays, visibility timeouts,
receive counts, MD5s of bodies, the error of a queue that isn't there; and `GetQueueUrl`, `CreateQueue`,
`GetQueueAttributes`, `ListQueues` and `PurgeQueue`.

It does not look at signatures, and knows no FIFO queues, no redrive, no limits, no MD5s of attributes, no chunked
requests and no TLS. It is for load: what SQS itself says is LocalStack's and the conformance kit's to test.

Besides, for whoever measures (`process.py`): `GET /counts` answers the calls since it was asked last, and
`GET /gate/close` lets every receive find an empty queue until `GET /gate/open`, which answers when it opened.
"""

from __future__ import annotations

import argparse
import asyncio

from tests.benchmarks.stand_in.service import StandIn, serve


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0, as by default, takes a free one; it is printed")
    parser.add_argument("--delay", type=float, default=0, help="milliseconds that each answer is held back")
    asked = parser.parse_args()
    asyncio.run(serve(StandIn(asked.delay / 1000), asked.port))


if __name__ == "__main__":
    main()
