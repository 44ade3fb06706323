"""The calls about access policies, through the real client."""

from __future__ import annotations

import pytest
from google.api_core import exceptions as api
from google.iam.v1 import policy_pb2

from tests.unit.emulators.cloud_tasks.bench import LOCATION, QUEUE

NOBODYS = f"{LOCATION}/queues/nobodys"


def test_policies_are_kept(lab):
    """GetIamPolicy: "Returns an empty policy if the resource exists and does not have a policy set"; SetIamPolicy:
    "Replaces any existing policy"."""
    assert not lab.client.get_iam_policy(request={"resource": QUEUE}).bindings
    policy = policy_pb2.Policy(bindings=[policy_pb2.Binding(role="roles/cloudtasks.enqueuer", members=["user:a@b.c"])])
    assert lab.client.set_iam_policy(request={"resource": QUEUE, "policy": policy}).bindings == policy.bindings
    assert lab.client.get_iam_policy(request={"resource": QUEUE}).bindings == policy.bindings
    with pytest.raises(api.NotFound):
        lab.client.get_iam_policy(request={"resource": NOBODYS})
    with pytest.raises(api.NotFound):
        lab.client.set_iam_policy(request={"resource": NOBODYS, "policy": policy})


def test_permissions_are_all_granted(lab):
    """TestIamPermissions: "If the resource does not exist, this will return an empty set of permissions, not a
    NOT_FOUND error"."""
    asked = ["cloudtasks.tasks.create", "cloudtasks.tasks.fullView"]
    granted = lab.client.test_iam_permissions(request={"resource": QUEUE, "permissions": asked})
    assert list(granted.permissions) == asked
    granted = lab.client.test_iam_permissions(request={"resource": NOBODYS, "permissions": asked})
    assert list(granted.permissions) == []
