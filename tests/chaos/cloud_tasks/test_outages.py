"""A target that is away for longer than a hundred pushes: what the documentation says of it, and nothing is lost."""

from __future__ import annotations

import pytest
from google.cloud.tasks_v2 import Queue, RetryConfig
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from cloudq.core.policy import DELIVERIES_WITHOUT_LIMIT
from tests.chaos.cloud_tasks.stand import BACKOFF, LOCATION, Stand, parameters
from tests.integration.processes import wait_until

pytestmark = pytest.mark.slow

TASKS = 5
MOMENT = RetryConfig(max_attempts=-1, min_backoff=Duration(nanos=1_000_000), max_backoff=Duration(nanos=5_000_000))


def test_what_was_pushed_in_vain_too_often_is_a_dead_letter_and_can_be_redriven(stand: Stand) -> None:
    """The service doesn't say whether a push without an answer ran, so such messages are taken for poison. Redriven,
    they run.
    """
    queue = f"{LOCATION}/queues/default"
    _set(stand, queue, MOMENT)
    effect = stand.app.task("effect")(parameters)
    stand.app.send_many(effect.call(n=n) for n in range(TASKS))

    def pushed() -> list[int]:
        return [task.dispatch_count for task in stand.client.list_tasks(parent=queue)]

    wait_until(lambda: min(pushed()) > DELIVERIES_WITHOUT_LIMIT, within=60, what="each was pushed a hundred times")
    _set(stand, queue, BACKOFF)
    stand.start()
    letters = stand.app.queue("default").dead_letters
    wait_until(lambda: len(letters.peek()) == TASKS, within=60, what="they are dead letters")
    assert {} == stand.effects()
    reasons = {dead.failure.reason.partition(":")[0] for dead in letters.peek() if dead.failure is not None}
    assert {"worker died or lease expired"} == reasons
    redriven = letters.redrive()
    assert (TASKS, ()) == (redriven.redriven, redriven.errors)
    wait_until(lambda: stand.effects() == dict.fromkeys(range(TASKS), 1), within=60, what="they have run")
    stand.wait_empty(60)
    assert [] == list(letters.peek())


def _set(stand: Stand, queue: str, retries: RetryConfig) -> None:
    stand.client.update_queue(
        queue=Queue(name=queue, retry_config=retries), update_mask=FieldMask(paths=["retry_config"])
    )
