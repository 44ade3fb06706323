"""The conformance kit: what a driver of cloudq must do, as named behaviours. See `docs/how-to/write-a-driver.md`.

A driver's author writes a `Harness`, subclasses `DriverConformance` in a test file, and runs pytest; for a backend that
pushes, a `PushHarness` and `PushConformance`.
"""

from typing import Final

import pytest

# Before they are imported, so that a failed assertion shows its values.
TOPICS: Final = (
    "answers",
    "concurrency",
    "dead_letters",
    "deduplication",
    "delays",
    "expiring",
    "leases",
    "operations",
    "ordering",
    "pausing",
    "pushing",
    "receiving",
    "retries",
    "robustness",
    "sending",
    "settling",
)
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in ("bench", *TOPICS)))

from cloudq.testing.conformance.bench import Bench  # noqa: E402 - after the registration above
from cloudq.testing.conformance.edge import carry_out  # noqa: E402 - as above
from cloudq.testing.conformance.harness import Harness, Stall  # noqa: E402 - as above
from cloudq.testing.conformance.push import PushHarness  # noqa: E402 - as above
from cloudq.testing.conformance.spoil import SPOILS, Spoil  # noqa: E402 - as above
from cloudq.testing.conformance.suite import DriverConformance, PushConformance  # noqa: E402 - as above

__all__ = [
    "SPOILS",
    "TOPICS",
    "Bench",
    "DriverConformance",
    "Harness",
    "PushConformance",
    "PushHarness",
    "Spoil",
    "Stall",
    "carry_out",
]
