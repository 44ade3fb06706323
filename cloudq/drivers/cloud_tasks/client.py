"""The client of Cloud Tasks: one a process, made at its first call."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from threading import Lock, Thread
from typing import Any, Final, NoReturn

import grpc
from google.api_core.exceptions import DeadlineExceeded, ServiceUnavailable
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
    channel = grpc.intercept_channel(grpc.insecure_channel(emulator, options=(*_SIZES, *_PAUSES)), _Answered())
    return CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


def _channel(host: str, *, options: Sequence[tuple[str, Any]], **settings: Any) -> grpc.Channel:
    """The SDK's own channel to the service, with shorter pauses."""
    channel = CloudTasksGrpcTransport.create_channel(host, options=[*options, *_PAUSES], **settings)
    return grpc.intercept_channel(channel, _Answered())


class _NoMessage(grpc.RpcError):  # type: ignore[misc]  # grpc has no types
    """A call was answered with a status only, as by something in between that kept the rest."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "the answer holds no message"

    def trailing_metadata(self) -> None:
        return None

    def result(self, timeout: float | None = None) -> NoReturn:
        """Asked for by an interceptor around ours, which is given the error as if it were the call."""
        del timeout
        raise self


class _Answered(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]  # grpc has no types
    """Makes an error of an answer without a message, which gRPC takes for a success and gives as `None`."""

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        call = continuation(details, request)
        if call.result() is None:
            raise _NoMessage
        return call


class Clients:
    """One client a process, shared by its threads. Its channel must not be used on both sides of a fork.

    Args:
        make: Makes a client.
    """

    def __init__(self, make: Callable[[], CloudTasksClient] = open_client) -> None:
        self._make = make
        self._lock = Lock()
        self._client: CloudTasksClient | None = None
        self._making: Future[CloudTasksClient] | None = None
        self._pid = os.getpid()

    def get(self, patience: float | None = None) -> CloudTasksClient:
        """This process's client.

        Args:
            patience: How many seconds to wait for it where it isn't made yet: the SDK may look for credentials in
                several places, one of them a server. It goes on looking, and a later call finds what it has found.

        Raises:
            DeadlineExceeded: It wasn't made in that time.
        """
        client = self._client
        if client is not None and self._pid == os.getpid():
            return client
        with self._lock:
            if self._pid != os.getpid():
                self._client, self._making, self._pid = None, None, os.getpid()
            if self._client is not None:
                return self._client
            making = self._making
            if making is None:
                making = self._making = Future()
                try:
                    Thread(target=self._make_into, args=(making,), name="cloudq-client", daemon=True).start()
                except RuntimeError as error:
                    self._making = None
                    raise ServiceUnavailable(f"no client can be made: {error}") from error
        try:
            return making.result(patience)
        except TimeoutError:
            if making.done():
                raise
            raise DeadlineExceeded("no credentials were obtained in time") from None

    def _make_into(self, making: Future[CloudTasksClient]) -> None:
        try:
            client = self._make()
        except BaseException as error:  # noqa: BLE001 - raised in the threads that wait
            with self._lock:
                self._making = None
            making.set_exception(error)
            return
        with self._lock:
            self._client, self._making = client, None
        making.set_result(client)

    def close(self) -> None:
        """Closes the channel; calls under way are cancelled."""
        if self._client is not None and self._pid == os.getpid():
            self._client.transport.close()

    def after_fork(self) -> None:
        """In the child: a thread that doesn't exist here may have held the lock."""
        self._lock = Lock()
