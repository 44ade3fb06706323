"""Exceptions that strike where a signal handler's could: before any bytecode, twice if need be."""

import gc
import sys

from tests.unit.tracing import clear_taken_back_errors


class Struck(BaseException):
    """What strikes. No `except Exception` stops it, as none stops Ctrl-C."""


def strike(call, at, again=None):
    """Calls with `Struck` raised before the `at`-th bytecode from the call on, in whatever function that is.

    With `again`, a second one is raised that many bytecodes further on, in the clean-up: counted from its first call of
    a function, since raising ends CPython's tracing, and the profiler gets us back in there.

    Returns:
        How often it struck: less than asked for where the call had fewer bytecodes.
    """
    # In a generator, which has a handled exception of its own. One whose `except` block is struck as it ends counts as
    # handled for as long as its thread, or generator, lives: it would be the context of whatever is raised later, with
    # lines that can't be shown, and pytest's run would end at the next test that fails.
    return next(_strikes(call, at, again))


def _strikes(call, at, again):
    strikes = 0
    outside = sys._getframe()

    def tracer(number, then):
        passed = 0

        def trace(frame, event, arg):
            nonlocal passed, strikes
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
            if event == "opcode":
                passed += 1
                if passed == number:
                    strikes += 1
                    then()
                    raise Struck
            return trace

        return trace

    def trace_again(frame, event, arg):
        sys.setprofile(None)
        trace = tracer(again, lambda: None)
        sys.settrace(trace)
        while frame is not None and frame is not outside:
            frame.f_trace, frame.f_trace_opcodes = trace, True
            frame = frame.f_back

    outside.f_trace_opcodes = True  # CPython 3.12 looks for such a frame when tracing begins, and no later
    clear_taken_back_errors()
    before = sys.gettrace()
    gc.disable()  # or it might strike the finalizer of what another test left
    sys.settrace(tracer(at, (lambda: sys.setprofile(trace_again)) if again else lambda: None))
    try:
        call()
    except Struck as struck:
        # A traceback that somebody keeps, keeps all frames: whatever waits for their end stays as it is.
        strike.kept = struck
    finally:
        sys.settrace(before)
        sys.setprofile(None)
        gc.enable()
    yield strikes


def can_strike(made, at):
    """Whether a call, which is made anew, has an `at`-th bytecode and was struck there.

    Asked twice: CPython 3.12 and later tell of the bytecodes of a function from its second traced call on, so that a
    call which comes to one for the first time seems to have few.
    """
    return bool(strike(made(), at) or strike(made(), at))
