"""RQ's own words over cloudq, so that existing code sends its jobs with one import and one connection changed.

```python
from cloudq.compat.rq import Connection, Queue

redis = Connection("pages")  # the modules whose functions may be jobs
important = Queue("important", connection=redis)
job = important.enqueue("pages.is_page_ok", "http://127.0.0.1:8000/")
```

The worker is `cloudq worker --app MODULE --queue important`. What RQ can do and this can't is refused by name.
"""

from __future__ import annotations

from typing import Final

from cloudq.compat.rq.connection import Connection
from cloudq.compat.rq.job import Job
from cloudq.compat.rq.queue import Queue
from cloudq.compat.rq.retrying import Retry

__all__ = ["Connection", "Job", "Queue", "Retry"]

_ELSEWHERE: Final = {
    "Callback": "send the next task at the end of the first one; dead ones are given to @connection.on_dead",
    "Dependency": "send the next task at the end of the first one",
    "Repeat": "have the task send itself again with a delay",
    "SimpleWorker": "cloudq worker --app MODULE --queue NAME",
    "Worker": "cloudq worker --app MODULE --queue NAME",
    "get_current_job": "cloudq.current()",
    "job": "@connection.task(queue=...), and the function's own .send(...)",
}


def __getattr__(name: str) -> object:
    """Says what there is in the place of RQ's other names."""
    hint = f"; hint: {_ELSEWHERE[name]}" if name in _ELSEWHERE else ""
    raise AttributeError(f"module {__name__!r} has no {name!r}{hint}")
