"""What the profiles say is what the real drivers say: a test of an emulation tests the service's own figures."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloudq.core.driver import Capabilities
from cloudq.drivers.cloud_tasks import limits as cloud_tasks
from cloudq.drivers.sqs import limits as sqs
from cloudq.errors import UnsupportedError
from cloudq.testing.profiles import cloud_tasks_like, service_bus_like, sqs_fifo_like, sqs_like

DECIDING = (
    "ordering",
    "max_receive",
    "max_delay",
    "native_retry_delay",
    "native_dead_letter",
    "extendable",
    "fenced_settle",
    "cancels",
)


@pytest.mark.parametrize(
    ("profile", "real", "queue"),
    [
        (sqs_like, sqs.capabilities, "emails"),
        (sqs_like, sqs.capabilities, "emails.fifo"),
        (sqs_fifo_like, sqs.capabilities, "emails.fifo"),
        (cloud_tasks_like, cloud_tasks.capabilities, "emails"),
    ],
)
def test_what_decides_a_plan_is_as_the_driver_says(
    profile: Callable[[str], Capabilities], real: Callable[[str], Capabilities], queue: str
) -> None:
    """Order, delays, releases, dead letters."""
    assert {name: getattr(real(queue), name) for name in DECIDING} == {
        name: getattr(profile(queue), name) for name in DECIDING
    }


def test_an_order_is_kept_by_queues_of_that_name_only() -> None:
    """On Cloud Tasks by none."""
    for profile in (sqs_like, service_bus_like):
        assert (False, True) == (profile("emails").ordering, profile("emails.fifo").ordering)
    with pytest.raises(UnsupportedError, match=r"emails\.fifo"):
        cloud_tasks_like("emails.fifo")
