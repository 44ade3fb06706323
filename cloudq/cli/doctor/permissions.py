"""What who runs this may do with the queues: asked without doing it."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from cloudq.cli.doctor.fault import Finding, Unchecked
from cloudq.cli.doctor.queue_law import Looked
from cloudq.core.driver import Driver, PermissionProber
from cloudq.errors import BackendError


def missing_permissions(driver: Driver, looked: Looked, *, works: bool) -> Iterator[Finding | Unchecked]:
    """Each permission that is missing for a queue that is there."""
    if looked.settings is None or not isinstance(driver, PermissionProber):
        return
    try:
        missing = driver.missing_permissions(looked.queue, works=works)
    except BackendError as error:
        yield Unchecked(what=f"the permissions for queue {looked.queue!r}", why=error.message)
        return
    for one in missing:
        permission, _, queue = one.rpartition(" on ")
        words = f"{permission} is denied on {queue}"
        yield replace(looked, native=queue).found("permission-missing", words, permission)
