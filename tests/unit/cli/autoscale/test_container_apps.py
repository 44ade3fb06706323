"""What Azure Container Apps takes, read back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import jsonschema
import pytest
import yaml

from cloudq.cli import worker
from cloudq.cli.autoscale.container_apps import LONGEST_TERMINATION, needs_jobs, refuse_elsewhere, resource
from cloudq.cli.autoscale.plan import Plan
from cloudq.cli.autoscale.triggers import trigger
from cloudq.cli.autoscale.yaml_text import yaml_of
from cloudq.cli.direct import arguments_of
from cloudq.errors import ConfigurationError
from tests.unit.cli.autoscale.keda_model import COUNT, check_metadata, exactly
from tests.unit.cli.autoscale.plans import CLOUD_TASKS, SERVICE_BUS, SQS, plan

# The names and types of azure-mgmt-appcontainers 5.1.0 (ContainerApp, Job and what they hold), as far as we write them.
TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
PROBE: Final = exactly(
    ("type", "httpGet"),
    type={"enum": ["Liveness", "Readiness", "Startup"]},
    httpGet=exactly(("port",), path={"type": "string"}, port=COUNT),
    periodSeconds=COUNT,
    failureThreshold=COUNT,
)
CONTAINER: Final = exactly(
    ("name", "image"),
    name={"type": "string"},
    image={"type": "string"},
    args={"type": "array", "items": {"type": "string"}},
    env={"type": "array", "items": exactly(("name",), name={"type": "string"}, value={"type": "string"})},
    resources=exactly(cpu={"type": "number"}, memory={"type": "string"}),
    probes={"type": "array", "items": PROBE},
)
CONTAINERS: Final = {"type": "array", "items": CONTAINER}
APP: Final = exactly(
    environmentId={"type": "string"},
    configuration=exactly(activeRevisionsMode={"enum": ["Single", "Multiple"]}),
    template=exactly(
        terminationGracePeriodSeconds={"type": "integer", "minimum": 0, "maximum": LONGEST_TERMINATION},
        containers=CONTAINERS,
        scale=exactly(
            minReplicas=COUNT,
            maxReplicas={"type": "integer", "minimum": 1, "maximum": 1000},
            pollingInterval=COUNT,
            cooldownPeriod=COUNT,
            rules={
                "type": "array",
                "items": exactly(
                    name={"type": "string"},
                    custom=exactly(type={"type": "string"}, metadata=TEXTS, identity={"type": "string"}),
                ),
            },
        ),
    ),
)
JOB: Final = exactly(
    environmentId={"type": "string"},
    configuration=exactly(
        ("triggerType", "replicaTimeout"),
        triggerType={"enum": ["Schedule", "Event", "Manual"]},
        replicaTimeout=COUNT,
        replicaRetryLimit=COUNT,
        eventTriggerConfig=exactly(
            replicaCompletionCount=COUNT,
            parallelism=COUNT,
            scale=exactly(
                pollingInterval=COUNT,
                minExecutions=COUNT,
                maxExecutions=COUNT,
                rules={
                    "type": "array",
                    "items": exactly(
                        name={"type": "string"}, type={"type": "string"}, metadata=TEXTS, identity={"type": "string"}
                    ),
                },
            ),
        ),
    ),
    template=exactly(containers=CONTAINERS),
)


def made(asked: Plan, environment: str | None = None) -> Any:
    """The resource, as `az` reads it."""
    refuse_elsewhere(asked)
    (document,) = yaml.safe_load_all(yaml_of([resource(asked, trigger(asked, account=None), environment)]))
    schema = JOB if needs_jobs(asked) else APP
    jsonschema.validate(document, exactly(identity=exactly(type={"const": "SystemAssigned"}), properties=schema))
    return document["properties"]


@pytest.mark.parametrize("limit", [1, 60, 587])
def test_a_replica_that_is_scaled_in_has_time_to_end(limit: int) -> None:
    """What runs is counted, and has its limit and a grace."""
    found = made(plan(SERVICE_BUS, time_limit=timedelta(seconds=limit)), "/subscriptions/1/env")
    assert "/subscriptions/1/env" == found["environmentId"]
    template = found["template"]
    given = arguments_of(worker.worker, template["containers"][0]["args"][2:])
    assert given is not None
    assert limit + 10 <= int(given["grace"]) < template["terminationGracePeriodSeconds"]
    custom = template["scale"]["rules"][0]["custom"]
    check_metadata(custom["type"], custom["metadata"])
    assert "environmentId" not in made(plan(SERVICE_BUS))


def test_what_takes_longer_has_a_job() -> None:
    """That takes one message, and isn't ended before the message's task could be."""
    asked = plan(SERVICE_BUS, time_limit=timedelta(seconds=588))
    configuration = made(asked)["configuration"]
    assert configuration["replicaTimeout"] >= 588 + 10 + 60
    rule = configuration["eventTriggerConfig"]["scale"]["rules"][0]
    check_metadata(rule["type"], rule["metadata"])
    given = arguments_of(worker.worker, made(asked)["template"]["containers"][0]["args"][2:])
    assert given is not None
    assert (True, 1, 1, 0) == tuple(given[name] for name in ("burst", "max_tasks", "concurrency", "prefetch"))


@pytest.mark.parametrize("asked", [plan(SQS), plan(CLOUD_TASKS), plan("sqlite:///q.db"), plan(SERVICE_BUS, most=1001)])
def test_what_container_apps_cannot_do_is_refused(asked: Plan) -> None:
    """With what to do instead."""
    with pytest.raises(ConfigurationError) as caught:
        refuse_elsewhere(asked)
    assert caught.value.hint
