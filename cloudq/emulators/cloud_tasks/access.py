"""The access policies of queues. They are kept and given back; nothing is ever refused for lack of a permission."""

from __future__ import annotations

from typing import Any

from google.iam.v1 import policy_pb2

from cloudq.emulators.cloud_tasks.store import Store


class Policies:
    """Which queue has which policy.

    Args:
        store: Knows which queues there are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        # By name and the queue of that name: one that is created anew starts without.
        self._policies: dict[str, tuple[object, Any]] = {}

    def get(self, resource: str) -> Any:
        """The policy. "Returns an empty policy if the resource exists and does not have a policy set"."""
        queue = self._store.queue(resource)
        owner, policy = self._policies.get(resource, (None, None))
        return policy if policy is not None and owner is queue else policy_pb2.Policy(etag=b"ACAB")

    def set(self, resource: str, policy: Any) -> Any:
        """Replaces the policy."""
        queue = self._store.queue(resource)
        kept = policy_pb2.Policy()
        kept.CopyFrom(policy)
        self._policies[resource] = (queue, kept)
        return kept

    def test(self, resource: str, permissions: Any) -> list[str]:
        """All that are asked about; none where there is no queue: "an empty set of permissions, not a NOT_FOUND"."""
        return list(permissions) if resource in self._store.queues else []
