"""Serves the administration on a port, with uvicorn."""

from __future__ import annotations

import asyncio
import socket

from cloudq.emulators.service_bus.admin.app import Administration
from cloudq.emulators.service_bus.broker.broker import Broker


class AdministrationServer:
    """The administration of a broker on a port. It runs on the event loop that `start` runs on, as the broker does.

    Raises:
        ModuleNotFoundError: uvicorn isn't installed.
    """

    def __init__(self, broker: Broker) -> None:
        import uvicorn

        self._administration = Administration(broker)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._administration,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                http="h11",
                timeout_graceful_shutdown=1,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listens on the port, or on a free one. Returns which it is. Raises `OSError` if the port is taken."""
        self._administration.listening = host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
        listening.setblocking(False)
        self._task = asyncio.get_running_loop().create_task(self._server.serve([listening]))
        return int(listening.getsockname()[1])

    async def close(self) -> None:
        """Answers what was asked and closes the port."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
