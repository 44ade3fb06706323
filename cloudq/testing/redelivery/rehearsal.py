"""A rehearsal: the messages are delivered as a schedule says, and their tasks run as every edge runs them."""

from __future__ import annotations

import contextvars
import threading
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from traceback import clear_frames
from typing import Any, Final, Literal, NoReturn

import msgspec

from cloudq.app import App
from cloudq.core.delivery import Delivery
from cloudq.core.handler import Handler
from cloudq.core.outcome import Acked, DeadLettered, Outcome
from cloudq.core.policy import DELIVERIES_WITHOUT_LIMIT
from cloudq.core.processor import Processor, no_time_limit
from cloudq.drivers.memory import MemoryDriver
from cloudq.running.processing import processor_of
from cloudq.tasks.context import Context
from cloudq.tasks.own_loop import run_in_own_loop
from cloudq.testing.redelivery.killing import kill_in_a_child
from cloudq.testing.redelivery.lines import code_of
from cloudq.testing.redelivery.mail import LEASE, Event, Mail, Mails
from cloudq.testing.redelivery.points import Crash, watching
from cloudq.testing.redelivery.schedule import GoOn, Reached, Schedule, Take
from cloudq.testing.redelivery.watched import ACKNOWLEDGING, PATIENCE, WatchedHandler, WatchedRun

