"""The batch calls and their long-running operations, through the real client."""

from __future__ import annotations

from datetime import timedelta

import pytest
from google.api_core import exceptions as api
from google.api_core import operation as api_operation
from google.longrunning import operations_pb2

from cloudq.emulators.cloud_tasks import Settings
from tests.unit.emulators.cloud_tasks.bench import LOCATION, QUEUE, bench


def create(lab, *task_ids: str, request_id: str = "", **fields) -> api_operation.Operation:
    """A batch of tasks for later."""
    later = {"schedule_time": lab.clock.now() + timedelta(days=1), **fields}
    requests = [{"parent": QUEUE, "task": lab.task(task_id, **later)} for task_id in task_ids]
    return lab.client.batch_create_tasks(request={"parent": QUEUE, "requests": requests, "request_id": request_id})


def names(lab) -> set[str]:
    return {task.name.rpartition("/")[2] for task in lab.client.list_tasks(parent=QUEUE)}


def test_a_batch_is_created(lab):
    """BatchCreateTasksResponse: "The tasks that were successfully created"; its operation is done, its metadata
    SUCCEEDED (2)."""
    made = create(lab, "a", "b")
    assert [task.name.rpartition("/")[2] for task in made.result().tasks] == ["a", "b"]
    assert made.metadata.state == made.metadata.State.SUCCEEDED
    assert made.metadata.end_time == lab.clock.now()
    assert made.operation.name.startswith(f"{LOCATION}/operations/")
    assert names(lab) == {"a", "b"}


def test_some_of_a_batch_may_fail(lab):
    """BatchCreateTasksMetadata.failed_requests: "A map of failed requests, where the key is the index of the request
    in BatchCreateTasksRequest.requests and the value is the error status"; PARTIALLY_SUCCEEDED: "The batch create has
    finished with partial success"."""
    create(lab, "a")
    made = create(lab, "b", "a", "c")
    assert [task.name.rpartition("/")[2] for task in made.result().tasks] == ["b", "c"]
    assert made.metadata.state == made.metadata.State.PARTIALLY_SUCCEEDED
    assert {key: value.code for key, value in made.metadata.failed_requests.items()} == {1: 6}
    assert names(lab) == {"a", "b", "c"}


def test_all_of_a_batch_may_fail(lab):
    """BatchDeleteTasksMetadata: "When all requests in the batch fail, google.longrunning.Operation.error will be set
    with code = google.rpc.Code.ABORTED and message = "None of the requests succeeded, refer to
    BatchDeleteTasksMetadata.failed_requests for individual error details""."""
    missing = [f"{QUEUE}/tasks/{task_id}" for task_id in "ab"]
    gone = lab.client.batch_delete_tasks(request={"parent": QUEUE, "names": missing})
    with pytest.raises(api.Aborted) as raised:
        gone.result()
    assert raised.value.message == (
        "None of the requests succeeded, refer to BatchDeleteTasksMetadata.failed_requests for individual error details"
    )
    assert {0, 1} == set(gone.metadata.failed_requests)


def test_a_batch_is_deleted(lab):
    """BatchDeleteTasks: "This is a non-atomic operation: if deletion fails for some tasks, it can still succeed for
    others"."""
    create(lab, "a", "b", "c")
    doomed = [f"{QUEUE}/tasks/{task_id}" for task_id in ("a", "nobody", "c")]
    gone = lab.client.batch_delete_tasks(request={"parent": QUEUE, "names": doomed})
    gone.result()
    assert {key: value.code for key, value in gone.metadata.failed_requests.items()} == {1: 5}
    assert names(lab) == {"b"}


def test_the_bounds_of_batches(lab):
    """BatchCreateTasks: "A maximum of 100 tasks can be created in a single batch"; BatchDeleteTasksRequest.names: "A
    maximum of 1000 tasks can be deleted in a batch"; BatchCreateTasksRequest: "The queue specified in parent field of
    each CreateTaskRequest will be the same"."""
    create(lab, *[""] * 100)
    with pytest.raises(api.InvalidArgument, match="maximum number of requests is 100"):
        create(lab, *[""] * 101)
    with pytest.raises(api.InvalidArgument, match="maximum number of names is 1000"):
        lab.client.batch_delete_tasks(request={"parent": QUEUE, "names": [f"{QUEUE}/tasks/a"] * 1001})
    other = {"parent": f"{QUEUE}-other", "task": lab.task()}
    with pytest.raises(api.InvalidArgument, match="must be the same as the parent of the batch"):
        lab.client.batch_create_tasks(request={"parent": QUEUE, "requests": [other]})
    with pytest.raises(api.InvalidArgument, match="must be in the queue"):
        lab.client.batch_delete_tasks(request={"parent": QUEUE, "names": [f"{QUEUE}-other/tasks/a"]})
    with pytest.raises(api.NotFound, match="Queue does not exist"):
        lab.client.batch_delete_tasks(request={"parent": f"{LOCATION}/queues/nobodys", "names": []})
    assert len(names(lab)) == 100


def test_a_request_id_makes_a_repeated_call_one(lab):
    """BatchCreateTasksRequest.request_id: "This field will be used to identify the long running operation, avoiding
    duplication when user retries"."""
    first = create(lab, "", "", request_id="once")
    again = create(lab, "", "", request_id="once")
    assert again.operation == first.operation
    assert len(names(lab)) == 2
    create(lab, "", request_id="twice")
    create(lab, "")
    create(lab, "")
    assert len(names(lab)) == 5
    doomed = {"parent": QUEUE, "names": [first.result().tasks[0].name], "request_id": "gone"}
    assert (
        lab.client.batch_delete_tasks(request=doomed).operation
        == lab.client.batch_delete_tasks(request=doomed).operation
    )


def test_operations_can_be_pending():
    """BatchDeleteTasksMetadata.State: "RUNNING: The batch delete is running"; google.longrunning: `GetOperation`
    tells when it's done."""
    with bench(Settings(pending_polls=2)) as lab:
        lab.queue()
        made = create(lab, "a", "")
        assert not made.operation.done
        assert made.metadata.state == made.metadata.State.RUNNING
        client = lab.client.transport.operations_client
        polled = [client.get_operation(made.operation.name).done for _ in range(3)]
        assert polled == [False, False, True]
        assert len(made.result().tasks) == 2
        [listed] = client.list_operations(LOCATION, "")
        assert listed.done
        client.cancel_operation(made.operation.name)
        client.delete_operation(made.operation.name)
        with pytest.raises(api.NotFound):
            client.get_operation(made.operation.name)


def test_a_batch_fills_a_window_of_operations(lab):
    """The newest thousand operations are remembered."""
    first = create(lab, "")
    for _ in range(1_000):
        lab.client.batch_delete_tasks(request={"parent": QUEUE, "names": []})
    with pytest.raises(api.NotFound):
        lab.client.transport.operations_client.get_operation(first.operation.name)


def test_get_operation_needs_a_name_it_knows(lab):
    """An operation that never was isn't found."""
    with pytest.raises(api.NotFound):
        lab.client.get_operation(operations_pb2.GetOperationRequest(name="operations/1"))
