"""OpenTelemetry's instrumentations of the SDK, where cloudq makes the spans of its calls itself.

botocore's asks before each call whether somebody else tells of it. boto3sqs's doesn't ask before a receive: it begins a
span for each message that one brings and keeps it until that is deleted by itself, so that those of a batch, or of a
retry, stay in memory for good (findings/otel-boto3sqs-keeps-the-spans-of-batches.sh). So it is called past.
"""

from __future__ import annotations

from typing import Any, Final

HOME: Final = "opentelemetry"
_INSTRUMENTATIONS: Final = "opentelemetry.instrumentation."


def past_opentelemetry(method: Any) -> Any:
    """What a client's method calls that one of these has wrapped, by wrapt; else the method itself."""
    while (wrapper := getattr(method, "_self_wrapper", None)) is not None:
        if not str(getattr(wrapper, "__module__", "")).startswith(_INSTRUMENTATIONS):
            return method
        method = method.__wrapped__
    return method
