"""`RetryPolicy`: tenacity's own strategies decide, one failure at a time, as they would in a loop of tenacity's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudq.core.failure import Failure
from cloudq.core.outcome import DeadLettered, Outcome, Retried
from cloudq.core.policy import DELIVERIES_WITHOUT_LIMIT, LONGEST_DELAY, DeadLetter, Retry, RetryPolicy

ZERO = timedelta(0)
SECOND = timedelta(seconds=1)


def decide(policy: RetryPolicy, error: BaseException, *, attempt: int = 1, age: timedelta = ZERO) -> Outcome:
    return policy.decide(error, attempt=attempt, age=age)


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


# ── against tenacity itself ──────────────────────────────────────────────────────────────────────────────

seconds = st.sampled_from([0, 0.5, 1, 2, 7.25, 30])
stops = st.recursive(
    st.one_of(
        st.builds(tenacity.stop_after_attempt, st.integers(0, 6)),
        st.builds(tenacity.stop_after_delay, st.sampled_from([0.3, 4.3, 20.3])),
        st.builds(tenacity.stop_before_delay, st.sampled_from([0.3, 4.3, 20.3])),
        st.just(tenacity.stop_never),
        st.just(lambda state: state.seconds_since_start > 9.3 or state.upcoming_sleep > 20.3),
        st.just(lambda state: isinstance(state.outcome.exception(), KeyError)),
    ),
    lambda inner: st.builds(tenacity.stop_any, inner, inner) | st.builds(tenacity.stop_all, inner, inner),
    max_leaves=3,
)
waits = st.recursive(
    st.one_of(
        st.builds(tenacity.wait_fixed, seconds),
        st.just(tenacity.wait_none()),
        st.builds(tenacity.wait_random, st.just(1), st.just(3)),
        st.builds(tenacity.wait_incrementing, seconds, seconds, st.just(10)),
        st.builds(tenacity.wait_exponential, st.sampled_from([0.5, 2]), max=st.sampled_from([5, 60])),
        st.builds(tenacity.wait_random_exponential, st.sampled_from([0.5, 2]), max=st.sampled_from([5, 60])),
        st.builds(tenacity.wait_exponential_jitter, st.just(1), st.just(30)),
        st.builds(lambda *times: tenacity.wait_chain(*map(tenacity.wait_fixed, times)), seconds, seconds, seconds),
        st.just(tenacity.wait_exception(lambda error: 3.5 if isinstance(error, KeyError) else 1.5)),
        st.just(lambda state: state.attempt_number * 1.25),
    ),
    lambda inner: st.builds(tenacity.wait_combine, inner, inner),
    max_leaves=3,
)  # fmt: skip
retries = st.recursive(
    st.sampled_from(
        [
            tenacity.retry_if_exception_type(),
            tenacity.retry_if_exception_type((KeyError, OSError)),
            tenacity.retry_if_not_exception_type(KeyError),
            tenacity.retry_unless_exception_type(KeyError),
            tenacity.retry_if_exception_cause_type(OSError),
            tenacity.retry_if_exception_message(match=".*busy"),
            tenacity.retry_if_exception_message(message="gone"),
            tenacity.retry_if_not_exception_message("gone"),
            tenacity.retry_if_exception(lambda error: "b" in str(error)),
            tenacity.retry_if_result(bool),
            tenacity.retry_always,
            tenacity.retry_never,
            lambda state: state.attempt_number < 3 and state.outcome.failed,
        ]
    ),
    lambda inner: st.builds(tenacity.retry_any, inner, inner) | st.builds(tenacity.retry_all, inner, inner),
    max_leaves=3,
)
errors = st.sampled_from(
    [
        KeyError("busy"),
        OSError("gone"),
        ValueError("busy"),
        caused(RuntimeError("busy"), OSError("cut")),
        caused(RuntimeError("gone"), KeyError("x")),
        SystemExit(3),
    ]
)


def in_a_loop_of_tenacitys(
    strategies: tuple[Any, Any, Any], failing: list[BaseException], run_time: float
) -> tuple[int, list[float]]:
    """How many attempts tenacity makes, and its waits, in a time that only its sleeps and the runs move."""
    stop, wait, retry = strategies
    now = 0.0
    waited: list[float] = []
    attempts = 0

    def sleep(delay: float) -> None:
        nonlocal now
        now += delay
        waited.append(delay)

    def of_failures(state: tenacity.RetryCallState) -> bool:
        # Some strategies retry results, too; a task that succeeded is done.
        return state.outcome is not None and state.outcome.failed and retry(state)

    def run() -> None:
        nonlocal now, attempts
        attempts += 1
        now += run_time
        if attempts <= len(failing):
            raise failing[attempts - 1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tenacity, "time", SimpleNamespace(monotonic=lambda: now))
        with suppress(*map(type, failing)):
            tenacity.Retrying(stop=stop, wait=wait, retry=of_failures, sleep=sleep, reraise=True)(run)
    return attempts, waited


def one_at_a_time(
    strategies: tuple[Any, Any, Any], failing: list[BaseException], run_time: float
) -> tuple[int, list[float]]:
    """The same, decided by the policy as workers would: one failure at a time."""
    stop, wait, retry = strategies
    policy = RetryPolicy(stop=stop, wait=wait, retry=retry)
    age = ZERO
    waited: list[float] = []
    for attempt, error in enumerate(failing, start=1):
        age += timedelta(seconds=run_time)
        outcome = policy.decide(error, attempt=attempt, age=age)
        if isinstance(outcome, DeadLettered):
            return attempt, waited
        assert isinstance(outcome, Retried)
        waited.append(outcome.delay.total_seconds())
        age += outcome.delay
    return len(failing) + 1, waited


a_life = (
    st.tuples(stops, waits, retries),
    st.lists(errors, max_size=7),
    st.sampled_from([0.0, 0.25, 3.0]),
    st.integers(0, 99),
)


@given(*a_life)
@settings(max_examples=150, deadline=None)
def test_a_policy_decides_what_a_loop_of_tenacitys_would_do(
    strategies: tuple[Any, Any, Any], failing: list[BaseException], run_time: float, seed: int
) -> None:
    """Any strategies, alone or combined, and the user's own callables: as many attempts, with the same waits."""
    decides_alike(strategies, failing, run_time, seed)


