"""Logs of hosts that have their own: AWS Lambda and Azure Functions."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
from awslambdaric.bootstrap import LambdaLoggerHandler, LambdaLoggerHandlerWithFrameType, _setup_logging
from awslambdaric.lambda_runtime_log_utils import LogFormat

from cloudq.core.run_fields import RunFields
from cloudq.running.host_logs import HOSTS, show_fields_in_host_logs
from cloudq.running.log_fields import carry_run_fields


class Sink:
    """Where Lambda's runtime writes."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, line: str, frame_type: object = None) -> None:
        self.lines.append(line)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    """The root logger, which is as before afterwards."""
    root = logging.getLogger()
    handlers, level, factory = list(root.handlers), root.level, logging.getLogRecordFactory()
    converter = logging.Formatter.converter
    for name in HOSTS:
        monkeypatch.delenv(name, raising=False)
    carry_run_fields()
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.setLogRecordFactory(factory)
    logging.Formatter.converter = converter


def lambda_logs(form: LogFormat, monkeypatch: pytest.MonkeyPatch) -> Sink:
    """As Lambda's own runtime sets logging up."""
    sink = Sink()
    logging.getLogger().handlers.clear()  # pytest has put its own there meanwhile
    _setup_logging(form, "INFO" if form is LogFormat.JSON else None, sink)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "shop")
    show_fields_in_host_logs()
    show_fields_in_host_logs()
    return sink


def log() -> None:
    with RunFields("shop.pay", "m1", "mail", 2):
        try:
            raise ValueError("no")
        except ValueError:
            logging.getLogger("bank").exception("failed")
    logging.getLogger("bank").warning("idle")


def test_lambdas_text_has_the_fields(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the line, before the traceback; outside of a task there are none."""
    sink = lambda_logs(LogFormat.TEXT, monkeypatch)
    assert [LambdaLoggerHandler] == [type(handler) for handler in root.handlers]
    log()
    failed, idle = sink.lines
    first, *rest = failed.splitlines()
    assert first.endswith("failed  task=shop.pay id=m1 queue=mail attempt=2")
    assert "ValueError: no" == rest[-1]
    assert idle.endswith("idle\n")


def test_lambdas_json_has_them_by_itself(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lines stay JSON."""
    sink = lambda_logs(LogFormat.JSON, monkeypatch)
    assert [LambdaLoggerHandlerWithFrameType] == [type(handler) for handler in root.handlers]
    log()
    assert all(line.startswith("{") for line in sink.lines)
    line = json.loads(sink.lines[0])
    assert ("shop.pay", "m1", "mail", 2) == tuple(line[f"cloudq_{name}"] for name in ("task", "id", "queue", "attempt"))


class FunctionsHandler(logging.Handler):
    """As that of Azure Functions' worker: it has no formatter, and passes on what `format` gives."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def test_functions_text_has_the_fields(root: logging.Logger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the host shows as they are."""
    root.handlers[:] = [handler := FunctionsHandler()]
    monkeypatch.setenv("FUNCTIONS_WORKER_RUNTIME", "python")
    show_fields_in_host_logs()
    log()
    assert handler.lines[0].startswith("failed  task=shop.pay id=m1 queue=mail attempt=2\nTraceback")
    assert "idle" == handler.lines[1]


def test_elsewhere_the_programs_logs_are_left_alone(root: logging.Logger) -> None:
    """A web application that pushes are mounted in has its own formats."""
    root.handlers[:] = [handler := FunctionsHandler()]
    show_fields_in_host_logs()
    log()
    assert handler.lines[0].startswith("failed\nTraceback")
