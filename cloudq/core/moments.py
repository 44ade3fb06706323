"""`plain_datetime`: a datetime of exactly that type, also while a test freezes the time.

freezegun (1.5.5) puts a class of its own in the place of `datetime` in every module that names it, and serializers know
only the real one. So the real one is taken from a decoder, and kept where freezegun doesn't look: in no module's names.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import msgspec

_EPOCH_AS_MSGPACK: Final = b"\xd6\xff\x00\x00\x00\x00"


class Moments:
    """The real types of moments."""

    datetime: Final[type[datetime]] = type(msgspec.msgpack.decode(_EPOCH_AS_MSGPACK))


def plain_datetime(value: datetime) -> datetime:
    """The same moment, of no subclass: those of pendulum and freezegun are datetimes to all but a serializer."""
    real = Moments.datetime
    if type(value) is real:
        return value
    return real(
        value.year,
        value.month,
        value.day,
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.tzinfo,
        fold=value.fold,
    )
