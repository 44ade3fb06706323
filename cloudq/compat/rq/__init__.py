"""RQ's own words over cloudq, so that existing code sends its jobs with one import and one connection changed.

```python
from cloudq.compat.rq import Connection, Queue

redis = Connection("pages")  # the modules whose functions may be jobs
important = Queue("important", connection=redis)
job = important.enqueue("pages.is_page_ok", "http://127.0.0.1:8000/")
```

The worker is `cloudq worker --app MODULE --queue important`, or `Worker` in a script of yours. RQ's modules have
their names here too: `cloudq.compat.rq.decorators` has `job`, `cloudq.compat.rq.job` has `JobStatus`. What RQ can do
and this can't is refused by name.
"""

from __future__ import annotations

from cloudq.compat.rq.connection import Connection
from cloudq.compat.rq.job import Job, cancel_job, get_current_job
from cloudq.compat.rq.queue import Queue
from cloudq.compat.rq.retrying import Retry
from cloudq.compat.rq.words import PACKAGE
from cloudq.compat.rq.worker import SimpleWorker, Worker

__all__ = ["Connection", "Job", "Queue", "Retry", "SimpleWorker", "Worker", "cancel_job", "get_current_job"]


def __getattr__(name: str) -> object:
    """Says what there is in the place of RQ's other names."""
    hint = f"; hint: {PACKAGE.refused[name]}" if name in PACKAGE.refused else ""
    raise AttributeError(f"module {__name__!r} has no {name!r}{hint}")
