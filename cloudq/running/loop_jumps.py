"""Interpreters on which an interruption skips `finally` and `with` (CPython issue 130279: 3.13, and later until fixed).

The jump with which a loop begins again isn't in the exception table of the `try` round the loop, and since 3.13 the
interpreter looks for interruptions at that jump. One that arrives there leaves the function as if there were no `try`:

```
 with lock:                                 # never left: the lock stays taken
     while more():                          # the jump back to here is in no table
         work()
```
"""

from __future__ import annotations

import sys
from functools import lru_cache
from itertools import pairwise
from types import CodeType, FrameType, FunctionType
from typing import Final

_PROBE: Final = "def probe(more, work, last):\n try:\n  while more():\n   work()\n finally:\n  last()\n"


@lru_cache(maxsize=1)
def interruptions_skip_handlers() -> bool:
    """Whether this interpreter is one of those. Found out by how it compiles; release numbers don't say."""
    if sys.hexversion < 0x030D0000:  # they look for interruptions once they have jumped, where the table is right
        return False
    names: dict[str, FunctionType] = {}
    exec(compile(_PROBE, "<probe>", "exec"), names)  # noqa: S102 - our own text
    return bool(_uncovered(names["probe"].__code__))


def at_uncovered_jump(frame: FrameType) -> bool:
    """Whether an exception that is raised in this frame now would skip a handler that is round a loop."""
    return frame.f_lasti in _uncovered(frame.f_code)


@lru_cache(maxsize=1024)
def _uncovered(code: CodeType) -> frozenset[int]:
    """The offsets of those jumps: in no handler's range, though what leads to them and where they go to is in one."""
    import dis  # not loaded where nothing is interrupted

    instructions = list(dis.get_instructions(code))
    ranges = [range(entry.start, entry.end) for entry in dis.Bytecode(code).exception_entries]  # type: ignore[attr-defined]  # typeshed lacks it
    covered = {one.offset for one in instructions if any(one.offset in part for part in ranges)}
    led_to: set[int] = set()  # from what is covered, at once or by jumps that aren't covered either
    for before, one in pairwise(instructions):
        if before.offset in covered or (before.offset in led_to and "JUMP" in before.opname):
            led_to.add(one.offset)
    return frozenset(
        jump.offset
        for jump in instructions
        if jump.opname == "JUMP_BACKWARD"
        and jump.offset not in covered
        and jump.offset in led_to
        and jump.argval in covered
    )
