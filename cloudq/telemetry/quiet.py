"""`UntracedCalls`: a block whose calls OpenTelemetry's instrumentations of SDKs don't see."""

from __future__ import annotations

from contextvars import Token
from typing import Final

from opentelemetry import context as otel_context

# What its instrumentations ask for, whichever version they are of: `is_instrumentation_enabled` in
# opentelemetry-python-contrib, opentelemetry-instrumentation/.../instrumentation/utils.py, August 2026.
_SUPPRESSED: Final = "suppress_instrumentation"


class UntracedCalls:
    """`with UntracedCalls():` the calls in it are told of already, by the spans of what they are for."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        """From now on they see nothing in this thread, or coroutine."""
        self._token: Token[otel_context.Context] = otel_context.attach(otel_context.set_value(_SUPPRESSED, True))

    def __exit__(self, *_: object) -> None:
        """As before."""
        otel_context.detach(self._token)
