"""Whether Lambda's mapping, its function and the queue's lease have the time for the tasks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from cloudq.cli.doctor.fault import Where
from cloudq.cli.doctor.lambda_law import Mapped, judge_mapping
from cloudq.cli.queue_needs import Cloud
from tests.unit.cli.doctor.test_queue_law import NEEDS, SQS, looked

# Six times the function's minute; a task's 57 seconds and the margin fit into that.
QUEUE = replace(SQS, lease=timedelta(minutes=6))
TASKS = replace(NEEDS, limits={"shop.welcome": timedelta(seconds=57)})
MAPPED = Mapped(uuid="u-1", function="shop", one_by_one=True, timeout=60)
LOOKED = looked(Cloud.AWS, settings=QUEUE, needs=TASKS)


@pytest.mark.parametrize("one", [LOOKED, replace(LOOKED, needs=None)], ids=["tasks", "no tasks are known"])
def test_what_our_own_settings_make_has_no_fault(one):
    """As `cloudq terraform vars --lambda` writes them."""
    assert [] == list(judge_mapping(one, MAPPED))
    assert [] == list(judge_mapping(one, replace(MAPPED, timeout=None)))


@pytest.mark.parametrize(
    ("changes", "fault", "words"),
    [
        ({"enabled": False}, "queue-stopped", "its Lambda mapping is disabled"),
        ({"one_by_one": False}, "lambda-whole-batches", "its Lambda mapping doesn't have ReportBatchItemFailures"),
        ({"timeout": 30}, "lambda-timeout", "its function's timeout is 30, and 60 is the least"),
        (
            {"timeout": 61},
            "lambda-visibility",
            "VisibilityTimeout is 360, and six times the function's time-out are 366",
        ),
        (
            {"window": 20},
            "lambda-visibility",
            "VisibilityTimeout is 360, and six times the function's time-out and the",
        ),
    ],
)
def test_a_planted_fault_is_found(changes, fault, words):
    """That one, and no other; what fixes it names the mapping, or the function."""
    (finding,) = judge_mapping(LOOKED, replace(MAPPED, **changes))
    assert (fault, Where.LAMBDA) == (finding.fault.id, finding.where)
    assert finding.what.startswith(words)
    assert any(name in finding.command for name in ("u-1", "shop", "p-mail"))


@pytest.mark.parametrize(
    ("limit", "words"),
    [(None, "task 'shop.welcome' has no time_limit"), (timedelta(hours=1), "a time_limit of 1:00:00 is more than")],
)
def test_a_task_that_lambda_has_no_time_for(limit, words):
    """Then no visibility could help, and none is asked for."""
    needs = replace(TASKS, limits={"shop.welcome": limit})
    (finding,) = judge_mapping(replace(LOOKED, needs=needs), replace(MAPPED, timeout=900))
    assert "lambda-no-time-limit" == finding.fault.id
    assert words in finding.what


def test_without_tasks_the_function_alone_says_how_long_it_takes():
    """Six times its timeout are asked for all the same."""
    (finding,) = judge_mapping(replace(LOOKED, needs=None), replace(MAPPED, timeout=100))
    assert "lambda-visibility" == finding.fault.id
