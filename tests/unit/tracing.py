"""Tracing that begins in a process whose earlier tests raised errors in other threads and took them back.

CPython 3.11 (seen on 3.11.7, not on 3.12 and 3.13) keeps a mark that such an error is on its way until one has arrived,
and with the mark set a tracer that asks for opcodes stops the interpreter at a function's first instruction.
"""

from __future__ import annotations

import ctypes
import sys
import threading


class _Arrival(Exception):
    """Arrives, so that the mark is taken away."""


def clear_taken_back_errors() -> None:
    """Has an error arrive in this thread: nothing else takes the mark away. Later releases keep none."""
    if sys.version_info >= (3, 12):
        return
    me = ctypes.c_ulong(threading.get_ident())
    try:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(me, ctypes.py_object(_Arrival))
        for _ in range(100_000):  # it arrives at one of the next instructions
            pass
    except _Arrival:
        return
    raise AssertionError("an error raised in this thread didn't arrive")
