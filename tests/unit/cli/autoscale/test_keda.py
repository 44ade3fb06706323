"""KEDA's manifests, read back and held against a model of what KEDA takes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import yaml

from cloudq.cli import worker
from cloudq.cli.autoscale.keda import LONGEST_TERMINATION, manifests, needs_jobs
from cloudq.cli.autoscale.plan import Plan
from cloudq.cli.autoscale.triggers import trigger
from cloudq.cli.autoscale.yaml_text import yaml_of
from cloudq.cli.direct import arguments_of
from cloudq.errors import ConfigurationError
from tests.unit.cli.autoscale.keda_model import check
from tests.unit.cli.autoscale.plans import CLOUD_TASKS, SERVICE_BUS, SQS, plan

LONG = timedelta(minutes=30)


def made(asked: Plan) -> Mapping[str, Any]:
    """The manifests by their kinds, as `kubectl` reads them."""
    documents = list(yaml.safe_load_all(yaml_of(manifests(asked, trigger(asked, account=None)))))
    for document in documents:
        assert asked.name == document["metadata"]["name"]
        if document["apiVersion"].startswith("keda.sh"):
            check(document)
    return {document["kind"]: document for document in documents}


@pytest.mark.parametrize("url", [SQS, SERVICE_BUS, CLOUD_TASKS])
@pytest.mark.parametrize("limit", [1, 60, 500])
def test_a_pod_that_is_scaled_in_has_time_to_end(url: str, limit: int) -> None:
    """The platform waits longer than a task may take and the worker lets it run; what runs is counted."""
    asked = plan(url, time_limit=timedelta(seconds=limit))
    found = made(asked)
    assert {"ServiceAccount", "Deployment", "TriggerAuthentication", "ScaledObject"} == set(found)
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    given = arguments_of(worker.worker, container["args"][2:])
    assert given is not None
    assert limit + 10 <= int(given["grace"]) < pod["terminationGracePeriodSeconds"] <= LONGEST_TERMINATION
    scaled = found["ScaledObject"]["spec"]
    assert "worker-emails" == scaled["scaleTargetRef"]["name"]
    assert {"name": "worker-emails"} == scaled["triggers"][0]["authenticationRef"]
    assert {"name": "CLOUDQ_URL", "value": url} == container["env"][0]
    assert found["ServiceAccount"]["metadata"]["name"] == pod["serviceAccountName"]


@pytest.mark.parametrize("url", [SQS, SERVICE_BUS])
def test_what_takes_longer_than_a_node_waits_has_a_job(url: str) -> None:
    """A job takes one message, nothing scales it in, its node isn't taken back, and a new version leaves it running."""
    asked = plan(url, time_limit=LONG)
    assert needs_jobs(asked)
    found = made(asked)
    assert {"ServiceAccount", "TriggerAuthentication", "ScaledJob"} == set(found)
    spec = found["ScaledJob"]["spec"]
    assert ({"strategy": "gradual"}, {"strategy": "default"}) == (spec["rollout"], spec["scalingStrategy"])
    template = spec["jobTargetRef"]["template"]
    assert {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"} == template["metadata"]["annotations"]
    pod = template["spec"]
    assert ("Never", 1813) == (pod["restartPolicy"], pod["terminationGracePeriodSeconds"])
    given = arguments_of(worker.worker, pod["containers"][0]["args"][2:])
    assert given is not None
    assert (True, 1, 1, 0) == tuple(given[name] for name in ("burst", "max_tasks", "concurrency", "prefetch"))


def test_the_bound_is_what_a_node_waits() -> None:
    """One second more, and there are jobs."""
    fits = timedelta(seconds=LONGEST_TERMINATION - 13)
    assert not needs_jobs(plan(time_limit=fits))
    assert needs_jobs(plan(time_limit=fits + timedelta(seconds=1)))


def test_a_worker_that_is_pushed_to_is_there() -> None:
    """From zero nobody could be pushed to; and it serves pushes."""
    found = made(plan(CLOUD_TASKS))
    assert 1 == found["ScaledObject"]["spec"]["minReplicaCount"]
    assert [{"containerPort": 8080}] == found["Deployment"]["spec"]["template"]["spec"]["containers"][0]["ports"]
    with pytest.raises(ConfigurationError, match="can't push to a job"):
        needs_jobs(plan(CLOUD_TASKS, time_limit=timedelta(minutes=25)))


def test_pods_on_azure_have_the_workload_identity() -> None:
    """The label by which its webhook knows them."""
    pod = made(plan(SERVICE_BUS))["Deployment"]["spec"]["template"]
    assert "true" == pod["metadata"]["labels"]["azure.workload.identity/use"]


def test_a_job_takes_one_message_and_leaves_the_others(cli, writer, monkeypatch) -> None:
    """As its command says: the others are another job's."""
    for number in range(3):
        cli("send", "--app", "writer", "writer.write", f'{{"name": "{number}"}}')
    command = made(plan(time_limit=LONG))["ScaledJob"]["spec"]["jobTargetRef"]["template"]["spec"]["containers"][0][
        "args"
    ]
    assert 0 == cli(*command[1:], "--app", "writer").code
    assert ["emails", "2", "0", "0"] == cli("stats", "--queue", "emails").out.splitlines()[1].split()[:4]
    assert 1 == sum((writer.path / str(number)).exists() for number in range(3))
