"""Log lines for people and for programs."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date, datetime
from pathlib import Path
from typing import TextIO

import pytest
import structlog

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.message import Message
from cloudq.core.redaction import mask_secrets
from cloudq.core.run_fields import RunFields
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
    show = warnings.showwarning
    root.handlers.clear()
    sys.stderr = written = io.StringIO()
    try:
        yield written
    finally:
        sys.stderr = real
        warnings.showwarning = show
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
    """After what it says; then what the caller adds."""
    assert logged_by_a_task("text", order="a b", when=date(2026, 1, 2)).endswith(
        " INFO cloudq.task.shop.ship: shipped 5  task=shop.ship id=m1 queue=mail attempt=3 "
        'order="a b" when="datetime.date(2026, 1, 2)"\n'
    )


def test_json_has_the_callers_extra() -> None:
    """Of a task and of anybody else; under a name that says something already, it is within `extra`."""
    line = json.loads(logged_by_a_task("json", tenant="t1", order=7, level="none", id="forged", when=date(2026, 1, 2)))
    assert ("t1", 7, "2026-01-02") == (line.get("tenant"), line.get("order"), line.get("when"))
    assert ("info", "m1") == (line["level"], line.get("id"))
    assert {"level": "none", "id": "forged"} == line["extra"]
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
    assert first.endswith("failed  task=shop.ship id=a\\nb queue=mail attempt=1")
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


# ── while a delivery is worked on ────────────────────────────────────────────────────────────────────────

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RUN = {
    "task": "shop.ship",
    "id": "m1",
    "queue": "mail",
    "attempt": 2,
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
}
TEXT = "task=shop.ship id=m1 queue=mail attempt=2 trace_id=0af7651916cd43dd8448eb211c80319c"


@contextmanager
def worked_on() -> Iterator[None]:
    with RunFields("shop.ship", "m1", "mail", 2, TRACEPARENT):
        yield


def test_whatever_is_logged_meanwhile_is_identified() -> None:
    """Of any logger, in either format, with all that the caller gives; Python's warnings too."""
    with stderr() as written, warnings.catch_warnings():
        warnings.simplefilter("always")
        configure("json")
        with worked_on():
            logging.getLogger("bank").info("paid", extra={"order": 42, "task": "theirs", "extra": "x"})
            warnings.warn("old", DeprecationWarning, stacklevel=1)
        configure("text")
        with worked_on():
            logging.getLogger("bank").info("paid", extra={"order": 42, "queue": "its own"})
            warnings.warn("older", DeprecationWarning, stacklevel=1)
        logging.getLogger("bank").info("idle")
    paid, old, *texts = written.getvalue().splitlines()
    line = json.loads(paid)
    assert {**RUN, "order": 42, "extra": {"extra": "x", "task": "theirs"}} == {
        name: line[name] for name in (*RUN, "order", "extra")
    }
    line = json.loads(old)
    assert RUN == {name: line[name] for name in RUN}
    assert ("py.warnings", "warning") == (line["logger"], line["level"])
    assert line["message"].startswith("DeprecationWarning: old (")
    assert texts[0].endswith(f' INFO bank: paid  {TEXT} order=42 queue="its own"')
    assert texts[1].endswith(f")  {TEXT}")
    assert texts[2].endswith(" INFO bank: idle")


def test_a_line_of_ours_that_names_its_delivery_does_so_once() -> None:
    """In text, where its words do; programs have the fields."""
    one = delivery(SYSTEM_CLOCK)
    with stderr() as written:
        configure("text")
        logging.getLogger("cloudq.worker").warning("%s is late", one.id, extra=fields(one))
        logging.getLogger("cloudq").warning("slow", extra=fields(one))
        logging.getLogger("bank").warning("%s is late", one.id, extra=fields(one))
    late, slow, theirs = written.getvalue().splitlines()
    assert late.endswith(f"{one.id} is late")
    assert slow.endswith(f"slow  task=noop id={one.id} queue=q attempt=1")
    assert theirs.endswith(f"is late  task=noop id={one.id} queue=q attempt=1")


def fail() -> None:
    raise ValueError("no such order")


