"""The chain of middleware, driven by hand; with tasks inside, `test_processor` shows it."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta

from cloudq.core.failure import Failure
from cloudq.core.middleware import Chain
from cloudq.core.outcome import ACKED, DeadLettered, Outcome, Retried

FAILED = Retried(delay=timedelta(0), reason="failed")
Code = Generator[None, Outcome, Outcome]


def chain(*middleware: object, log: list[str] | None = None) -> Chain[list[str]]:
    return Chain(middleware, [] if log is None else log, lambda error: FAILED)  # type: ignore[arg-type]  # broken, too


def outer(log: list[str]) -> Code:
    log.append("outer in")
    outcome = yield
    log.append("outer out")
    return outcome


def inner(log: list[str]) -> Code:
    log.append("inner in")
    outcome = yield
    log.append("inner out")
    return outcome


def test_the_first_is_the_outermost() -> None:
    """In from the outside, out from the inside."""
    log: list[str] = []
    run = chain(outer, inner, log=log)
    assert run.enter()
    run.leave()
    assert ["outer in", "inner in", "inner out", "outer out"] == log
    assert ACKED is run.outcome


def test_one_that_returns_early_skips_the_task_and_those_within() -> None:
    """Its outcome passes through those around it."""

    def skips(log: list[str]) -> Code:
        return FAILED
        yield

    log: list[str] = []
    run = chain(outer, skips, inner, log=log)
    assert not run.enter()
    run.leave()
    assert (["outer in", "outer out"], FAILED) == (log, run.outcome)


def test_what_yields_twice_has_failed_and_is_closed() -> None:
    """There is nothing that it could be sent."""
    closed: list[str] = []

    def twice(log: list[str]) -> Code:
        try:
            yield
            yield
        finally:
            closed.append("closed")
        return ACKED

    run = chain(twice)
    assert run.enter()
    run.leave()
    assert (["closed"], FAILED) == (closed, run.outcome)


def test_an_interruption_closes_what_was_entered() -> None:
    """With a note of what failed to close."""

    def stubborn(log: list[str]) -> Code:
        try:
            outcome = yield
        finally:
            raise ValueError("won't close")
        return outcome

    run = chain(outer, stubborn)
    assert run.enter()
    interruption = KeyboardInterrupt()
    run.unwind(interruption)
    assert "won't close" in interruption.__notes__[0]


def test_what_gives_no_generator_is_told_by_its_name() -> None:
    """The task doesn't run, and the error names the middleware and what it gave."""

    def forgets_to_return(context: str) -> object:
        return context.upper()

    errors: list[BaseException] = []

    def decide(error: BaseException) -> DeadLettered:
        errors.append(error)
        return DeadLettered(reason="no", failure=Failure.of("no"))

    chain = Chain([forgets_to_return], "context", decide)  # type: ignore[list-item]  # the mistake
    assert not chain.enter()
    assert "forgets_to_return gave 'CONTEXT', not a generator" in str(errors[0])
