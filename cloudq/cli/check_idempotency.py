"""`cloudq check-idempotency`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cloudq.cli.options import Debug, Json
from cloudq.cli.output import write, write_json
from cloudq.cli.parameters import Argument, Option
from cloudq.discovery import load_module
from cloudq.errors import ConfigurationError, kind_of
from cloudq.tasks.task import Task

if TYPE_CHECKING:
    from types import ModuleType

    from cloudq.testing.redelivery import Check, Finding

EXAMPLES = (
    "cloudq check-idempotency shop.checks",
    "cloudq check-idempotency shop.checks:charging --seed 17",
    "cloudq check-idempotency shop.checks:charge --seeds 1000 --json",
)
_HINT = "declare one in it: charging = redelivery.Check(charge.call(order_id=1), state=..., reset=...)"


def check_idempotency(
    target: Annotated[
        str,
        Argument(
            metavar="MODULE[:NAME]",
            help="A check, a task with a check in the same module, or all checks of a module.",
            show_default=False,
        ),
    ],
    *,
    seed: Annotated[
        int | None, Option("--seed", metavar="N", min=0, help="Only this schedule, which a finding named.")
    ] = None,
    seeds: Annotated[int, Option("--seeds", metavar="COUNT", min=1, help="How many schedules to try.")] = 200,
    json: Json = False,
    _debug: Debug = False,
) -> None:
    """Run tasks as at-least-once delivery may, and compare their effects. Exit code 1: a task must not run twice.

    Messages are delivered several times, in another order, beside each other; runs crash between their lines. What to
    send and what the effect is, a cloudq.testing.redelivery.Check in your code declares. It changes the state that the
    check names: give it a database for tests.
    """
    # What the modules and their tasks print isn't this command's data.
    with redirect_stdout(sys.stderr):
        checks = _checks(load_module(target, Path.cwd()), target)
    tried: Sequence[int] = range(seeds) if seed is None else [seed]
    failed = False
    for name, check in checks:
        with redirect_stdout(sys.stderr):
            finding = check.find(tried)
        failed |= finding is not None
        if json:
            write_json({"check": name, "tasks": check.tasks, "tried": len(tried), "found": _described(finding)})
        elif finding is None:
            write(f"{name}: no difference in {len(tried)} {'schedule' if len(tried) == 1 else 'schedules'}")
        else:
            write(f"{name}: {finding}")
    if failed:
        raise SystemExit(1)


def _checks(module: ModuleType, target: str) -> list[tuple[str, Check]]:
    """Those that are meant, by their names.

    Raises:
        ConfigurationError: There are none.
    """
    from cloudq.testing.redelivery import Check

    attribute = target.partition(":")[2]
    named = {f"{module.__name__}:{name}": value for name, value in vars(module).items() if isinstance(value, Check)}
    if not attribute:
        if not named:
            raise ConfigurationError(f"{module.__name__} has no check", hint=_HINT)
        return list(named.items())
    value = getattr(module, attribute, None)
    if isinstance(value, Check):
        return [(target, value)]
    if not isinstance(value, Task):
        what = "the module has nothing of that name" if value is None else f"it is {kind_of(value)}"
        raise ConfigurationError(f"{target} is neither a check nor a task: {what}", hint=_HINT)
    found = [(name, check) for name, check in named.items() if value.name in check.tasks]
    if not found:
        raise ConfigurationError(f"{module.__name__} has no check of the task {value.name!r}", hint=_HINT)
    return found


def _described(finding: Finding | None) -> dict[str, object] | None:
    if finding is None:
        return None
    return {
        "task": finding.task,
        "fault": finding.fault,
        "point": finding.point,
        "seed": finding.seed,
        "steady": finding.is_steady,
        "expected": repr(finding.expected),
        "state": repr(finding.state),
        "events": list(finding.events),
        "dead": list(finding.dead),
    }
