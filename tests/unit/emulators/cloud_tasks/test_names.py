"""Names of locations, queues and tasks."""

from __future__ import annotations

import pytest

from cloudq.emulators.cloud_tasks import names
from cloudq.emulators.cloud_tasks.problems import Problem
from tests.unit.emulators.cloud_tasks.bench import LOCATION, QUEUE


@pytest.mark.parametrize("project", ["shop", "domain.com:shop", "my-shop-1"])
def test_projects(project):
    """Task.name: "PROJECT_ID can contain letters ([A-Za-z]), numbers ([0-9]), hyphens (-), colons (:), or periods
    (.)"."""
    names.check_queue(f"projects/{project}/locations/l/queues/q")


@pytest.mark.parametrize("queue_id", ["", "a_b", "a.b", "ä", "a" * 101, "a/b", "a\n"])
def test_wrong_queue_ids(queue_id):
    """Queue.name: "QUEUE_ID can contain letters ([A-Za-z]), numbers ([0-9]), or hyphens (-). The maximum length is 100
    characters"."""
    names.check_queue(f"{LOCATION}/queues/{'a' * 100}")
    with pytest.raises(Problem, match="Queue name must be formatted"):
        names.check_queue(f"{LOCATION}/queues/{queue_id}")


@pytest.mark.parametrize("task_id", ["", "a.b", "ä", "a" * 501, "a b", "a\n"])
def test_wrong_task_ids(task_id):
    """Task.name: "TASK_ID can contain only letters ([A-Za-z]), numbers ([0-9]), hyphens (-), or underscores (_). The
    maximum length is 500 characters"."""
    names.check_task(f"{QUEUE}/tasks/{'a_-' * 166}")
    with pytest.raises(Problem) as raised:
        names.check_task(f"{QUEUE}/tasks/{task_id}")
    assert raised.value.code == "INVALID_ARGUMENT"
    assert raised.value.message.startswith(f'Task ID "{task_id}" can contain only letters')
    assert raised.value.help is not None


def test_names_that_are_none():
    """What isn't built like a name is refused as a whole."""
    for text in ("", "x", f"{LOCATION}/tasks/x", f"{QUEUE}/task/x"):
        with pytest.raises(Problem, match="Task name must be formatted"):
            names.check_task(text)
    with pytest.raises(Problem, match="Invalid resource field"):
        names.check_location("projects/p")


def test_new_names():
    """CreateTaskRequest.task: "If a name is not specified then the system will generate a random unique task id"."""
    made = {names.new_task(QUEUE) for _ in range(100)}
    assert len(made) == 100
    for name in made:
        names.check_new_task(name, QUEUE)
