"""A log line that can't hurt whoever writes it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from cloudq.core.safe_log import log_safely


class Raising(logging.Filter):
    """Raises what it is given."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def filter(self, record: logging.LogRecord) -> bool:
        raise self.error


class Notes(Exception):
    @property
    def __notes__(self) -> list[str]:
        raise SystemExit


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("cloudq.test-safe-log")
    yield logger
    for one in list(logger.filters):
        logger.removeFilter(one)


def test_it_logs_as_the_logger_does(logger: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    """Level, arguments, extra fields and the traceback are those of `Logger.log`."""
    log_safely(logger, logging.WARNING, "%s failed", "it", error=ValueError("why"), extra={"queue": "mail"})
    (record,) = caplog.records
    assert ("it failed", logging.WARNING, "mail") == (record.getMessage(), record.levelno, record.queue)  # type: ignore[attr-defined]
    assert "ValueError: why" in caplog.text


@pytest.mark.parametrize("error", [AttributeError("tenant"), SystemExit(1), GeneratorExit()])
def test_what_logging_raises_is_told_on_stderr(
    logger: logging.Logger, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line isn't lost without a word, and whoever writes it goes on."""
    logger.addFilter(Raising(error))
    log_safely(logger, logging.ERROR, "%s failed", "it")
    said = f"cloudq: logging raised {type(error).__name__}; the line was cloudq.test-safe-log: %s failed\n"
    assert said == capsys.readouterr().err


@pytest.mark.usefixtures("caplog")
def test_an_exception_that_cant_be_printed(logger: logging.Logger) -> None:
    """The notes of an exception may raise SystemExit while its traceback is formatted."""
    log_safely(logger, logging.ERROR, "failed", error=Notes("x"))


def test_ctrl_c_is_passed_on(logger: logging.Logger) -> None:
    """In the main thread a KeyboardInterrupt is the user's; in another it is the app's own code that raised it."""
    logger.addFilter(Raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        log_safely(logger, logging.ERROR, "failed")
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: (log_safely(logger, logging.ERROR, "failed"), ended.append(True)))
    thread.start()
    thread.join(10)
    assert [True] == ended


def test_an_app_may_silence_it(
    logger: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`logging.raiseExceptions = False` is the standard library's word for it."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger.addFilter(Raising(ValueError()))
    log_safely(logger, logging.ERROR, "failed")
    assert not capsys.readouterr().err
