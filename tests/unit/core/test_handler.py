"""What the Processor asks of a task: the library's own definitions answer all of it."""

from __future__ import annotations

import inspect

from cloudq.core.handler import Handler, Job
from cloudq.tasks.definition import Definition, TaskJob


def test_a_declared_task_and_its_run_have_every_member() -> None:
    """Each name that the two protocols ask for."""
    for protocol, made in ((Handler, Definition), (Job, TaskJob)):
        asked = {name for name, _ in inspect.getmembers(protocol) if not name.startswith("_")}
        assert asked
        source = inspect.getsource(made)
        assert [] == [name for name in sorted(asked) if not hasattr(made, name) and f"self.{name}" not in source]
