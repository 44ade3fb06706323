"""Log lines that can't hurt whoever writes them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import cloudq
from cloudq.core.redaction import redacting
from cloudq.core.safe_log import SafeLogger
from cloudq.core.shield import Ended
from cloudq.errors import TimeLimitExceeded

NAME = "cloudq.test-safe-log"


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
def logger() -> Iterator[SafeLogger]:
    yield SafeLogger(NAME)
    under = logging.getLogger(NAME)
    for one in list(under.filters):
        under.removeFilter(one)


def filter_by(error: BaseException) -> None:
    logging.getLogger(NAME).addFilter(Raising(error))


def test_it_logs_as_a_logger_does(logger: SafeLogger, caplog: pytest.LogCaptureFixture) -> None:
    """Level, arguments, extra fields, traceback and the place in the source are those of the standard library."""
    caplog.set_level(logging.DEBUG, NAME)
    logger.debug("%d", 1)
    logger.info("%d", 2)
    logger.warning("%d", 3, extra={"queue": "mail"})
    logger.error("%d", 4, exc_info=ValueError("why"))
    try:
        int("five")
    except ValueError:
        logger.exception("%d", 5)
    logger.log(logging.CRITICAL, "%d", 6)
    records = caplog.records
    levels = [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.ERROR, logging.CRITICAL]
    assert [(str(number), level) for number, level in enumerate(levels, 1)] == [
        (record.getMessage(), record.levelno) for record in records
    ]
    assert "mail" == records[2].queue  # type: ignore[attr-defined]
    assert {Path(__file__).name} == {record.filename for record in records}
    assert "ValueError: why" in caplog.text
    assert "invalid literal for int() with base 10: 'five'" in caplog.text


def test_whether_a_level_is_on(logger: SafeLogger, caplog: pytest.LogCaptureFixture) -> None:
    """What takes work to put together is put together only for a level that is on."""
    caplog.set_level(logging.WARNING, NAME)
    assert logger.enabled_for(logging.WARNING)
    assert not logger.enabled_for(logging.INFO)


@pytest.mark.parametrize("error", [AttributeError("tenant"), SystemExit(1), GeneratorExit()])
def test_what_logging_raises_is_told_on_stderr(
    logger: SafeLogger, error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line isn't lost without a word, and whoever writes it goes on."""
    filter_by(error)
    logger.error("%s failed", "it")
    said = f"cloudq: logging raised {type(error).__name__}; the line was {NAME}: %s failed\n"
    assert said == capsys.readouterr().err


@pytest.mark.usefixtures("caplog")
def test_an_exception_that_cant_be_printed(logger: SafeLogger) -> None:
    """The notes of an exception may raise SystemExit while its traceback is formatted."""
    logger.error("failed", exc_info=Notes("x"))


def test_ctrl_c_is_passed_on(logger: SafeLogger) -> None:
    """In the main thread a KeyboardInterrupt is the user's; in another it is the app's own code that raised it."""
    filter_by(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        logger.error("failed")
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: (logger.error("failed"), ended.append(True)))
    thread.start()
    thread.join(60)
    assert [True] == ended


@pytest.mark.parametrize("error", [TimeLimitExceeded("too long"), Ended()], ids=["caught", "insists"])
def test_a_time_limit_is_passed_on(logger: SafeLogger, error: BaseException) -> None:
    """It may strike while a task's thread logs: then the task is to stop."""
    filter_by(error)
    with pytest.raises(type(error)):
        logger.error("failed")


def test_an_app_may_silence_it(
    logger: SafeLogger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`logging.raiseExceptions = False` is the standard library's word for it."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    filter_by(ValueError())
    logger.error("failed")
    assert not capsys.readouterr().err


def test_all_of_cloudq_logs_like_this() -> None:
    """No part of cloudq has a logger of the standard library: one line of it could cost a thread or a slot.

    Those that may: what configures logging, and the task's own loggers, which are the app's to use.
    """
    root = Path(cloudq.__file__).parent
    may = {
        *("core/safe_log.py", "running/logs.py", "running/host_logs.py", "worker/children.py"),
        *("tasks/context.py", "compat/celery/utils/log.py", "compat/rq/worker.py"),
    }
    own = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if "logging.getLogger(" in path.read_text() and path.relative_to(root).parts[0] != "emulators"
    }
    assert may == own


def test_what_comes_from_outside_is_bounded(logger: SafeLogger, caplog: pytest.LogCaptureFixture) -> None:
    """An id, a reason or an error's text is cut to 1,000 characters, whoever logs it; the rest stays."""
    logger.error("%s, %s, %d", "x" * 300_000, ValueError("y" * 300_000), 7)
    assert "x" * 999 + "…, " + "y" * 999 + "…, 7" == caplog.messages[0]


def test_secrets_are_masked(logger: SafeLogger, caplog: pytest.LogCaptureFixture) -> None:
    """On every host, Lambda's too, where the app's own handlers write the line: by the app's function during a run."""
    logger.error("%s", ConnectionError("no route to postgres://u:S3CRET@db"))
    with redacting(lambda text: text.replace("tenant-7", "T")):
        logger.error("%s", "of tenant-7")
    assert ["no route to postgres://u:***@db", "of T"] == caplog.messages
