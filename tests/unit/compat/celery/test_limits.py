"""Celery's two time limits: those of a task, of the settings, of a call, and of a run."""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest

from cloudq.compat.celery import Task
from cloudq.compat.celery.exceptions import SoftTimeLimitExceeded
from cloudq.compat.celery.limits import HARD, SOFT, Limits, declared, headers_of, of_run
from cloudq.compat.celery.settings import Settings
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.outcome import ending_of
from cloudq.errors import ConfigurationError, OptionError, TaskDefinitionError
from cloudq.running.alarm_time_limit import AlarmTimeLimit
from cloudq.running.limit_stages import sooner
from cloudq.running.processing import processor_of
from cloudq.running.time_limits import ThreadTimeLimits
from cloudq.testing.memory import memory_of


def seconds(limits: Limits) -> tuple[float | None, float | None]:
    """The soft one and the hard one."""
    return tuple(None if limit is None else limit.total_seconds() for limit in limits)  # type: ignore[return-value]


def of(soft, hard) -> Limits:
    """Limits of seconds."""
    return Limits(*(None if span is None else timedelta(seconds=span) for span in (soft, hard)))


def of_a_task(own, settings) -> Limits:
    """What is declared of limits, each the soft one and the hard one."""
    conf = Settings()
    conf.update(task_soft_time_limit=settings[0], task_time_limit=settings[1])
    return declared(SimpleNamespace(name="t", soft_time_limit=own[0], time_limit=own[1]), conf)


@pytest.mark.parametrize(
    ("own", "settings", "limits"),
    [
        ((None, None), (None, None), (None, None)),
        ((30, None), (None, None), (30, None)),
        ((30, 60), (None, None), (30, 60)),
        ((30, 30), (None, None), (30, 30)),
        ((None, None), (50, 90), (50, 90)),
        ((30, None), (50, 90), (30, 90)),
        ((None, 70), (50, 90), (50, 70)),
        ((None, 5), (50, 90), (None, 5)),
        ((None, 5), (50, None), (None, 5)),
        ((0, 60), (None, None), (None, 60)),
        ((30, 0), (50, 90), (30, 90)),
        ((None, None), (0, 0), (None, None)),
    ],
)
def test_each_limit_is_the_tasks_or_the_settings(own, settings, limits) -> None:
    """As with Celery, 0 as none; the settings' warning that would come after the task's end is none."""
    assert limits == seconds(of_a_task(own, settings))


@pytest.mark.parametrize(
    ("own", "settings", "error", "what"),
    [
        ((60, 30), (None, None), TaskDefinitionError, "task 't': time_limit is 30 s, and shorter than soft_time_limit"),
        ((60, None), (None, 30), TaskDefinitionError, "task 't': time_limit is 30 s"),
        ((None, None), (60, 30), ConfigurationError, "settings: task_time_limit is 30 s"),
        ((-1, 30), (None, None), TaskDefinitionError, "task 't': soft_time_limit is -1 s, and not above 0"),
        ((None, None), (-1, 30), ConfigurationError, "settings: task_soft_time_limit is -1 s"),
    ],
)
def test_an_end_before_the_warning_or_the_beginning_is_refused(own, settings, error, what) -> None:
    """The warning would never come, or at once."""
    with pytest.raises(error, match=what):
        of_a_task(own, settings)


@pytest.mark.parametrize(
    ("given", "headers"),
    [
        ({}, {}),
        ({"queue": "q"}, {}),
        ({"time_limit": 20}, {HARD: "20.0"}),
        ({"soft_time_limit": 0.5, "time_limit": 60}, {SOFT: "0.5", HARD: "60.0"}),
    ],
)
def test_a_calls_limits_travel_as_headers(given, headers) -> None:
    """Which the run reads."""
    assert headers == headers_of("t", given, of(30, 60))
    assert of(given.get("soft_time_limit", 30), given.get("time_limit", 60)) == of_run(of(30, 60), headers)


@pytest.mark.parametrize(
    ("given", "task", "what"),
    [
        ({"time_limit": 61}, of(30, 60), "'time_limit' can't be honoured.*which has 60 s"),
        ({"soft_time_limit": 61}, of(30, 60), "'soft_time_limit' can't be honoured"),
        ({"soft_time_limit": 5}, of(None, None), "which has none"),
        ({"time_limit": 5}, None, "which has none"),
        ({"soft_time_limit": 9, "time_limit": 5}, of(30, 60), "shorter than soft_time_limit"),
        ({"time_limit": 0}, of(30, 60), "above 0"),
        ({"time_limit": "soon"}, of(30, 60), "time_limit is a number of seconds"),
    ],
)
def test_a_call_shortens_a_limit_and_prolongs_none(given, task, what) -> None:
    """A worker goes by the declaration, which has to have one."""
    with pytest.raises(OptionError, match=what):
        headers_of("t", given, task)


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "-1", "0", "61", "1e999"])
def test_a_header_is_held_to_what_is_written_here(text) -> None:
    """A producer can write anything; it prolongs no run, and stops none at once."""
    assert of(30, 60) == of_run(of(30, 60), {SOFT: text, HARD: text})
    assert of(None, None) == of_run(of(None, None), {SOFT: "5", HARD: "5"})


