"""Times between protobuf and Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from cloudq.emulators.cloud_tasks.messages import length, moment, to_duration, to_timestamp

LAST = datetime(9998, 12, 31, tzinfo=UTC)
INT64 = st.integers(-(2**63), 2**63 - 1)
INT32 = st.integers(-(2**31), 2**31 - 1)


@given(st.datetimes(max_value=LAST.replace(tzinfo=None), timezones=st.just(UTC)))
def test_moments_come_back(when):
    """A moment is the same after a trip through a timestamp, which is protobuf's own."""
    assert moment(to_timestamp(when)) == when
    assert to_timestamp(when).ToDatetime(UTC) == when


@given(st.timedeltas(timedelta(days=-300_000), timedelta(days=300_000)))
def test_lengths_come_back(value):
    """So is a length of time, negative ones included."""
    assert length(to_duration(value)) == value
    assert to_duration(value).ToTimedelta() == value


@given(INT64, INT32)
def test_no_number_is_too_large(seconds, nanos):
    """Whatever a client sends becomes a time that can be reckoned with."""
    assert length(Duration(seconds=seconds, nanos=nanos)) < timedelta(days=366_001)
    assert moment(Timestamp(seconds=seconds, nanos=nanos)) - timedelta(0) is not None
    assert datetime(2100, 1, 1, tzinfo=UTC) + length(Duration(seconds=seconds, nanos=nanos)).__abs__() is not None