MOST_DELIVERIES_OF_ONE: Final = 50
# Waiting for a claim, say, uses up no attempt and has an end of its own: after a day, which is hundreds of deliveries.
MOST_WAITS_OF_ONE: Final = 2_000
MOST_MESSAGES: Final = 1_000
# The shortest real time after which a run that neither ends nor pauses counts as waiting for a paused one.
LEAST_GRACE: Final = 0.1
How = Literal["raise", "kill"]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What a rehearsal left.

    Attributes:
        events: What happened, in order.
        once: What the latest run of each message reached.
        failed: Why messages are dead, by what they were.
    """

    events: list[Event]
    once: list[Reached]
    failed: Mapping[str, str]


class _Hand:
    """A run of a message that is under way."""

    def __init__(self, mail: Mail, run: WatchedRun) -> None:
        self.mail = mail
        self.run = run
        self.outcome: Outcome | None = None
        self.error: BaseException | None = None


class Rehearsal:
    """One play of a schedule.

    Args:
        app: The app, in memory on a `FakeClock`.
        driver: Its memory, with the messages that are sent to begin with.
        crash: How runs end at a point.
        all_lines: Whether each line is a point, or only those within `crash_points`.
        grace: For how many real seconds a run may seem to wait before a paused one goes on.
    """

    def __init__(self, app: App, driver: MemoryDriver, *, crash: How, all_lines: bool, grace: float) -> None:
        self._app = app
        self._driver = driver
        self._crash = crash
        self._grace = grace
        self._all_lines = all_lines
        self._clock: Any = app.clock
        self._mails = Mails(driver)
        self._paused: list[_Hand] = []
        self._released: list[_Hand] = []
        self._reached: dict[int, Reached] = {}
        self._events: list[Event] = []
        handlers: dict[str, Handler[Context]] = {
            name: WatchedHandler(handler) for name, handler in app.runtime.handlers.items()
        }
        # The one that every edge makes: whatever is a step of it there takes part here.
        # But nothing renews claims by a clock of real time: what the schedule doesn't end, holds for its lease.
        self._processor: Processor[Context] = processor_of(
            app,
            no_time_limit,
            least_deliveries=DELIVERIES_WITHOUT_LIMIT,
            handlers=handlers,
            heartbeat=False,
            told=False,
        )

    def play(self, schedule: Schedule) -> Ending:
        """Plays it to its end: until each message is acknowledged or dead, and no run is paused.

        Raises:
            RuntimeError: A run doesn't end, or the messages don't.
        """
        for step in schedule:
            if isinstance(step, GoOn):
                self._go_on(step.message)
            elif (mail := self._mails.find(step.message)) is not None and self._mails.may_come(mail):
                self._take(mail, step)
        while self._paused:
            self._go_on(self._paused[0].mail.number)
        for mail in self._mails:
            if mail.number == MOST_MESSAGES:
                raise RuntimeError(f"{MOST_MESSAGES} messages were sent, and there is no end of it")
            self._deliver_until_done(mail)
            if mail.reason is not None:
                # As an operator would. Else each lock that was waited for in vain would be a lost effect.
                self._note(mail, f"{mail} is sent again from the dead-letter queue")
                mail.redrive()
                self._deliver_until_done(mail)
        failed = {str(mail): mail.reason for mail in self._mails if mail.reason is not None}
        return Ending(events=self._events, once=[self._reached[mail.number] for mail in self._mails], failed=failed)

    def _deliver_until_done(self, mail: Mail) -> None:
        while not mail.done:
            self._take(mail, Take(message=mail.number))

    def _take(self, mail: Mail, step: Take) -> None:
        if mail.message.task not in self._app.runtime.handlers:
            mail.done = True  # another program's
            self._reached[mail.number] = Reached(mail.message.task, ())
            return
        if mail.counted == MOST_DELIVERIES_OF_ONE or mail.deliveries == MOST_WAITS_OF_ONE:
            raise RuntimeError(f"{mail} was delivered {mail.deliveries} times, and isn't done")
        span = self._until_delivered(mail, stale=step.stale)
        if span and self._paused and not step.stale:
            return  # it isn't due, and to wait for it would make stale owners of those whose leases are renewed
        fault = self._fault_of(mail, step)
        self._clock.advance(span)
        delivery = mail.deliver(self._clock)
        if self._crash == "kill" and step.crash_at is not None and not self._paused:
            self._kill(mail, delivery, step, fault)
            return
        hand = _Hand(mail, self._watched(mail, step))
        work = _in_this_context(lambda: self._run(hand, delivery))
        if step.pause_at is None and not self._paused:
            work()  # where the test itself runs, which may have connections that no other thread can use
        else:
            threading.Thread(target=work, name=f"cloudq-redelivery-{mail.number}", daemon=True).start()
        self._wait_for(hand)
        if not hand.run.is_over:
            self._paused.append(hand)
            mail.is_leased = True
            text = f"{mail} is delivered, and its run is paused at: {hand.run.paused_at}"
            self._note(mail, text, "paused", hand.run.paused_at)
        else:
            self._end(hand, fault)
        self._end_released()

    def _watched(self, mail: Mail, step: Take, die: Callable[[str], None] | None = None) -> WatchedRun:
        definition = self._app.runtime.handlers.get(mail.message.task)
        return WatchedRun(
            all_lines=self._all_lines,
            task=None if definition is None else code_of(definition.function),
            pause_at=step.pause_at,
            crash_at=step.crash_at,
            die=die,
        )

    def _go_on(self, message: int) -> None:
        hand = next((hand for hand in self._paused if hand.mail.number == message), None)
        if hand is None:
            return
        self._paused.remove(hand)
        hand.run.go_on()
        self._wait_for(hand)
        self._end(hand, None, f"the paused run of {hand.mail} goes on")
        self._end_released()

    def _wait_for(self, hand: _Hand) -> None:
        """Until it is paused or has ended. If it seems to wait for what a paused run holds, that goes on."""
        waited = 0.0
        while not hand.run.stopped.wait(self._grace):
            waited += self._grace
            if self._paused:
                holder = self._paused.pop(0)
                self._released.append(holder)
                text = f"the run of {holder.mail} goes on, as that of {hand.mail} seems to wait for it"
                self._note(holder.mail, text)
                holder.run.go_on()
            elif waited > PATIENCE:
                raise RuntimeError(f"the run of {hand.mail} doesn't end: the last point it reached is {_last(hand)}")

    def _end_released(self) -> None:
        while self._released:
            hand = self._released.pop(0)
            self._wait_for(hand)
            self._end(hand, None, f"the run of {hand.mail}")

    def _run(self, hand: _Hand, delivery: Delivery) -> None:
        """One run, in whichever thread: the real path, up to where a real edge would settle."""
        run = hand.run
        watching.set(run)
        try:
            outcome = self._process(delivery)
            run.reach(ACKNOWLEDGING)
            hand.outcome = outcome
        except Crash as crash:
            _bury(crash)  # as if the process had died: nothing is settled
        except BaseException as error:  # noqa: BLE001 - raised where the rehearsal waits
            if run.crashed_at is None:
                hand.error = error
            else:
                _bury(error)  # a crash in a task group is in an exception group
        finally:
            run.end()

    def _process(self, delivery: Delivery) -> Outcome:
        handler = self._processor.handler_for(delivery)
        if handler is not None and handler.is_async:
            return run_in_own_loop(lambda: self._processor.aprocess(delivery))
        return self._processor.process(delivery)

    def _kill(self, mail: Mail, delivery: Delivery, step: Take, fault: str | None) -> None:
        def run(die: Callable[[str], NoReturn]) -> None:
            watched = self._watched(mail, step, die)
            hand = _Hand(mail, watched)
            _in_this_context(lambda: self._run(hand, delivery))()
            die(ACKNOWLEDGING)  # the point was never reached; the child's memory is gone anyway

        killed = kill_in_a_child(self._app, self._driver, run)
        mail.is_leased = True
        self._reached.setdefault(mail.number, Reached(mail.message.task, ()))
        self._note(
            mail,
            f"{mail} is {_delivered(mail, fault)}, and its process is killed at: {killed.point}",
            "killed",
            killed.point,
        )

    def _end(self, hand: _Hand, fault: str | None, what: str | None = None) -> None:
        mail, run, outcome = hand.mail, hand.run, hand.outcome
        if hand.error is not None:
            raise hand.error
        self._reached[mail.number] = Reached(mail.message.task, tuple(run.points))
        what = what or f"{mail} is {_delivered(mail, fault)}"
        if run.crashed_at is not None or outcome is None:
            mail.is_leased = True
            self._note(mail, f"{what}, and crashes at: {run.crashed_at}", "crashed", run.crashed_at)
            return
        self._note(mail, f"{what}: {_shown(outcome)}", fault)
        if mail.done:
            return  # a second delivery of what another one ended
        mail.is_leased = False
        if isinstance(outcome, Acked):
            mail.done = True
        elif isinstance(outcome, DeadLettered):
            mail.done, mail.reason = True, outcome.reason
        else:
            # Waiting (for its time, or for another run's claim) uses up no attempt.
            mail.counted -= not getattr(outcome, "counted", False)
            mail.due = self._clock.elapsed() + outcome.delay

    def _until_delivered(self, mail: Mail, *, stale: bool) -> timedelta:
        """How long it takes until the message may be delivered: it is due, and no run that died has its lease."""
        due = mail.message.not_before
        spans = [timedelta(0), mail.due - self._clock.elapsed()]
        if due is not None:
            spans.append(due - self._clock.now())
        dead = mail.is_leased and not any(hand.mail is mail for hand in self._paused)
        if stale or dead:
            spans.append(LEASE + timedelta(seconds=1))
        longest: timedelta = max(spans)
        return longest

    def _fault_of(self, mail: Mail, step: Take) -> str | None:
        if any(hand.mail is mail for hand in self._paused):
            return "stale" if step.stale else "concurrent"
        if self._paused:
            return "concurrent"
        if mail.done:
            return "duplicate"
        if not mail.deliveries and any(not other.deliveries for other in self._mails if other.number < mail.number):
            return "reordered"
        return None

    def _note(self, mail: Mail, text: str, fault: str | None = None, point: str | None = None) -> None:
        self._events.append(Event(task=mail.message.task, text=text, fault=fault, point=point))


def _in_this_context(work: Callable[[], None]) -> Callable[[], None]:
    """What runs the work with the context variables of the test, as a copy."""
    context = contextvars.copy_context()
    return lambda: context.run(work)


def _bury(crash: BaseException) -> None:
    """Lets go of what the frames of the dead run held: its connections and files are closed, as the system would."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # that the run didn't close them is the point
        clear_frames(crash.__traceback__)


def _delivered(mail: Mail, fault: str | None) -> str:
    again = " again" if mail.deliveries > 1 else ""
    beside = {
        "stale": ", as the lease of the paused run is over",
        "concurrent": ", beside the paused run",
        "duplicate": ", though it was acknowledged",
        "reordered": ", before others that were sent earlier",
    }
    return f"delivered{again}{beside.get(fault or '', '')}"


def _shown(outcome: Outcome) -> str:
    match outcome:
        case Acked():
            return "done"
        case DeadLettered(reason=reason):
            return f"dead: {reason}"
        case _:
            return f"to be delivered again: {outcome.reason}"


def _last(hand: _Hand) -> str:
    return hand.run.points[-1] if hand.run.points else "none"
