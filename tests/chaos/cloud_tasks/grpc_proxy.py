"""A gRPC proxy before the emulator: counts the calls by method, and lets a test step between a call and its reply."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from types import TracebackType
from typing import Any, Self

import grpc

_DETAILS = "grpc-status-details-bin"
_UNLIMITED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))

Replied = Callable[[str, bytes, str], None]
"""Told a method, its request and the name of its status, after the emulator carried it out and before the reply."""
Instead = Callable[[str], bytes | None]
"""Given a method: what to answer, without a call of the emulator."""
Changed = Callable[[str, bytes], bytes]
"""Given a method and the emulator's reply to it."""
Asked = Callable[[str, bytes], None]
"""Told a method and its request before the emulator sees it."""


class GrpcProxy(grpc.GenericRpcHandler):
    """Passes calls on to `upstream`, a `host:port`, from within a `with`.

    Attributes:
        address: Where it listens.
        before: Called before each call is passed on.
        after: Called before each reply is passed back.
        instead: Asked before each call is passed on; what it returns is passed back, and the emulator isn't called.
        change: Given each reply; what it returns is passed back.
    """

    def __init__(self, upstream: str) -> None:
        self.before: Asked = lambda _method, _request: None
        self.after: Replied = lambda _method, _request, _status: None
        self.instead: Instead = lambda _method: None
        self.change: Changed = lambda _method, reply: reply
        self._lock = Lock()
        self._calls: Counter[str] = Counter()
        self._channel = grpc.insecure_channel(upstream, options=_UNLIMITED)
        self._threads = ThreadPoolExecutor(16)
        self._server = grpc.server(self._threads, handlers=(self,), options=_UNLIMITED)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait(10)
        self._threads.shutdown()
        self._channel.close()

    def taken(self) -> Counter[str]:
        """How often each method was called since this was last asked."""
        with self._lock:
            calls, self._calls = self._calls, Counter()
        return calls

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """How any method is answered."""
        method = details.method
        name = method.rpartition("/")[2]
        call = self._channel.unary_unary(method)

        def handle(request: bytes, context: Any) -> bytes:
            with self._lock:
                self._calls[name] += 1
            self.before(name, request)
            instead = self.instead(name)
            if instead is not None:
                return instead
            try:
                reply: bytes = call(request, timeout=20)
            except grpc.RpcError as error:
                self.after(name, request, error.code().name)
                details = [(key, value) for key, value in error.trailing_metadata() or () if key == _DETAILS]
                context.set_trailing_metadata(tuple(details))
                context.abort(error.code(), error.details())
                raise
            self.after(name, request, "OK")
            return self.change(name, reply)

        return grpc.unary_unary_rpc_method_handler(handle)
