"""`DriverConformance`: all behaviours in one class, for a driver's test file to subclass."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cloudq.testing.conformance.answers import Answers
from cloudq.testing.conformance.bench import Bench
from cloudq.testing.conformance.cancelling import Cancelling
from cloudq.testing.conformance.concurrency import Concurrency
from cloudq.testing.conformance.dead_letter_repair import DeadLettersRepaired
from cloudq.testing.conformance.dead_letter_signing import DeadLettersSigned
from cloudq.testing.conformance.dead_letters import DeadLettersKept
from cloudq.testing.conformance.deduplication import Deduplication
from cloudq.testing.conformance.delays import Delays
from cloudq.testing.conformance.expiring import Expiring
from cloudq.testing.conformance.harness import Harness
from cloudq.testing.conformance.leases import Leases
from cloudq.testing.conformance.operations import Operations
from cloudq.testing.conformance.ordering import Ordering
from cloudq.testing.conformance.pausing import Pausing
from cloudq.testing.conformance.pushing import Pushing
from cloudq.testing.conformance.receiving import Receiving
from cloudq.testing.conformance.retries import Retries
from cloudq.testing.conformance.robustness import Robustness
from cloudq.testing.conformance.sending import Sending
from cloudq.testing.conformance.settling import Settling
from cloudq.testing.conformance.signatures import Signatures


class DriverConformance(
    Sending,
    Receiving,
    Leases,
    Settling,
    Retries,
    DeadLettersKept,
    DeadLettersRepaired,
    Ordering,
    Deduplication,
    Delays,
    Expiring,
    Pausing,
    Cancelling,
    Operations,
    Concurrency,
    Robustness,
    Signatures,
    DeadLettersSigned,
    Answers,
):
    """What a driver must do. Subclass it as `class TestMyDriver(DriverConformance)` and give the fixture `harness`.

    Each behaviour is one test. The queue's capabilities pick what it asserts; none is skipped: a feature that is
    missing is shown to be refused, or emulated by the core.
    """

    @pytest.fixture
    def harness(self) -> Harness:
        """The backend, empty. To be overridden."""
        raise NotImplementedError("a subclass of DriverConformance gives a fixture named harness")

    @pytest.fixture
    def bench(self, harness: Harness) -> Iterator[Bench]:
        """What the behaviours work with."""
        bench = Bench(harness)
        yield bench
        bench.close()


class PushConformance(DriverConformance, Pushing):
    """What a driver of a backend that pushes must do: all of it, and what decoding and answering are.

    Subclass it like `DriverConformance`, with a fixture `harness` that gives a `PushHarness`.
    """


def behaviours() -> list[str]:
    """The names of all behaviours, in the kit's order."""
    names = (name for kind in PushConformance.__mro__[1:-1] for name in vars(kind) if name.startswith("test_"))
    return list(dict.fromkeys(names))
