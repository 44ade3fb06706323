"""`cloudq autoscale-config`."""

from __future__ import annotations

import json

import pytest
import yaml

from tests.unit.cli.autoscale.keda_model import check
from tests.unit.cli.autoscale.plans import CLOUD_TASKS, SERVICE_BUS, SQS

IMAGE = ("--image", "registry.example/shop:1")


def test_the_time_limit_is_that_of_the_tasks(cli, shop):
    """The longest of the queue's."""
    result = cli("autoscale-config", "keda", "--queue", "default", *IMAGE, "--app", "shop", "--backend", SQS)
    assert (0, "") == (result.code, result.err)
    found = {document["kind"]: document for document in yaml.safe_load_all(result.out)}
    check(found["ScaledObject"])
    assert 133 == found["Deployment"]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]


def test_a_task_without_a_limit_needs_one(cli, shop):
    """By --time-limit, which then needs no app; jobs are told."""
    arguments = ("autoscale-config", "keda", "--queue", "emails", *IMAGE, "--backend", SQS)
    refused = cli(*arguments, "--app", "shop")
    assert (2, "") == (refused.code, refused.out)
    assert "has no time_limit" in refused.err
    assert "--time-limit 10m" in refused.err
    result = cli(*arguments, "--time-limit", "30m")
    assert 0 == result.code
    found = {document["kind"]: document for document in yaml.safe_load_all(result.out)}
    assert "1" == found["ScaledJob"]["spec"]["triggers"][0]["metadata"]["queueLength"]  # a job a message
    assert "each task has a job of its own" in result.err


def test_a_limit_shorter_than_a_tasks_own_is_refused(cli, shop):
    """A worker that is scaled in would be killed in the middle of it. For tasks that have none it stands."""
    arguments = ("autoscale-config", "keda", "--queue", "default", *IMAGE, "--app", "shop", "--backend", SQS)
    refused = cli(*arguments, "--time-limit", "119s")
    assert (2, "") == (refused.code, refused.out)
    assert "shorter than the time_limit of task 'shop.report'" in refused.err
    assert "--time-limit 120s" in refused.err
    assert 0 == cli(*arguments, "--time-limit", "120s").code


def test_a_queue_that_no_task_declares_is_refused(cli, shop):
    """With the name that may be meant."""
    result = cli("autoscale-config", "keda", "--queue", "defualt", *IMAGE, "--app", "shop", "--backend", SQS)
    assert 2 == result.code
    assert "did you mean 'default'?" in result.err


@pytest.mark.parametrize(
    ("words", "backend", "said"),
    [
        ("keda --time-limit 5s", CLOUD_TASKS, "deprecated"),
        ("containerapps --time-limit 5s", SERVICE_BUS, "az containerapp create"),
        ("containerapps --time-limit 1h --environment /env", SERVICE_BUS, "az containerapp job create"),
        ("cloudrun --time-limit 5s --worker-pool projects/a/locations/b/workerpools/c", SQS, "cloudq-aws-key-id"),
    ],
)
def test_what_is_to_be_known_besides_is_on_stderr(cli, shop, words, backend, said):
    """So that stdout can be applied as it is."""
    result = cli("autoscale-config", *words.split(), "--queue", "emails", *IMAGE, "--backend", backend)
    assert 0 == result.code
    assert list(yaml.safe_load_all(result.out))
    assert said in result.err


def test_a_job_of_container_apps_is_for_one_message(cli, shop):
    """As one of KEDA's is."""
    arguments = ("--queue", "emails", *IMAGE, "--time-limit", "1h", "--backend", SERVICE_BUS)
    found = yaml.safe_load(cli("autoscale-config", "containerapps", *arguments).out)
    scale = found["properties"]["configuration"]["eventTriggerConfig"]["scale"]
    assert "1" == scale["rules"][0]["metadata"]["messageCount"]


def test_cloudformation_is_json(cli, shop):
    """With one worker at least."""
    arguments = ("--queue", "emails", *IMAGE, "--time-limit", "1m", "--backend", SQS)
    found = json.loads(cli("autoscale-config", "cloudwatch", *arguments).out)
    assert 1 == found["Resources"]["ScalableTarget"]["Properties"]["MinCapacity"]


@pytest.mark.parametrize(
    ("platform", "options"),
    [
        ("nomad", ()),
        ("keda", ("--account", "12")),
        ("keda", ("--worker-pool", "x")),
        ("cloudrun", ("--environment", "x")),
        ("cloudrun", ()),
        ("cloudrun", ("--worker-pool", "x")),
        ("keda", ("--name", "A")),
        ("keda", ("--image", "a b")),
        ("keda", ("--min-workers", "30")),
        ("keda", ("--time-limit", "0")),
        ("keda", ("--backend", "sqlite:///q.db")),
        ("cloudwatch", ("--min-workers", "0")),
        ("cloudwatch", ("--time-limit", "10m")),
        ("containerapps", ()),
    ],
)
def test_what_cannot_be_is_2(cli, shop, platform, options):
    """Wrong usage, and what a platform can't do; nothing is written."""
    defaults = {"--image": "a/b:1", "--time-limit": "5s", "--backend": SQS}
    given = dict(zip(options[::2], options[1::2], strict=True))
    words = [word for pair in {**defaults, **given}.items() for word in pair]
    result = cli("autoscale-config", platform, "--queue", "emails", *words)
    assert (2, "") == (result.code, result.out)
