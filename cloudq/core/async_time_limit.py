"""`AsyncTimeLimit`: ends what a coroutine awaits once its time is over."""

from __future__ import annotations

from datetime import timedelta

from cloudq.errors import TimeLimitExceeded


class AsyncTimeLimit:
    """`asyncio.timeout`, with our error, and only for its own expiry: a handler's own TimeoutError stays what it is."""

    def __init__(self, limit: timedelta) -> None:
        import asyncio

        self._limit = limit
        self._timeout = asyncio.timeout(limit.total_seconds())

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)  # type: ignore[arg-type]  # typeshed names the concrete type
        except TimeoutError as expired:
            raise TimeLimitExceeded(f"the task ran longer than its time limit of {self._limit}") from expired
