"""Which boot of the machine `Clock.elapsed` counts from, so that a lease's end can be compared with it.

A reading of such a clock means something within one boot only, and within one time namespace, of which a container may
have its own. So a database numbers the boots whose clocks its leases go by, and each lease says which one that is:

| a lease of | ends |
|---|---|
| this boot | when that much time has passed, whatever the wall clock says |
| an earlier boot of this machine | at once: nobody who held it lives |
| a container that has another clock, or a boot id of its own | by the wall clock, since it may be alive |
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from cloudq.core.clock import EPOCH, Clock, micros_now, span_micros, to_micros

UNKNOWN: Final = 0
"""The boot's number where the system doesn't name it, and that of leases by older versions: those by the wall clock."""

# The end of datetime's range; what is put off beyond it is put off until then.
LATEST: Final = to_micros(datetime.max.replace(tzinfo=EPOCH.tzinfo))
_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_TIME_NAMESPACE: Final = "/proc/self/ns/time"
_MOUNTS: Final = "/proc/self/mountinfo"
# Before the name of a boot of which only this is known: that it is none of the machine's own names for its boots.
_ALONE: Final = "own:"
AXIS: Final = 1 << 60
"""Where the ends of leases begin, behind all that the wall clock says: so one index has both, in this order. And all
moments are equally long in a row, which then is changed where it lies."""
_LONGEST: Final = timedelta(days=365_000)


class End(NamedTuple):
    """When a lease ends.

    Attributes:
        wall: By the wall clock, in microseconds since 1970.
        mark: By the clock that the lease goes by, as the database stores it.
        elapsed: By `Clock.elapsed`.
    """

    wall: int
    mark: int
    elapsed: timedelta


class Moment(NamedTuple):
    """Now, by the clocks that a database goes by: as in `End`, with the number of the boot that `mark` is of."""

    wall: int
    mark: int
    elapsed: timedelta
    boot: int

    def plus(self, span: timedelta) -> End:
        """The end of a lease that begins now."""
        length = max(0, span_micros(span))
        wall, mark = min(LATEST, self.wall + length), min(AXIS + LATEST, self.mark + length)
        return End(wall, mark, self.elapsed + min(span, _LONGEST))


def moment(clock: Clock, boot: int) -> Moment:
    """Now."""
    wall, elapsed = micros_now(clock), clock.elapsed()
    return Moment(wall, AXIS + (wall if boot == UNKNOWN else span_micros(elapsed)), elapsed, boot)


def boot_name(clock: Clock) -> str | None:
    """What the clock's elapsed time counts from: its own `boot` if it has one, as a fake clock has; else this boot."""
    own = getattr(clock, "boot", None)
    return f"{_ALONE}{own}" if isinstance(own, str) else machine_boot()


@cache
def machine_boot() -> str | None:
    """This boot of this machine, with the time namespace; `None` where the system names no boot."""
    if sys.platform == "darwin":
        return _boot_session()
    with suppress(OSError):
        name = Path(_BOOT_ID).read_bytes().decode().strip()
        namespace = ""
        with suppress(OSError):  # kernels before 5.6 have none
            namespace = str(Path(_TIME_NAMESPACE).readlink())
        return f"{_ALONE if _is_a_containers_own() else ''}{name}/{namespace}"
    return None


def number_in(connection: sqlite3.Connection, name: str | None, *, table: str, ended: Callable[[int], object]) -> int:
    """The number of a boot in a table of numbers and names. Runs in a write transaction.

    Args:
        connection: The one that writes.
        name: The boot's name; without one the number is `UNKNOWN`, and nothing is looked at.
        table: The table's name.
        ended: Called with the number of each boot that is over, which is then free for another one.
    """
    if name is None:
        return UNKNOWN
    known: dict[str, int] = dict(connection.execute(f"SELECT name, number FROM {table}"))  # noqa: S608 - ours
    for other in [other for other in known if is_over(other, name)]:
        dead = known.pop(other)
        ended(dead)
        connection.execute(f"DELETE FROM {table} WHERE number = ?", (dead,))  # noqa: S608 - ours
    if name not in known:
        # 1 if that is free: it takes no room in a row, which then keeps its length.
        known[name] = next(number for number in range(1, len(known) + 2) if number not in known.values())
        connection.execute(f"INSERT INTO {table}(name, number) VALUES (?, ?)", (name, known[name]))  # noqa: S608 - ours
    return known[name]


def is_over(other: str, name: str) -> bool:
    """Whether another boot is an earlier one of this machine, which has one at a time."""
    if other.startswith(_ALONE) or name.startswith(_ALONE):
        return False
    return other.partition("/")[0] != name.partition("/")[0]


def _is_a_containers_own() -> bool:
    """Whether the boot id isn't the machine's: systemd-nspawn and LXC put one of the container's own over it."""
    try:
        mounts = Path(_MOUNTS).read_bytes().decode(errors="replace")
    except OSError:
        return True  # nothing is certain about it
    return any(line.split(" ", 5)[4:5] == [_BOOT_ID] for line in mounts.splitlines())


def _boot_session() -> str | None:
    """On macOS."""
    import ctypes

    library = ctypes.CDLL(None)
    buffer = ctypes.create_string_buffer(64)
    size = ctypes.c_size_t(len(buffer))
    if library.sysctlbyname(b"kern.bootsessionuuid", buffer, ctypes.byref(size), None, ctypes.c_size_t(0)):
        return None
    return f"{buffer.value.decode('ascii', 'replace')}/"
