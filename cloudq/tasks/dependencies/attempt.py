"""One attempt with its dependencies: opened in order, closed in reverse, however the attempt ends.

```
 open a ─ open b ─ the task ─ close b ─ close a ─▶ its result
     └────────┴────────┴─────────┴── failed ─▶ all that is open learns of it, the latest first ─▶ the failure
```

An error in closing after the task has succeeded fails the attempt: a commit may stand behind a `yield`. One after a
failure is logged, and the failure decides: a `DeadLetter` isn't tried again since a rollback failed, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloudq.tasks.context import Context
from cloudq.tasks.dependencies.nodes import Node, Plan
from cloudq.tasks.dependencies.opening import Stack, close_here, close_on_loop, open_here, open_on_loop
from cloudq.tasks.dependencies.process import ProcessValues


def run(plan: Plan, context: Context, process: ProcessValues, call: Callable[[dict[str, object]], Any]) -> Any:
    """Runs a plain task's attempt in this thread.

    Args:
        plan: Its dependencies.
        context: What those that ask for it are given.
        process: The values of the process.
        call: Calls the task's function, with these beside its own arguments.

    Returns:
        What the function returned.

    Raises:
        BaseException: What it failed with; else what a dependency did.
    """
    stack: Stack = []
    try:
        values: dict[Node, object] = {}
        for node in plan.order:
            arguments = node.arguments(values, context)
            values[node] = process.value(node, arguments) if node.per_process else open_here(node, arguments, stack)
        result = call(plan.for_task(values))
        # Within the block: where closing one fails, the others are told of that.
        close_here(stack)
    except BaseException as error:
        close_here(stack, error)
        raise
    return result


async def arun(plan: Plan, context: Context, process: ProcessValues, call: Callable[[dict[str, object]], Any]) -> Any:
    """As `run`, for an async task, without blocking its loop: plain dependencies run in threads."""
    stack: Stack = []
    try:
        values: dict[Node, object] = {}
        for node in plan.order:
            arguments = node.arguments(values, context)
            if node.per_process:
                values[node] = await process.avalue(node, arguments)
            else:
                values[node] = await open_on_loop(node, arguments, stack)
        result = await call(plan.for_task(values))
        await close_on_loop(stack)
    except BaseException as error:
        await close_on_loop(stack, error)
        raise
    return result
