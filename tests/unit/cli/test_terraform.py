"""`cloudq terraform vars` and `cloudq terraform check`."""

from __future__ import annotations

import io
import json
import sys

import pytest

from tests.unit.cli.test_plan_faults import cloud_tasks, resource, service_bus


def plan(*resources: object) -> str:
    return json.dumps({"planned_values": {"root_module": {"resources": resources}}})


def test_vars(cli, shop):
    """The map of queues is JSON on stdout: a queue for each that the tasks declare."""
    result = cli("terraform", "vars", "--app", "shop", "--cloud", "aws")
    assert (0, "") == (result.code, result.err)
    assert {
        "queues": {
            "default": {"visibility_timeout_seconds": 300, "max_receive_count": 21},
            "emails": {"visibility_timeout_seconds": 120, "max_receive_count": 21},
        }
    } == json.loads(result.out)


def test_cloud_of_the_backend(cli, shop, monkeypatch):
    """Without --cloud the backend's is meant; one that needs no Terraform is refused."""
    assert "sqlite:// needs no Terraform" in cli("terraform", "vars", "--app", "shop").err
    monkeypatch.setenv("CLOUDQ_URL", "servicebus://shop.servicebus.windows.net")
    result = cli("terraform", "vars", "--app", "shop")
    assert {"lock_seconds": 120, "max_delivery_count": 100} == json.loads(result.out)["queues"]["emails"]


def test_google(cli, shop):
    """On Google the concurrency is given, and what a request may take is told on stderr."""
    result = cli("terraform", "vars", "--app", "shop", "--cloud", "google", "--concurrency", "20")
    assert {"max_concurrent_dispatches": 20} == json.loads(result.out)["queues"]["default"]
    assert "let a request to the worker take 600 seconds" in result.err


def test_unfit(cli, shop):
    """A function's time-out can't be known of a task without a time limit: that ends with 2, and nothing on stdout."""
    result = cli("terraform", "vars", "--app", "shop", "--cloud", "aws", "--lambda", "shop")
    assert (2, "") == (result.code, result.out)
    assert "'shop.welcome' has no time_limit" in result.err


@pytest.mark.parametrize(
    ("cloud", "option", "words"),
    [("azure", ("--lambda", "shop"), "--lambda is for"), ("aws", ("--concurrency", "2"), "--concurrency is for")],
)
def test_options_of_another_cloud(cli, shop, cloud, option, words):
    """An option that means nothing there is refused."""
    result = cli("terraform", "vars", "--app", "shop", "--cloud", cloud, *option)
    assert (2, "") == (result.code, result.out)
    assert words in result.err


def test_check_fits(cli, shop):
    """A plan that fits ends with 0, a line a queue; what no task declares is told on stderr."""
    queues = [service_bus(name, sessions=False) for name in ("emails", "default", "old")]
    queues[1]["values"]["lock_duration"] = "PT5M"
    (shop.path / "plan.json").write_text(plan(*queues))
    result = cli("terraform", "check", "plan.json", "--app", "shop")
    assert (0, ["default fits", "emails fits"]) == (result.code, result.out.splitlines())
    assert "no task declares queue 'old' of the plan" in result.err


def test_check_faults(cli, shop, monkeypatch):
    """What doesn't fit is said by queue, and ends with 1; with --json as objects. A plan may come by stdin."""
    queues = [cloud_tasks("prod-emails", None), cloud_tasks("prod-emails-dlq", None)]
    (shop.path / "plan.json").write_text(plan(*queues))
    arguments = ("--app", "shop", "--prefix", "prod-")
    result = cli("terraform", "check", "plan.json", *arguments)
    assert result.code == 1
    assert "default: the plan has no queue 'prod-default'" in result.out
    assert "emails: its dead-letter queue isn't paused" in result.out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(plan(*queues).encode())))
    result = cli("terraform", "check", "-", *arguments, "--json")
    assert result.code == 1
    default, emails = map(json.loads, result.out.splitlines())
    assert ["default", "emails"] == [default["queue"], emails["queue"]]
    assert ["its dead-letter queue isn't paused: it would push dead letters"] == emails["problems"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "plan.json can't be read"),
        ("{", "plan.json is no JSON"),
        ("{}", "this is no plan's JSON"),
        (plan(), "the plan has no queues"),
        (plan(resource("aws_sqs_queue", "a"), service_bus("a", sessions=False)), "queues of aws and azure"),
    ],
)
def test_check_no_plan(cli, shop, text, words):
    """What can't be looked at ends with 2 and says why."""
    if text is not None:
        (shop.path / "plan.json").write_text(text)
    result = cli("terraform", "check", "plan.json", "--app", "shop")
    assert (2, "") == (result.code, result.out)
    assert words in result.err