@pytest.fixture(params=["thread", "alarm"])
def limiter(request):
    """How an edge stops a task: in a thread, or in a child process."""
    if request.param == "thread":
        limits = ThreadTimeLimits(SYSTEM_CLOCK)
        yield limits
        limits.close()
        return
    before = signal.getsignal(signal.SIGALRM)
    yield AlarmTimeLimit()
    signal.signal(signal.SIGALRM, before)


def spin() -> None:
    """Runs on."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        pass


def outcome(ours, limiter):
    """What becomes of the one message that is there."""
    (delivery,) = memory_of(ours).receive("celery", limit=1, wait=timedelta(0), lease=timedelta(minutes=5))
    return processor_of(ours, limiter, heartbeat=False).process(delivery)


class Noting(Task):
    """Writes down what its hooks are told."""

    seen: list[str]

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        self.seen.append(f"failed: {type(exc).__name__}")

    def after_return(self, status, *_):
        self.seen.append(status)


def test_a_task_is_warned_and_ended(app, open_app, limiter) -> None:
    """What catches all errors, and `autoretry_for` of all, don't keep it running. Hooks are told, as by Celery."""

    @app.task(name="t", base=Noting, soft_time_limit=0.03, time_limit=60, autoretry_for=(Exception,))
    def task():
        try:
            spin()
        except SoftTimeLimitExceeded:
            task.seen.append("warned")
            sooner(timedelta(seconds=0.1))  # after the warning, however late that was
        while True:
            try:
                spin()
            except Exception:
                task.seen.append("went on")

    task.seen = []
    ours, _ = open_app(app)
    task.delay()
    ended = outcome(ours, limiter)
    assert "dead_lettered" == ending_of(ended).value
    assert "TimeLimitExceeded: the task ran longer than its time limit of 0:00:00.1" in ended.reason
    assert ["warned", "failed: TimeLimitExceeded", "FAILURE"] == task.seen


def test_a_hard_limit_alone_ends_the_run(app, open_app, limiter) -> None:
    """It isn't tried again, and nothing is raised before."""

    @app.task(name="t", time_limit=0.03, autoretry_for=(Exception,))
    def task():
        try:
            spin()
        except Exception:
            return

    ours, _ = open_app(app)
    task.delay()
    assert "dead_lettered" == ending_of(outcome(ours, limiter)).value


@pytest.mark.parametrize("hard", [None, 60])
def test_a_warned_task_may_end_well_or_be_tried_again(app, open_app, limiter, hard) -> None:
    """A soft limit is an error of the task's like any other."""

    @app.task(name="t", soft_time_limit=0.03, time_limit=hard, autoretry_for=(SoftTimeLimitExceeded,))
    def task(catches: bool):
        try:
            spin()
        except SoftTimeLimitExceeded:
            if not catches:
                raise

    ours, _ = open_app(app)
    task.delay(True)
    assert "succeeded" == ending_of(outcome(ours, limiter)).value
    memory_of(ours).purge("celery")
    task.delay(False)
    assert "retried" == ending_of(outcome(ours, limiter)).value


@pytest.mark.parametrize(
    ("own", "call"),
    [
        ({"soft_time_limit": 60, "time_limit": 90}, {"soft_time_limit": 0.03}),
        ({"soft_time_limit": 60}, {"soft_time_limit": 0.03}),
        ({"soft_time_limit": 60, "time_limit": 90}, {"time_limit": 0.03}),
        ({"soft_time_limit": 60}, {"time_limit": 0.03}),
    ],
)
def test_a_calls_limit_holds_for_its_run(app, open_app, limiter, own, call) -> None:
    """It stands in the request, too; the header doesn't."""
    seen = []

    @app.task(bind=True, name="t", **own)
    def task(self):
        seen.append((self.request.soft_time_limit, self.request.time_limit, self.request.headers))
        try:
            spin()
        except SoftTimeLimitExceeded:
            return

    ours, _ = open_app(app)
    task.apply_async(**call)
    ending = "succeeded" if "soft_time_limit" in call else "dead_lettered"
    assert ending == ending_of(outcome(ours, limiter)).value
    limits = {"soft_time_limit": None, "time_limit": None, **own, **call}
    assert [(limits["soft_time_limit"], limits["time_limit"], None)] == seen