def test_text_shows_the_users_part_of_a_failed_attempts_traceback() -> None:
    """JSON all of it, and so does text of any other error."""
    with stderr() as written:
        configure("text")
        try:
            json.JSONDecoder(object_hook=lambda _: fail()).decode("{}")
        except ValueError as error:
            logging.getLogger("cloudq.worker").warning(
                "m1 retried", exc_info=error, extra={"cloudq_outcome": "retried"}
            )
            logging.getLogger("bank").warning("odd", exc_info=error)
            configure("json")
            logging.getLogger("cloudq.worker").warning(
                "m1 retried", exc_info=error, extra={"cloudq_outcome": "retried"}
            )
    short, whole = written.getvalue().split(" WARNING bank: odd")
    whole, line = whole.rsplit("\n", 2)[0], whole.splitlines()[-1]
    assert "  ValueError: no such order" in short
    assert "in fail" in short
    assert "raw_decode" not in short
    assert "raw_decode" in whole
    assert "raw_decode" in json.loads(line)["traceback"]


def test_json_keeps_a_stack() -> None:
    """Which a caller asked for by `stack_info=True`."""
    with stderr() as written:
        configure("json")
        logging.getLogger("bank").warning("here", stack_info=True)
    assert "test_json_keeps_a_stack" in json.loads(written.getvalue())["stack"]


def test_structlog_has_the_fields_by_its_own_way() -> None:
    """By `merge_contextvars`, a part of its default chain; and through the standard library it is said once."""
    lines = io.StringIO()
    chain = [structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()]
    plain = structlog.wrap_logger(structlog.PrintLogger(lines), processors=chain)
    to_logging = [structlog.contextvars.merge_contextvars, structlog.stdlib.render_to_log_kwargs]
    routed = structlog.wrap_logger(logging.getLogger("bank"), processors=to_logging)
    with stderr() as written:
        configure("json")
        with worked_on():
            plain.info("paid", order=42)
            routed.info("paid", order=42)
        plain.info("idle")
    paid, idle = map(json.loads, lines.getvalue().splitlines())
    assert {"event": "paid", "order": 42, "cloudq": RUN} == paid
    assert {"event": "idle"} == idle
    line = json.loads(written.getvalue())
    assert {**RUN, "order": 42, "message": "paid"} == {name: line[name] for name in (*RUN, "order", "message")}
    assert "cloudq" not in line


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("kind", ["text", "json"])
def test_an_extra_that_can_not_be_written_costs_only_itself(kind: LogFormat) -> None:
    """The line is there."""
    with stderr() as written:
        configure(kind)
        logging.getLogger("bank").warning("paid", extra={"odd": Unprintable(), "order": 42})
    assert "paid" in written.getvalue()
    assert "order" in written.getvalue()
    assert "its repr raised RuntimeError" in written.getvalue()


def test_json_gives_what_it_can_of_each_value() -> None:
    """One that can't be written, or isn't Unicode, leaves the others their kinds."""
    with stderr() as written:
        configure("json")
        with worked_on():
            given = {"bad": Unprintable(), "sur": "\udcff", "in": ["\udcff"], "order": 42, "row": {"a": [1, None]}}
            logging.getLogger("bank").warning("paid", extra=given)
    line = json.loads(written.getvalue())
    assert (2, 42, {"a": [1, None]}) == (line["attempt"], line["order"], line["row"])
    assert ("<Unprintable: its repr raised RuntimeError>", "\\udcff") == (line["bad"], line["sur"])
    assert "udcff" in str(line["in"])


@pytest.mark.parametrize("kind", ["text", "json"])
def test_no_secret_is_written_of_an_extra(kind: LogFormat) -> None:
    """Within containers and errors, under its own name, and by the app's own function whatever it masks."""
    error = ValueError("postgres://u:S3CRET@db 4111")
    given = {"error": error, "row": {"card": "4111", "urls": [error]}, "num": 4111, "password": "S3CRET"}
    with stderr() as written:
        configure(kind, redact=lambda text: mask_secrets(text).replace("4111", "CARD"))
        logging.getLogger("shop").warning("failed", extra={**given, "order": 42})
        logging.getLogger("cloudq.worker").warning("waits", extra={"cloudq_why": "4111", "cloudq_attempt": 7})
    assert "S3CRET" not in written.getvalue()
    assert "4111" not in written.getvalue()
    if kind == "json":
        first, second = map(json.loads, written.getvalue().splitlines())
        assert ("CARD", 42, "***", "CARD", 7) == (
            first["num"], first["order"], first["password"], second["why"], second["attempt"]
        )  # fmt: skip


def test_a_very_long_traceback_is_cut_in_json() -> None:
    """Its beginning has the frames, its end the error's: a program reads lines of some length only."""
    with stderr() as written:
        configure("json")
        try:
            raise ValueError("a" * 5_000_000 + "the end")
        except ValueError:
            logging.getLogger("bank").exception("odd")
    shown = json.loads(written.getvalue())["traceback"]
    assert 65_536 + 3 == len(shown)
    assert shown.startswith("Traceback (most recent call last):")
    assert "in test_a_very_long_traceback_is_cut_in_json" in shown
    assert shown.endswith("the end")


