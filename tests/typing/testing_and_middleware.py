"""What mypy has to see in users' tests and middleware. Checked, never run; see `public_api.py` about the ignores."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import timedelta
from typing import assert_type

import cloudq
from cloudq import Acked, App, Call, Context, Message, Middleware, Outcome, SendManyError, SendOptions, TaskOptions
from cloudq.testing import FakeClock, Report, Run, in_memory, run_all, sent


def timing(context: Context) -> Generator[None, Outcome, Outcome]:
    outcome = yield
    context.logger.info("took %s", context.time_left)
    return outcome


def skipping(context: Context) -> Generator[None, Outcome, Outcome]:
    if context.headers.get("skip"):
        return Acked()
    return (yield)


def no_middleware(context: Context) -> Outcome:
    return Acked()


chain: Sequence[Middleware[Context]] = [timing, skipping]
app = App("memory://", middleware=chain)
App(middleware=[no_middleware])  # type: ignore[list-item]  # it never yields

shared: TaskOptions = {"queue": "mail", "time_limit": timedelta(minutes=1)}
several: TaskOptions = {"queues": ["mail", "urgent"]}
urgent: SendOptions = {"queue": "urgent"}
misspelt: TaskOptions = {"queu": "mail"}  # type: ignore[typeddict-unknown-key]  # misspelt


@app.task(**shared)
def mail(context: Context, to: str, /, *, subject: str = "") -> None: ...


@app.task("open")
def open_ended(user_id: int, **rest: str) -> list[str]:
    return [str(user_id), *rest.values()]


def positional_only_and_open_ended_parameters_are_kept() -> None:
    mail.send("ada@example.org", subject="hello")
    mail.send(to="ada@example.org")  # type: ignore[call-arg]  # positional only
    assert_type(open_ended(1, a="b"), list[str])
    open_ended.send(1, a=2)  # type: ignore[arg-type]  # a text is asked for
    mail.options(**urgent).send("ada@example.org")


def failures_are_typed(calls: list[Call]) -> None:
    try:
        cloudq.send_many(calls)
    except SendManyError as error:
        assert_type(error.code, str)


def a_test(clock: FakeClock) -> None:
    with in_memory(app, clock=clock) as same:
        assert_type(same, App)
        assert_type(sent(app), list[Message])
        report = run_all(app, delayed=False, raise_errors=True)
        assert_type(report, Report)
        assert_type(report.runs, Sequence[Run])
        assert_type(report.errors, list[BaseException])
    with app.eager() as same:
        assert_type(same, App)
    run_all("app")  # type: ignore[arg-type]  # an App is asked for