@pytest.mark.slow
@given(*a_life)
@settings(max_examples=400, deadline=None)
def test_very_many_policies_decide_what_a_loop_of_tenacitys_would_do(
    strategies: tuple[Any, Any, Any], failing: list[BaseException], run_time: float, seed: int
) -> None:
    """As above, for long."""
    decides_alike(strategies, failing, run_time, seed)


def decides_alike(strategies: tuple[Any, Any, Any], failing: list[BaseException], run_time: float, seed: int) -> None:
    random.seed(seed)
    attempts, waited = in_a_loop_of_tenacitys(strategies, failing, run_time)
    random.seed(seed)
    ours, our_waits = one_at_a_time(strategies, failing, run_time)
    assert (attempts, pytest.approx(waited, abs=1e-5)) == (ours, our_waits)


# ── what is decided, and how it is told ──────────────────────────────────────────────────────────────────


def test_by_default_every_exception_is_retried_four_times() -> None:
    """Five attempts, with a random wait of 1 to 900 seconds between them."""
    policy = RetryPolicy()
    outcomes = [decide(policy, ValueError("boom"), attempt=attempt) for attempt in range(1, 6)]
    assert [Retried, Retried, Retried, Retried, DeadLettered] == [type(outcome) for outcome in outcomes]
    assert all(SECOND <= outcome.delay <= 900 * SECOND for outcome in outcomes if isinstance(outcome, Retried))
    assert outcomes[-1].reason == "gave up after 5 attempts: ValueError: boom"  # type: ignore[union-attr]  # checked above


def test_by_default_a_task_that_exits_is_not_retried_and_one_that_was_cancelled_from_within_is() -> None:
    """A `SystemExit` is meant; a `CancelledError` that nobody asked for is an accident."""
    outcome = decide(RetryPolicy(), SystemExit(2))
    assert isinstance(outcome, DeadLettered)
    assert "not retried: SystemExit: 2" == outcome.reason
    assert isinstance(decide(RetryPolicy(), asyncio.CancelledError()), Retried)


def test_a_retry_carries_its_failure() -> None:
    """The reason is the error in one line; the details are kept with it."""
    outcome = decide(RetryPolicy(wait=tenacity.wait_fixed(7)), KeyError("first line\nsecond"))
    expected = Failure(
        reason="KeyError: 'first line\\nsecond'", error_type="KeyError", error_message="'first line\\nsecond'"
    )
    assert Retried(delay=7 * SECOND, reason=expected.reason, failure=expected) == outcome


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("one\ntwo"), "ValueError: one"),
        (ValueError(""), "ValueError"),
        (ValueError("\n"), "ValueError: "),
        (ValueError("x" * 900), "ValueError: " + "x" * 200),
        (Retry("come back"), "come back"),
        (Retry(), "the task asked to be retried"),
    ],
)
def test_the_reason_is_one_line(error: Exception, reason: str) -> None:
    """However long or empty the error's text is."""
    outcome = decide(RetryPolicy(), error)
    assert isinstance(outcome, Retried)
    assert reason == outcome.reason


