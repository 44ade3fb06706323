"""The client of Cloud Tasks: one a process, made at its first call."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock
from typing import Any, Final

import grpc
from google.cloud.tasks_v2 import CloudTasksClient
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

# The same variable as other tools for Google's emulators have it: `host:port`, without TLS and credentials.
EMULATOR: Final = "CLOUD_TASKS_EMULATOR_HOST"
# As the SDK sets them for the service itself: a page of dead letters has more than gRPC's 4 MiB.
_SIZES: Final = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))
# After an outage the channel is tried again soon: gRPC's own pauses grow to two minutes, in which each call would fail.
_PAUSES: Final = (("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 5_000))


def open_client() -> CloudTasksClient:
    """A client of the emulator that the environment names, else of the service, with the SDK's own credentials.

    Raises:
        google.auth.exceptions.GoogleAuthError: There are no credentials.
    """
    emulator = os.environ.get(EMULATOR)
    if not emulator:
        return CloudTasksClient(transport=partial(CloudTasksGrpcTransport, channel=_channel))
    # An `api_endpoint` alone would still ask for credentials and TLS.
    channel = grpc.insecure_channel(emulator, options=(*_SIZES, *_PAUSES))
    return CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


def _channel(host: str, *, options: Sequence[tuple[str, Any]], **settings: Any) -> grpc.Channel:
    """The SDK's own channel to the service, with shorter pauses."""
    return CloudTasksGrpcTransport.create_channel(host, options=[*options, *_PAUSES], **settings)


class Clients:
    """One client a process, shared by its threads. Its channel must not be used on both sides of a fork.

    Args:
        make: Makes a client.
    """

    def __init__(self, make: Callable[[], CloudTasksClient] = open_client) -> None:
        self._make = make
        self._lock = Lock()
        self._client: CloudTasksClient | None = None
        self._pid = os.getpid()

    def get(self) -> CloudTasksClient:
        """This process's client."""
        client = self._client
        if client is not None and self._pid == os.getpid():
            return client
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                self._client = self._make()
                self._pid = os.getpid()
            return self._client

    def close(self) -> None:
        """Closes the channel; calls under way are cancelled."""
        if self._client is not None and self._pid == os.getpid():
            self._client.transport.close()

    def after_fork(self) -> None:
        """In the child: a thread that doesn't exist here may have held the lock."""
        self._lock = Lock()
