"""A driver over a fake SQS, on a fake clock."""

from __future__ import annotations

import pytest

from cloudq.drivers.sqs import SQSDriver
from cloudq.testing.clock import FakeClock
from tests.unit.drivers.sqs.fakes import FakeSqs
from tests.unit.drivers.sqs.using import ZERO


@pytest.fixture
def sqs():
    return FakeSqs("q", "q-dlq", "q.fifo", "q-dlq.fifo")


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def driver(sqs, clock):
    return SQSDriver("test", client=sqs, clock=clock, look_wait=ZERO)