def test_an_error_that_is_not_worth_another_run_is_dead_lettered_at_once() -> None:
    """The retry strategy says so; neither stop nor wait is asked."""

    def unasked(state: tenacity.RetryCallState) -> Any:
        raise AssertionError("asked")

    policy = RetryPolicy(stop=unasked, wait=unasked, retry=tenacity.retry_if_exception_type(OSError))
    outcome = decide(policy, ValueError("bad"))
    assert isinstance(outcome, DeadLettered)
    assert ("not retried: ValueError: bad", "ValueError") == (outcome.reason, outcome.failure.error_type)


def test_a_handler_may_ask_to_be_retried() -> None:
    """`Retry` names the delay, whatever the retry strategy thinks of it, and counts: stop still holds."""
    policy = RetryPolicy(stop=tenacity.stop_after_attempt(2), wait=tenacity.wait_fixed(9), retry=tenacity.retry_never)
    asked = Retry("not ready", delay=90 * SECOND)
    outcomes = [decide(policy, asked), decide(policy, Retry("soon")), decide(policy, asked, attempt=2)]
    assert [90 * SECOND, 9 * SECOND] == [outcome.delay for outcome in outcomes if isinstance(outcome, Retried)]
    assert isinstance(outcomes[2], DeadLettered)
    assert "gave up after 2 attempts: not ready" == outcomes[2].reason


def test_a_delay_that_was_asked_for_counts_for_stop_before_delay() -> None:
    """The strategy sees the wait that is to come, whoever chose it."""
    policy = RetryPolicy(stop=tenacity.stop_before_delay(60))
    assert isinstance(decide(policy, Retry(delay=30 * SECOND), age=20 * SECOND), Retried)
    assert isinstance(decide(policy, Retry(delay=30 * SECOND), age=40 * SECOND), DeadLettered)


def test_a_handler_may_dead_letter_its_message() -> None:
    """At the first attempt, with its own reason."""
    outcome = decide(RetryPolicy(), DeadLetter("no such user"))
    assert isinstance(outcome, DeadLettered)
    assert ("no such user", "no such user") == (outcome.reason, outcome.failure.reason)
    assert "cloudq.core.policy.DeadLetter" == outcome.failure.error_type


@pytest.mark.parametrize("raised", [DeadLetter, Retry])
def test_a_reason_that_is_no_text_becomes_one(raised: Callable[[Any], Exception]) -> None:
    """A slip in the reason must not change what becomes of the message."""
    assert "404" == decide(RetryPolicy(), raised(404)).reason  # type: ignore[union-attr]  # neither makes an Acked


@pytest.mark.parametrize(
    ("delay", "error", "match"),
    [(30, TypeError, "delay is a timedelta, not 30"), (-SECOND, ValueError, "it can't be negative")],
)
def test_a_retry_refuses_a_delay_that_is_none(delay: Any, error: type[Exception], match: str) -> None:
    """Bare numbers have no unit, and nothing can be run again in the past."""
    with pytest.raises(error, match=match):
        Retry(delay=delay)


@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        (float("inf"), LONGEST_DELAY),
        (1e300, LONGEST_DELAY),
        (10**400, LONGEST_DELAY),
        (float("nan"), ZERO),
        (-5, ZERO),
        (0, ZERO),
        (1.5, 1.5 * SECOND),
    ],
)
def test_a_wait_is_brought_within_bounds(wait: float, expected: timedelta) -> None:
    """An exponential wait without a bound overflows; a negative or NaN one is a slip."""
    outcome = decide(RetryPolicy(wait=lambda state: wait), ValueError())
    assert isinstance(outcome, Retried)
    assert expected == outcome.delay


def test_a_message_from_the_future_has_no_age() -> None:
    """The producer's clock may be ahead of ours."""
    seen: list[float | None] = []
    policy = RetryPolicy(stop=lambda state: bool(seen.append(state.seconds_since_start)))
    decide(policy, ValueError(), age=-SECOND)
    decide(policy, ValueError(), age=SECOND)
    assert [0.0, 1.0] == seen


def test_a_users_callable_sees_an_ordinary_state() -> None:
    """Whatever a state of tenacity's offers without a loop is there, its repr and the outcome's `result()` too."""
    error = ValueError("boom")
    seen: list[object] = []

    def wait(state: tenacity.RetryCallState) -> float:
        assert state.outcome is not None
        seen.extend([state.attempt_number, state.outcome.failed, state.outcome.exception(), state.idle_for, state.args])
        with pytest.raises(ValueError, match="boom"):
            state.outcome.result()
        assert "attempt #3" in repr(state)
        state.get_fn_name()
        return 1.0

    decide(RetryPolicy(wait=wait), error, attempt=3)
    assert [3, True, error, 0.0, ()] == seen


# ── the backstop ─────────────────────────────────────────────────────────────────────────────────────────

