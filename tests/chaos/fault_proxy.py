"""The ways in which a service, or the network before it, fails: a policy for `HttpProxy`.

| fault | the call is carried out | the client sees |
|---|---|---|
| `reset before` | no | its connection cut |
| `reset after` | yes | its connection cut |
| `error 500` | no | InternalError |
| `throttled` | no | ThrottlingException |
| `stall` | yes, at once or in the end | nothing, for longer than it waits |
| `half failed` | for some entries; for others not, or though it is denied | a batch of which half failed |
| `delivered twice` | no | deletions that succeeded, and later the messages again |
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from typing import Any, Final

from tests.chaos.http_proxy import Forward, Request, Response, error

ANY_CALL: Final = ("reset before", "reset after", "error 500", "throttled", "stall")
BATCH: Final = "half failed"
DELETION: Final = "delivered twice"


class Faults:
    """Fails a share of the calls. Which ones, and how, depends on the seed, the operation and its number only.

    Args:
        seed: Of all chance.
        rate: The share of calls that fail.
        stall: How long a stalled call is kept.
        spared: Operations that never fail.

    Attributes:
        made: The faults made so far, by operation and kind.
        calls: The calls seen so far, by operation.
    """

    def __init__(
        self, seed: int, *, rate: float = 0.2, stall: timedelta, spared: Collection[str] = ("GetQueueUrl",)
    ) -> None:
        self.seed = seed
        self.rate = rate
        self.made: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._stall = stall
        self._spared = spared

    async def __call__(self, request: Request, forward: Forward) -> Response | None:
        action = request.action
        self.calls[action] += 1
        chance = random.Random(f"{self.seed} {action} {self.calls[action]}")
        if action in self._spared or chance.random() >= self.rate:
            return await forward(request)
        kind = chance.choice(self._kinds(action))
        self.made[f"{action}: {kind}"] += 1
        return await self._failed(kind, request, forward, chance)

    def _kinds(self, action: str) -> list[str]:
        kinds = list(ANY_CALL)
        if action.endswith("Batch"):
            kinds.append(BATCH)
        if action == "DeleteMessageBatch":
            kinds.append(DELETION)
        return kinds

    async def _failed(self, kind: str, request: Request, forward: Forward, chance: random.Random) -> Response | None:
        if kind == "reset before":
            return None
        if kind == "reset after":
            await forward(request)
            return None
        if kind == "error 500":
            return error(500, "InternalError")
        if kind == "throttled":
            return error(400, "ThrottlingException", "Rate exceeded")
        if kind == "stall":
            response = await forward(request) if chance.random() < 0.5 else None
            await asyncio.sleep(self._stall.total_seconds())
            return response or await forward(request)
        if kind == DELETION:
            entries = request.parameters["Entries"]
            return _answer({"Successful": [{"Id": entry["Id"]} for entry in entries]})
        return await _half_failed(request, forward, chance)


async def _half_failed(request: Request, forward: Forward, chance: random.Random) -> Response:
    """Half the entries are reported as failed: some of them aren't carried out, and some are."""
    parameters = request.parameters
    entries: list[dict[str, Any]] = parameters["Entries"]
    failed = {entry["Id"] for entry in chance.sample(entries, (len(entries) + 1) // 2)}
    carried_out = [entry for entry in entries if entry["Id"] not in failed or chance.random() < 0.3]
    answer: dict[str, Any] = {}
    if carried_out:
        response = await forward(request.with_body(json.dumps({**parameters, "Entries": carried_out}).encode()))
        if response.status != 200:
            return response
        answer = json.loads(response.body)
    successful = [one for one in answer.get("Successful", ()) if one["Id"] not in failed]
    reports = [{"Id": id_, "Code": "InternalError", "Message": "made up", "SenderFault": False} for id_ in failed]
    return _answer({"Successful": successful, "Failed": [*answer.get("Failed", ()), *reports]})


def _answer(content: dict[str, Any]) -> Response:
    return Response(200, json.dumps(content).encode())
