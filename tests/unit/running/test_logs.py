"""Log lines for people and for programs."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.message import Message
from cloudq.errors import ConfigurationError
from cloudq.running.log_fields import fields
from cloudq.running.logs import LogFormat, configure
from cloudq.tasks.context import Context
from tests.unit.worker.fakes import delivery


@contextmanager
def stderr() -> Iterator[io.StringIO]:
    """What is logged to stderr within the block; pytest's own handlers are put back at the end."""
    root = logging.getLogger()
    handlers, level, real = list(root.handlers), root.level, sys.stderr
    root.handlers.clear()
    sys.stderr = written = io.StringIO()
    try:
        yield written
    finally:
        sys.stderr = real
        root.handlers[:] = handlers
        root.setLevel(level)


def test_json_has_the_fields_of_the_delivery() -> None:
    """A line is one JSON object with time, level, message and what is known of the delivery."""
    one = delivery(SYSTEM_CLOCK, task="shop.welcome")
    with stderr() as written:
        configure("json", "debug")
        logging.getLogger("cloudq.worker").debug("done", extra=fields(one, outcome="succeeded", seconds=0.25))
    line = json.loads(written.getvalue())
    assert datetime.fromisoformat(line.pop("time")).tzinfo is not None
    assert {
        "level": "debug",
        "logger": "cloudq.worker",
        "message": "done",
        "task": "shop.welcome",
        "id": one.id,
        "queue": "q",
        "attempt": 1,
        "outcome": "succeeded",
        "seconds": 0.25,
    } == line


def logged_by_a_task(form: LogFormat, **extra: object) -> str:
    context = Context(Message(id="m1", task="shop.ship", queue="mail"), attempt=3)
    with stderr() as written:
        configure(form)
        context.logger.info("shipped %d", 5, extra=extra or None)
    return written.getvalue()


def test_json_has_what_identifies_a_tasks_own_line() -> None:
    """By the names that the worker's own lines have, so that all lines of a message are found by its id."""
    line = json.loads(logged_by_a_task("json"))
    assert ("shipped 5", "shop.ship", "m1", "mail", 3) == tuple(
        line.get(name) for name in ("message", "task", "id", "queue", "attempt")
    )
    assert {"time", "level", "logger", "message", "task", "id", "queue", "attempt"} == line.keys()


def test_text_has_what_identifies_a_tasks_own_line() -> None:
    """The id and the attempt; the logger's name is the task's."""
    assert logged_by_a_task("text").endswith(" INFO cloudq.task.shop.ship: shipped 5 (m1, attempt 3)\n")


def test_json_has_the_callers_extra() -> None:
    """Of a task and of anybody else; it takes no name that says something already."""
    line = json.loads(logged_by_a_task("json", tenant="t1", order=7, level="none", id="forged", when=date(2026, 1, 2)))
    assert ("t1", 7, "2026-01-02") == (line.get("tenant"), line.get("order"), line.get("when"))
    assert ("info", "m1") == (line["level"], line.get("id"))
    with stderr() as written:
        configure("json")
        logging.getLogger("shop").warning("slow", extra={"tenant": "t2", "message_id": "theirs", "odd": {(1,): object}})
    line = json.loads(written.getvalue())
    assert ("slow", "t2", "theirs") == (line["message"], line.get("tenant"), line.get("message_id"))
    assert "id" not in line


def test_what_a_task_logs_with_a_traceback_is_identified_before_it() -> None:
    """Its first line, that is."""
    context = Context(Message(id="a\nb", task="shop.ship", queue="mail"))
    with stderr() as written:
        configure("text")
        try:
            raise ValueError("no")
        except ValueError:
            context.logger.exception("failed")
    first, *rest = written.getvalue().splitlines()
    assert first.endswith("failed (a\\nb, attempt 1)")
    assert "  ValueError: no" == rest[-1]


