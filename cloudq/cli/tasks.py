"""`cloudq tasks`."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from cloudq.cli.choosing import tasks_app
from cloudq.cli.options import AppSpec, Debug, Json
from cloudq.cli.output import table, write_json
from cloudq.tasks.definition import Definition

EXAMPLES = ("cloudq tasks", "cloudq tasks --app shop.tasks:app", "cloudq tasks --json")


def tasks(*, app: AppSpec = None, json: Json = False, _debug: Debug = False) -> None:
    """List the tasks that the app declares: name, queues, parameters, keys, aliases."""
    with tasks_app(app, None) as chosen:
        found = chosen.app
        described = [_described(found.runtime.handlers[name]) for name in sorted(found.tasks)]
    if json:
        for task in described:
            write_json(task)
        return
    columns = ("task", "queues", "parameters", "async", "keys", "aliases")
    rows = [(t["name"], t["queues"], t["signature"], t["async"], _keys(t["keys"]), t["aliases"]) for t in described]
    table(columns, rows)


def _described(definition: Definition) -> dict[str, object]:
    parameters = definition.parameters
    return {
        "name": definition.name,
        "queue": definition.queue,
        "queues": list(definition.queues),
        "parameters": parameters.names,
        "signature": _signature(definition),
        "async": definition.is_async,
        "context": parameters.takes_context,
        "keys": {
            option: key if isinstance(key, str) else getattr(key, "__qualname__", repr(key))
            for option, key in definition.keys.items()
        },
        "lease_seconds": definition.lease.total_seconds() if definition.lease else None,
        "time_limit_seconds": definition.time_limit.total_seconds() if definition.time_limit else None,
        "aliases": list(definition.aliases),
        "declared_at": definition.place,
    }


def _signature(definition: Definition) -> str:
    """The parameters as declared, without the Context, which callers don't see."""
    parameters = list(inspect.signature(definition.function).parameters.values())
    if definition.parameters.takes_context:
        parameters = parameters[1:]
    return str(inspect.Signature(parameters))[1:-1]


def _keys(keys: object) -> str | None:
    if not isinstance(keys, Mapping) or not keys:
        return None
    return ", ".join(f"{option.removesuffix('_key')}: {key}" for option, key in keys.items())
