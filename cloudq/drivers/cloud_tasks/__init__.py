"""Google Cloud Tasks: queues that push over HTTP. Needs the extra `cloudq[cloudtasks]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloudq.drivers.cloud_tasks.driver import CloudTasksDriver as CloudTasksDriver

__all__ = ["CloudTasksDriver"]


def __getattr__(name: str) -> Any:
    # What the service takes is known without its SDK: the command line writes a queue's settings where there is none.
    if name == "CloudTasksDriver":
        from cloudq.drivers.cloud_tasks.driver import CloudTasksDriver

        return CloudTasksDriver
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
