"""`cloudq tasks`."""

from __future__ import annotations

import json


def test_list(cli, shop):
    """A line a task: name, queues, parameters as declared without the Context, whether async, keys, aliases."""
    result = cli("tasks", "--app", "shop")
    assert (0, "") == (result.code, result.err)
    assert ["task", "queues", "parameters", "async", "keys", "aliases"] == result.out.splitlines()[0].split()
    report, welcome = result.out.splitlines()[1:]
    assert ["shop.report", "default", "rows: 'list[int]'", "yes", "-", "-"] == columns(report) or (
        ["shop.report", "default", "rows: list[int]", "yes", "-", "-"] == columns(report)
    )
    assert ["shop.welcome", "emails"] == columns(welcome)[:2]
    assert "user_id: int, since: str = 'today'" in welcome
    assert "context" not in welcome
    assert columns(welcome)[-2:] == ["idempotency: welcome-{user_id}", "shop.hello"]


def test_json(cli, shop):
    """A program gets an object a task, a line each."""
    result = cli("tasks", "--app", "shop:app", "--json")
    report, welcome = map(json.loads, result.out.splitlines())
    assert (["rows"], True, 300.0, 120.0) == (
        report["parameters"],
        report["async"],
        report["lease_seconds"],
        report["time_limit_seconds"],
    )
    assert {
        "name": "shop.welcome",
        "queue": "emails",
        "queues": ["emails"],
        "parameters": ["user_id", "since"],
        "signature": "user_id: int, since: str = 'today'",
        "async": False,
        "context": True,
        "keys": {"idempotency_key": "welcome-{user_id}"},
        "lease_seconds": None,
        "time_limit_seconds": None,
        "aliases": ["shop.hello"],
    } == {name: value for name, value in welcome.items() if name != "declared_at"}
    assert str(shop.path / "shop.py") in welcome["declared_at"]


def test_without_an_app(cli):
    """Without an app it ends with 2 and says what was tried."""
    result = cli("tasks")
    assert (2, "") == (result.code, result.out)
    assert "--app, CLOUDQ_APP, [tool.cloudq] app in pyproject.toml, app.py and tasks.py" in result.err
    assert "hint: " in result.err
    assert "cloudq explain configuration" in result.err


def columns(line: str) -> list[str]:
    return [part.strip() for part in line.split("  ") if part.strip()]
