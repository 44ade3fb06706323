"""Batches as full as SQS takes them, under the tracer that the command line names: sent, shared, copied, redriven.

Prints one line of JSON: how many were stored in each way, how many calls the service refused as too large, and what
lies in the queues at the end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from patches import patch

# With what cloudq sends beside, ten of them are less than 500 bytes below the 1 MiB that SQS takes a call.
LENGTH = 104_620
BATCH = 10


def main(tracer: str, endpoint: str, prefix: str) -> None:
    patch(tracer)
    import cloudq
    from cloudq.core import wire
    from cloudq.core.driver import Outgoing
    from cloudq.core.failure import Failure
    from cloudq.core.message import Message, dead_letter_queue
    from cloudq.drivers.sqs import SQSDriver

    app = cloudq.App(f"sqs://us-east-1?prefix={prefix}&endpoint_url={quote(endpoint, safe='')}")

    @app.task("ok")
    def ok(x: str) -> None:
        """Nothing: nobody runs it."""

    refused: list[int] = []
    driver = SQSDriver("us-east-1", prefix=prefix, endpoint_url=endpoint)
    driver.make_queue("default")
    queue = app.queue("default")
    client: Any = queue._driver.client  # type: ignore[attr-defined]

    def answered(http_response: Any, parsed: Mapping[str, Any], **_: object) -> None:
        if "BatchRequestTooLong" in parsed.get("Error", {}).get("Code", ""):
            refused.append(http_response.status_code)

    client.meta.events.register("after-call.sqs.SendMessageBatch", answered)
    text = "c" * LENGTH
    sent = len(app.send_many([ok.call(x=text) for _ in range(3 * BATCH)]))

    async def share() -> int:
        return len(await asyncio.gather(*[ok.asend(x=text) for _ in range(BATCH)]))

    shared = asyncio.run(share())

    def copies(name: str, queue: str) -> list[Outgoing]:
        """As `plan` makes them when tasks fail."""
        failure = Failure(reason="no such order", attempts=1, deliveries=1)
        made = [Message(id=f"{name}-{n}", task="ok", queue="default", payload={"x": text}) for n in range(2 * BATCH)]
        return [Outgoing(id=one.id, queue=queue, body=wire.encode(one), failure=failure) for one in made]

    def store(copies: list[Outgoing]) -> int:
        return sum(result.error is None for result in queue.store_copies(copies))

    dead = store(copies("dead", dead_letter_queue("default")))
    redriven = queue.dead_letters.redrive()
    retries = store(copies("retry", "default"))
    stats = queue.stats()
    said = {
        "sent": sent,
        "shared": shared,
        "dead": dead,
        "redriven": redriven.redriven,
        "retries": retries,
        "errors": [str(error) for error in redriven.errors],
        "refused": len(refused),
        "left": [stats.ready, stats.dead],
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
