"""Google Cloud Tasks: queues that push over HTTP. Needs the extra `cloudq[cloudtasks]`."""

from cloudq.drivers.cloud_tasks.driver import CloudTasksDriver

__all__ = ["CloudTasksDriver"]
