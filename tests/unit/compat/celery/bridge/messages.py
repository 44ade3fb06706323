"""Celery's messages, written as kombu writes them; the tests with real Celery are in `tests/chaos/celery_bridge`."""

from __future__ import annotations

import base64
import json
from typing import Any

EMBEDDED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def body_of(args: list[Any], kwargs: dict[str, Any] | None = None, **embedded: object) -> bytes:
    return json.dumps([args, kwargs or {}, {**EMBEDDED, **embedded}]).encode()


def written(
    args: list[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    *,
    task: str | None = "shop.add",
    id_: str | None = "11111111-2222-3333-4444-555555555555",
    tag: object = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    body: bytes | None = None,
    content_type: str = "application/json",
    encoding: str = "base64",
    headers: dict[str, Any] | None = None,
    group: object = None,
    **embedded: object,
) -> bytes:
    """What stands in a list of Redis; SQS has the base64 of it."""
    made = body_of([1, 2] if args is None else args, kwargs, **embedded) if body is None else body
    text = base64.b64encode(made).decode() if encoding == "base64" else made.decode()
    said = {"lang": "py", "task": task, "id": id_, "eta": None, "expires": None, "group": None, "retries": 0}
    said |= {"timelimit": [None, None], "origin": "gen1@host", "argsrepr": "(1, 2)", "shadow": None, **(headers or {})}
    return json.dumps(
        {
            "body": text,
            "content-encoding": "utf-8",
            "content-type": content_type,
            "headers": {name: value for name, value in said.items() if not (name == "task" and value is None)},
            "properties": {
                "correlation_id": id_,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "celery"},
                "priority": 0,
                "body_encoding": encoding,
                "delivery_tag": tag,
                **({} if group is None else {"MessageGroupId": group}),
            },
        }
    ).encode()
