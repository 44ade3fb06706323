"""OpenTelemetry's instrumentations are called past, and no others."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from wrapt import FunctionWrapper

from cloudq.aws_wire.instrumentations import past_opentelemetry


def said() -> str:
    return "the SDK"


def wrapped_by(module: str, function: Any, log: list[str]) -> Any:
    """The function with somebody's wrapper around it, as wrapt makes them."""

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        log.append(module)
        return wrapped(*args, **kwargs)

    own = FunctionType(wrapper.__code__, wrapper.__globals__ | {"__name__": module}, closure=wrapper.__closure__)
    own.__module__ = module
    return FunctionWrapper(function, own)


BOTO3SQS = "opentelemetry.instrumentation.boto3sqs"


def test_what_they_wrap_is_called_itself() -> None:
    """One around the other, too."""
    log: list[str] = []
    method = wrapped_by(BOTO3SQS, wrapped_by("opentelemetry.instrumentation.other", said, log), log)
    assert ("the SDK", []) == (past_opentelemetry(method)(), log)


def test_others_see_the_call() -> None:
    """A recorder, or a tracer that nobody told."""
    log: list[str] = []
    method = wrapped_by(BOTO3SQS, wrapped_by("ddtrace.contrib.botocore", said, log), log)
    assert ("the SDK", ["ddtrace.contrib.botocore"]) == (past_opentelemetry(method)(), log)


def test_a_method_that_nobody_wraps_is_itself() -> None:
    """As nearly always."""
    assert past_opentelemetry(said) is said
