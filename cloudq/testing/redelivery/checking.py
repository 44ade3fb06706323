"""`Check`: which messages, what their effect is, and whether it is the same however they are delivered."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from inspect import isclass, isroutine
from types import ModuleType
from typing import Final, Literal

import msgspec

from cloudq.app import App
from cloudq.core.driver import Outgoing
from cloudq.errors import ConfigurationError, OptionError
from cloudq.tasks.async_libraries import context_for_a_thread, in_a_loop
from cloudq.tasks.task import Call
from cloudq.testing.clock import FakeClock
from cloudq.testing.memory import in_memory, memory_of
from cloudq.testing.redelivery.finding import Finding, NotIdempotent, culprit
from cloudq.testing.redelivery.lines import code_of, points_between_lines
from cloudq.testing.redelivery.rehearsal import LEAST_GRACE, Ending, How, Rehearsal
from cloudq.testing.redelivery.schedule import ALL_FAULTS, Fault, Reached, Schedule, schedule_of
from cloudq.testing.redelivery.shrinking import shrunk

SEEDS: Final = range(200)
SHRINK_WITHIN: Final = timedelta(seconds=3)
# How many times longer than a usual run another one may seem to wait.
_PATIENCE: Final = 5


class Check:
    """Some messages, and the state that their tasks change.

    A run in which each message is delivered once says what the state has to be. Then, for each seed, the state is put
    back, the same messages are delivered in a worse way, and the states are compared.

    Example:
        ```python
        paid_once = Check(
            charge.call(order_id=1), charge.call(order_id=2),
            state=lambda: sorted(bank.charges), reset=bank.charges.clear,
        )
        ```

    Args:
        *calls: What is sent, of tasks of one App: `task.call(...)`. What their tasks send is delivered, too.
        state: Gives the state: values that `==` compares, without what differs from run to run (times, random ids), and
            in an order of its own.
        reset: Puts the state back to where it begins.
        crash: How a run ends at a point. `raise`: by a BaseException, which is fast, but runs `finally` and `__exit__`.
            `kill`: in a forked child that is killed, as a real crash; the state has to be outside of the process
            (a file, a database).
        faults: What may happen; default: everything.
        points: `lines`: each line in the files of the tasks and in `modules`, and what is marked. `marked`: only
            `crash_point` and the lines within `crash_points`.
        modules: Other modules of yours, whose lines are points, too. A package stands for all of its modules that are
            loaded.
        services: Classes and functions, in these files, that stand for a service elsewhere: a fake bank, say. Their
            lines are no points, as such a service does all that it is asked to, or nothing, also if a worker dies.

    Raises:
        OptionError: There are no calls, or a value isn't one of those above.
    """

    def __init__(
        self,
        *calls: Call,
        state: Callable[[], object],
        reset: Callable[[], object],
        crash: How = "raise",
        faults: AbstractSet[Fault] = ALL_FAULTS,
        points: Literal["lines", "marked"] = "lines",
        modules: Sequence[ModuleType] = (),
        services: Sequence[Callable[..., object]] = (),
    ) -> None:
        if not calls or not all(isinstance(call, Call) for call in calls):
            raise OptionError("a check takes calls", hint="Check(charge.call(order_id=1), state=..., reset=...)")
        if crash not in {"raise", "kill"}:
            raise OptionError(f"crash is 'raise' or 'kill', not {crash!r}")
        if points not in {"lines", "marked"}:
            raise OptionError(f"points is 'lines' or 'marked', not {points!r}")
        if not faults or not set(faults) <= ALL_FAULTS:
            raise OptionError(f"faults are some of {', '.join(sorted(ALL_FAULTS))}, not {faults!r}")
        if not all(isclass(service) or isroutine(service) for service in services):
            raise OptionError(
                f"services are classes and functions, not {services!r}", hint="the class of a fake: services=[FakeBank]"
            )
        self.calls = calls
        self._state = state
        self._reset = reset
        self._crash: How = crash
        self._faults = frozenset(faults)
        self._all_lines = points == "lines"
        self._modules = tuple(modules)
        self._services = tuple(services)

    @property
    def tasks(self) -> list[str]:
        """The names of the tasks that are called."""
        return list(dict.fromkeys(call.task.name for call in self.calls))

    def find(self, seeds: Iterable[int] = SEEDS, *, shrink_within: timedelta = SHRINK_WITHIN) -> Finding | None:
        """Looks for a schedule after which the state differs, and makes it small; `None`: none of the seeds finds one.

        Args:
            seeds: Each stands for one schedule, the same for the same code. Even ones go through the schedules with one
                fault, odd ones have several.
            shrink_within: How long to look for a smaller schedule.

        Raises:
            ConfigurationError: The calls aren't of one App; or two runs in which everything is delivered once leave
                different states, or dead letters, so that nothing can be compared; or a file with lines that are to be
                points has an expression too long for that.
            RuntimeError: A run doesn't end.
        """
        if not in_a_loop():
            return _Search(self).find(seeds, shrink_within)
        with ThreadPoolExecutor(1, "cloudq-redelivery") as thread:
            return thread.submit(context_for_a_thread().run, _Search(self).find, seeds, shrink_within).result()

    def prove(self, seeds: Iterable[int] = SEEDS, *, shrink_within: timedelta = SHRINK_WITHIN) -> None:
        """As `find`, for tests: what is found is raised.

        Raises:
            NotIdempotent: The state differs.
        """
        finding = self.find(seeds, shrink_within=shrink_within)
        if finding is not None:
            raise NotIdempotent(finding)


class _Search:
    """One search: the messages, as they were sent once, and what they lead to if all goes well."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._app = _app_of(check)
        self._start = datetime.now(UTC)
        self._grace = LEAST_GRACE

    def find(self, seeds: Iterable[int], shrink_within: timedelta) -> Finding | None:
        """See `Check.find`."""
        if self._check._crash == "kill" and self._app.runtime.claim_check_url is not None:
            raise ConfigurationError(
                "large payloads that a killed child stored would be gone with it", hint="crash='raise'"
            )
        self._app.load()
        with points_between_lines(self._files(), self._check._services):
            return self._find(seeds, shrink_within)

    def _find(self, seeds: Iterable[int], shrink_within: timedelta) -> Finding | None:
        self._stored = self._sent_once()
        expected, once = self._once()
        for seed in seeds:
            schedule = schedule_of(seed, once, self._check._faults)
            state, ending = self._play(schedule)
            if state != expected:
                return self._found(seed, schedule, shrink_within, expected, (state, ending))
        return None

    def _files(self) -> set[str]:
        """All tasks of the App count: those that are called may send others."""
        codes = [code_of(definition.function) for definition in self._app.runtime.handlers.values()]
        others = (module.__file__ for named in self._check._modules for module in _with_what_is_in_it(named))
        files = (*(code.co_filename for code in codes if code), *others)
        return {file for file in files if file is not None}

    def _sent_once(self) -> list[Outgoing]:
        """The messages as they are stored: the same ids in each rehearsal."""
        with in_memory(self._app, clock=FakeClock(self._start)) as app:
            ids = [sent.id for sent in app.send_many(self._check.calls)]
            stored = memory_of(app).sent
        return sorted(stored, key=lambda outgoing: ids.index(outgoing.id))

    def _once(self) -> tuple[object, list[Reached]]:
        """The state when everything is delivered once, and the points of each message."""
        expected, ending = self._play(())
        for message, reason in ending.failed.items():
            raise ConfigurationError(
                f"{message} fails even if it is delivered once: {reason}", hint="check calls that succeed"
            )
        began = time.monotonic()
        state, _ = self._play(())
        self._grace = max(LEAST_GRACE, _PATIENCE * (time.monotonic() - began) / len(ending.once))
        if state != expected:
            raise ConfigurationError(
                f"the state differs though everything was delivered once: {expected!r:.200}, then {state!r:.200}",
                hint="leave out what differs from run to run, sort what has no order, and reset everything",
            )
        return expected, ending.once

    def _play(self, schedule: Schedule) -> tuple[object, Ending]:
        self._check._reset()
        with in_memory(self._app, clock=FakeClock(self._start)) as app:
            driver = memory_of(app)
            for outgoing in self._stored:
                driver.send([outgoing])
            rehearsal = Rehearsal(
                app,
                driver,
                crash=self._check._crash,
                all_lines=self._check._all_lines,
                grace=self._grace,
            )
            ending = rehearsal.play(schedule)
            try:
                # A copy: the next reset may empty the very object.
                return deepcopy(self._check._state()), ending
            except Exception as error:
                if not schedule:
                    raise  # the check's own fault
                return _Unreadable(f"state() raised {type(error).__name__}: {error}"), ending

    def _found(
        self,
        seed: int,
        schedule: Schedule,
        shrink_within: timedelta,
        expected: object,
        found: tuple[object, Ending],
    ) -> Finding:
        latest = [found]

        def fails(smaller: Schedule) -> bool:
            played = self._play(smaller)
            if played[0] != expected:
                latest[0] = played
                return True
            return False

        ends = time.monotonic() + shrink_within.total_seconds()
        is_steady = fails(schedule)
        if is_steady:
            schedule = shrunk(schedule, fails, is_late=lambda: time.monotonic() > ends)
        state, ending = latest[0]
        event = culprit(ending.events)
        return Finding(
            task=event.task,
            point=event.point,
            fault=event.fault or "delivered",
            events=[event.text for event in ending.events],
            expected=expected,
            state=state,
            seed=seed,
            steps=schedule,
            is_steady=is_steady,
            dead=[f"{message}: {reason}" for message, reason in ending.failed.items()],
        )


class _Unreadable(msgspec.Struct, frozen=True):
    """A state that can't be read any more: what a run that died left half done, say."""

    why: str

    def __repr__(self) -> str:
        return self.why


def _with_what_is_in_it(module: ModuleType) -> list[ModuleType]:
    """The module; of a package also its modules and packages, as far as they are loaded."""
    inside = f"{module.__name__}."
    return [
        module,
        *(
            other
            for name, other in list(sys.modules.items())
            if name.startswith(inside) and isinstance(other, ModuleType)
        ),
    ]


def _app_of(check: Check) -> App:
    apps: Sequence[object] = list({id(call.task.app): call.task.app for call in check.calls}.values())
    if len(apps) != 1 or not isinstance(apps[0], App):
        raise ConfigurationError("the calls of a check are of tasks of one App", hint="make a check for each App")
    return apps[0]