def test_any_very_long_text_is_cut_in_json() -> None:
    """A message, and what is given besides, wherever it lies; one of just that length is whole."""
    with stderr() as written:
        configure("json")
        long, whole = "a" + "b" * 200_000 + "c", "d" * 65_536
        logging.getLogger("bank").info("%s", long, extra={"body": long, "held": {"a": [long]}, "whole": whole})
    shown = json.loads(written.getvalue())
    for text in (shown["message"], shown["body"], shown["held"]["a"][0]):
        assert 65_536 + 3 == len(text)
        assert (text[0], text[-1]) == ("a", "c")
        assert "b\n…\nb" in text
    assert whole == shown["whole"]


def test_a_secret_that_is_cut_in_half_was_masked_before() -> None:
    """At the place of the cut a half of it would fit no pattern."""
    with stderr() as written:
        configure("json")
        logging.getLogger("bank").info("%s", "x" * 32_740 + " amqp://user:secret-secret@host " + "y" * 100_000)
    assert "secret" not in written.getvalue()


@pytest.mark.parametrize("within", [True, False])
def test_what_a_task_gives_its_logger_is_never_lost(within: bool) -> None:
    """By whatever name; and the delivery keeps its own."""
    given = {"task": "mine", "queue": "q2", "attempt": 77, "message_id": "m", "order": 1}
    context = Context(Message(id="m1", task="shop.ship", queue="mail"), attempt=2)
    with stderr() as written, worked_on() if within else nullcontext():
        configure("json")
        context.logger.warning("hi", extra=given)
        configure("text")
        context.logger.warning("hi", extra=given)
    first, second = written.getvalue().splitlines()
    line = json.loads(first)
    assert ("shop.ship", "m1", "mail", 2) == tuple(line[name] for name in ("task", "id", "queue", "attempt"))
    assert ("m", 1) == (line["message_id"], line["order"])
    assert {"task": "mine", "queue": "q2", "attempt": 77} == line["extra"]
    assert second.endswith(" order=1 task=mine queue=q2 attempt=77 message_id=m")
    assert " task=shop.ship id=m1 queue=mail attempt=2 " in second


def test_cloudq_is_heard_after_an_app_has_disabled_what_it_does_not_name() -> None:
    """As `logging.config.dictConfig` does by its default, so in Django: the worker's error is there. Others stay."""
    ours, theirs = logging.getLogger("cloudq.worker"), logging.getLogger("cloudqs")
    with stderr() as written:
        ours.disabled = theirs.disabled = True
        try:
            configure("text")
            ours.error("lost")
            theirs.error("muted")
        finally:
            ours.disabled = theirs.disabled = False
    assert written.getvalue().endswith(" ERROR cloudq.worker: lost\n")
    assert "muted" not in written.getvalue()


def test_a_level_s_name_is_one_line() -> None:
    """Whatever a library calls its own level."""
    with stderr() as written:
        configure("text")
        logging.getLogger("bank").handle(
            logging.makeLogRecord({"name": "bank", "levelno": 35, "levelname": "NO\nTE", "msg": "odd"})
        )
    assert written.getvalue().endswith(" NO\\nTE bank: odd\n")


class Collector(logging.StreamHandler[TextIO]):
    """Such as an app writes: made with the default stream, which it doesn't use."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def test_an_apps_own_handlers_stay(tmp_path: Path) -> None:
    """A file's, a collector's: they have each line, once, by their own format, however often it is set up."""
    root = logging.getLogger()
    with stderr() as written:
        file, collector = logging.FileHandler(tmp_path / "mine.log"), Collector()
        try:
            for handler in (file, collector):
                root.addHandler(handler)
            configure("json")
            configure("json")
            logging.getLogger("cloudq.worker").info("started")
        finally:
            file.close()
    assert ["started"] == collector.said
    assert "started\n" == (tmp_path / "mine.log").read_text()
    [line] = written.getvalue().splitlines()
    assert "started" == json.loads(line)["message"]


@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_what_else_writes_to_the_terminal_is_replaced(stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`logging.basicConfig` of an app, a formatter of its own or not: each line is there once, in the asked format."""
    with stderr() as written:
        monkeypatch.setattr(sys, "stdout", written)
        logging.basicConfig(stream=getattr(sys, stream), format="theirs: %(message)s")
        configure("text")
        logging.getLogger("bank").warning("paid")
        monkeypatch.undo()
    [line] = written.getvalue().splitlines()
    assert line.endswith(" WARNING bank: paid")
