"""Filters of ListQueues. Pure."""

from __future__ import annotations

import pytest

from cloudq.emulators.cloud_tasks.filtering import matcher
from cloudq.emulators.cloud_tasks.messages import QueuePb
from cloudq.emulators.cloud_tasks.problems import Problem

PAUSED = QueuePb(name="projects/p/locations/l/queues/Emails", state=2)
PAUSED.rate_limits.max_dispatches_per_second = 5


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", True),
        ("state: PAUSED", True),
        ("state=paused", True),
        ("state: RUNNING", False),
        ("state != PAUSED", False),
        ("name: emails AND state: PAUSED", True),
        ("name: emails AND state: RUNNING", False),
        ('name = "projects/p/locations/l/queues/emails"', True),
        ("rate_limits.max_dispatches_per_second >= 5", True),
        ("rate_limits.max_dispatches_per_second < 5", False),
        ("rate_limits.max_dispatches_per_second : 5", True),
    ],
)
def test_filters(text, found):
    """ListQueuesRequest.filter: "Any Queue field can be used as a filter and several operators as supported. For
    example: <=, <, >=, >, !=, =, :"; "Sample filter "state: PAUSED"."."""
    assert found is matcher(text)(PAUSED)


@pytest.mark.parametrize(
    "text",
    [
        "state",
        "nothing = 1",
        "rate_limits = 1",
        "state.x = 1",
        "name.x.y: 1",
        "rate_limits.max_dispatches_per_second > many",
    ],
)
def test_what_is_no_filter(text):
    """It's refused, naming what is wrong."""
    with pytest.raises(Problem, match="Invalid filter"):
        matcher(text)(PAUSED)