def test_json_stays_one_line() -> None:
    """Line breaks and lone surrogates in a message don't break the format; a traceback is a member."""
    with stderr() as written:
        configure("json")
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logging.getLogger("x").exception("a\nb \udc80")
    [line] = written.getvalue().splitlines()
    decoded = json.loads(line)
    assert decoded["message"].startswith("a\nb")
    assert "ValueError: two" in decoded["traceback"]


def test_text_is_for_people() -> None:
    """A text line has time, level, logger and message, and what is below the level isn't shown."""
    with stderr() as written:
        configure("text", "WARNING")
        logging.getLogger("x").info("hidden")
        logging.getLogger("x").warning("shown")
    assert written.getvalue().endswith(" WARNING x: shown\n")
    assert "hidden" not in written.getvalue()


@pytest.mark.parametrize(("kind", "level"), [("xml", "info"), ("text", "loud")])
def test_unknown_names_are_refused(kind: str, level: str) -> None:
    """A format or level that doesn't exist is a configuration error."""
    with pytest.raises(ConfigurationError, match="there is no log"):
        configure(kind, level)  # type: ignore[arg-type]  # what a user may type


@pytest.mark.parametrize("name", ["botocore.credentials", "azure.servicebus._pyamqp.link"])
@pytest.mark.parametrize(("level", "told"), [("info", False), ("debug", True)])
def test_an_sdk_s_chatter_is_for_debugging(level: str, told: bool, name: str) -> None:
    """Where botocore found its credentials is no news to whoever runs a worker, nor is each state of an AMQP link."""
    with stderr() as written:
        configure("text", level)
        logging.getLogger(name).info("Found credentials")
        logging.getLogger(name).warning("Refreshing failed")
    assert told == ("Found credentials" in written.getvalue())
    assert "Refreshing failed" in written.getvalue()


HOSTILE = "evil\n2026-11-28 12:00:00.000 INFO cloudq.worker: pay 42 done\x1b]0;T\x07\x9b31m\u202e\u2028\x7f"


@pytest.mark.parametrize("kind", ["text", "json"])
def test_nothing_from_outside_forges_a_line(kind: str) -> None:
    """Whatever id, name, error or traceback says, a record is one line, and its traceback is indented; a terminal that
    shows them, as text or as JSON, isn't steered.
    """
    with stderr() as written:
        configure(kind, "info")  # type: ignore[arg-type]  # one of the two
        try:
            raise ValueError(HOSTILE)
        except ValueError:
            logging.getLogger("cloudq.worker").exception("%s", HOSTILE, extra={"cloudq_id": HOSTILE}, stack_info=True)
        logging.getLogger(HOSTILE).warning("a")
    lines = written.getvalue().split("\n")
    assert all(line.isprintable() for line in lines)
    if kind == "json":
        first, second, end = lines
        assert (HOSTILE, HOSTILE, HOSTILE, "") == (
            json.loads(first)["message"], json.loads(first)["id"], json.loads(second)["logger"], end
        )  # fmt: skip
    else:
        heads = [line for line in lines if line and not line.startswith("  ")]
        assert 2 == len(heads)
        assert " ERROR cloudq.worker: evil\\n2026-11-28 12:00:00.000 INFO" in heads[0]


@pytest.mark.parametrize("kind", ["text", "json"])
def test_no_secret_is_written(kind: str) -> None:
    """By the default as by the app's own function; in messages and in tracebacks, the app's own lines included."""
    with stderr() as written:
        configure(kind)  # type: ignore[arg-type]  # one of the two
        try:
            raise ConnectionError("no route to postgres://u:S3CRET@db")
        except ConnectionError:
            password = {"url": "postgres://u:S3CRET@db"}
            logging.getLogger("shop").exception("not to %s", "postgres://u:S3CRET@db", extra=password)
        configure(kind, redact=lambda text: text.replace("tenant-7", "T"))  # type: ignore[arg-type]
        logging.getLogger("shop").info("of tenant-7")
    assert "S3CRET" not in written.getvalue()
    assert "not to postgres://u:***@db" in written.getvalue()
    assert "ConnectionError: no route to postgres://u:***@db" in written.getvalue()
    assert "of T" in written.getvalue()