after = tenacity.stop_after_attempt
late = tenacity.stop_after_delay(60)


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (None, 20),
        (after(8), 23),
        (after(0), 15),
        (after(-20), 15),
        (after(float("inf")), DELIVERIES_WITHOUT_LIMIT),  # type: ignore[arg-type]  # tenacity takes it
        (late, DELIVERIES_WITHOUT_LIMIT),
        (tenacity.stop_never, DELIVERIES_WITHOUT_LIMIT),
        (lambda state: False, DELIVERIES_WITHOUT_LIMIT),
        (after(8) | late, 23),
        (after(8) | after(3), 18),
        (late | late, DELIVERIES_WITHOUT_LIMIT),
        (after(8) & after(3), 23),
        (after(8) & late, DELIVERIES_WITHOUT_LIMIT),
        ((after(8) & late) | after(30), 45),
    ],
)
def test_the_backstop_leaves_room_above_the_attempts(stop: Any, expected: int) -> None:
    """Fifteen more handings-over than the attempts after which the strategy stops for certain, or a hundred."""
    assert expected == RetryPolicy(stop=stop).max_deliveries


def test_the_backstop_can_be_set() -> None:
    """To any number from 1."""
    assert 3 == RetryPolicy(max_deliveries=3).max_deliveries
    with pytest.raises(ValueError, match="max_deliveries is 0: at least 1 is needed"):
        RetryPolicy(max_deliveries=0)


# ── the policy itself ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["stop", "wait", "retry"])
def test_what_is_no_strategy_is_refused_at_once(name: str) -> None:
    """Where it is declared, not when the first task fails."""
    with pytest.raises(TypeError, match=f"{name} is 5, not one of tenacity's {name} strategies"):
        RetryPolicy(**{name: 5})  # type: ignore[arg-type]  # that's the point


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"stop": 5}, "stop=stop_after_attempt(5)"),
        ({"stop": None.__class__}, "stop=stop_after_attempt(5)"),
        ({"stop": tenacity.stop_after_attempt}, "stop=stop_after_attempt(5)"),
        ({"wait": 2.5}, "wait=wait_fixed(2.5)"),
        ({"wait": timedelta(minutes=1)}, "wait=wait_fixed(60)"),
        ({"wait": tenacity.wait_fixed}, "wait=wait_fixed(30)"),
        ({"retry": ValueError}, "retry=retry_if_exception_type(ValueError)"),
        ({"retry": (ValueError, KeyError)}, "retry=retry_if_exception_type((ValueError, KeyError))"),
        ({"retry": True}, "retry=retry_if_exception_type(ConnectionError)"),
    ],
    ids=str,
)
def test_what_is_no_strategy_is_told_what_is_meant(given: dict[str, object], meant: str) -> None:
    """A number, a span, an error's class; a class is callable, and would decide the same for all that fails."""
    with pytest.raises(TypeError) as raised:
        RetryPolicy(**given)  # type: ignore[arg-type]  # that's the point
    assert str(raised.value).endswith(f"; hint: {meant}")


def test_a_negative_delay_is_readable() -> None:
    """Python's own text of it is `-1 day, 23:59:55`."""
    with pytest.raises(ValueError, match="delay is -5 s: it can't be negative"):
        Retry(delay=timedelta(seconds=-5))


def test_a_repr_names_the_strategies_that_were_given() -> None:
    """By class, or by name where they are functions."""

    def doubling(state: tenacity.RetryCallState) -> float:
        return 2.0**state.attempt_number

    assert "RetryPolicy()" == repr(RetryPolicy())
    assert "RetryPolicy(stop=stop_after_attempt, wait=doubling)" == repr(RetryPolicy(stop=after(3), wait=doubling))


TOLD = "postgres://u:S3CRET@db"


@pytest.mark.parametrize("error", [Retry("x" * 5_000), DeadLetter("x" * 5_000)])
def test_a_handlers_reason_is_cut(error: Exception) -> None:
    """A reason of any length is kept to 1,000 characters: it travels between processes and into logs."""
    outcome = RetryPolicy().decide(error, attempt=1, age=timedelta(0))
    assert isinstance(outcome, (Retried, DeadLettered))
    assert 1_000 == len(outcome.reason)


@pytest.mark.parametrize("error", [Retry(f"no {TOLD}"), DeadLetter(f"no {TOLD}"), ValueError("x" * 185 + TOLD)])
def test_no_reason_has_a_secret(error: Exception) -> None:
    """Neither a handler's own nor an error's, which is cut to 200 characters, in the midst of it."""
    outcome = RetryPolicy().decide(error, attempt=1, age=timedelta(0))
    assert isinstance(outcome, (Retried, DeadLettered))
    assert "S3C" not in outcome.reason + outcome.failure.reason  # type: ignore[union-attr]  # it failed
