"""`Tasks`: an app's tasks by their names."""

from __future__ import annotations

from cloudq.compat.celery.exceptions import NotRegistered
from cloudq.compat.celery.task import Task
from cloudq.errors import nearest


class Tasks(dict[str, Task]):
    """Of a name that isn't there it says so in Celery's words."""

    def __missing__(self, name: str) -> Task:
        raise NotRegistered(f"{name}: {nearest(name, self)}")
