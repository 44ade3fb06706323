"""Whether the Lambda function that a queue is mapped to has the time for its tasks. Pure, as `queue_law`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from cloudq.cli.doctor.fault import Finding, Where
from cloudq.cli.doctor.queue_law import Looked
from cloudq.cli.queue_needs import MAX_LAMBDA_TIMEOUT, VISIBILITY_PER_TIMEOUT, Needs, function_timeout, seconds


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """How Lambda is set to run a queue's messages.

    Attributes:
        uuid: The mapping's id, as far as it is known.
        function: The function's name, as far as it is known.
        enabled: Whether the mapping works.
        one_by_one: Whether the function reports which messages of a batch failed (`ReportBatchItemFailures`).
        window: For how many seconds a batch is gathered.
        timeout: The function's own timeout in seconds; `None`: it isn't known.
    """

    uuid: str = "UUID"
    function: str = "FUNCTION"
    enabled: bool = True
    one_by_one: bool = False
    window: int = 0
    timeout: int | None = None


def judge_mapping(looked: Looked, mapped: Mapped) -> Iterator[Finding]:
    """What is wrong with a queue's mapping, its function, or the queue's lease for it."""
    if not mapped.enabled:
        yield _found(looked, "queue-stopped", "its Lambda mapping is disabled: nothing is handed over", mapped.uuid)
    if not mapped.one_by_one:
        words = "its Lambda mapping doesn't have ReportBatchItemFailures: what succeeded would run again"
        yield _found(looked, "lambda-whole-batches", words, mapped.uuid)
    needed = None if looked.needs is None else _needed(looked.needs)
    if isinstance(needed, str):
        yield _found(looked, "lambda-no-time-limit", needed)
        return
    timeout = mapped.timeout if needed is None else needed if mapped.timeout is None else mapped.timeout
    if timeout is None or looked.settings is None or looked.settings.lease is None:
        return
    if needed is not None and timeout < needed:
        words = f"its function's timeout is {timeout}, and {needed} is the least that lets its tasks end"
        yield _found(replace(looked, native=mapped.function), "lambda-timeout", words, needed)
    window = " and the batching window" if mapped.window else ""
    least = VISIBILITY_PER_TIMEOUT * max(needed or 0, timeout) + mapped.window
    if seconds(looked.settings.lease) < least:
        name, shown = looked.vocabulary.name("visibility_timeout_seconds"), seconds(looked.settings.lease)
        words = f"{name} is {shown}, and six times the function's time-out{window} are {least}"
        yield _found(looked, "lambda-visibility", words, least)


def _needed(needs: Needs) -> int | str:
    """How long the function may take, in seconds; or why that can't be said, in words."""
    if needs.longest is None:
        return f"Lambda runs it, and task {needs.unlimited[0]!r} has no time_limit"
    timeout = function_timeout(needs.longest)
    if timeout > seconds(MAX_LAMBDA_TIMEOUT):
        return f"Lambda runs it, and a time_limit of {needs.longest} is more than a function has, {MAX_LAMBDA_TIMEOUT}"
    return timeout


def _found(looked: Looked, fault: str, words: str, right: object = "") -> Finding:
    return replace(looked.found(fault, words, right), where=Where.LAMBDA)
