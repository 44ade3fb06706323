"""The template for ECS, held against the services' own models, which botocore ships."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import botocore.session
import pytest
from botocore.validate import validate_parameters

from cloudq.cli import worker
from cloudq.cli.autoscale.cloudwatch import LONGEST_TERMINATION, refuse_elsewhere, template
from cloudq.cli.autoscale.plan import Plan
from cloudq.cli.direct import arguments_of
from cloudq.errors import ConfigurationError
from tests.unit.cli.autoscale.plans import CLOUD_TASKS, SERVICE_BUS, SQS, plan

ASKED = plan(SQS, least=1, time_limit=timedelta(seconds=100))


def resolved(value: Any) -> Any:
    """The value with a text in place of each of CloudFormation's functions."""
    if isinstance(value, Mapping):
        if set(value) in ({"Ref"}, {"Fn::Sub"}):
            return "cluster/service"
        return {name: resolved(inner) for name, inner in value.items()}
    return [resolved(inner) for inner in value] if isinstance(value, list) else value


def as_called(value: Any) -> Any:
    """CloudFormation's names of a task definition's parts, as ECS's own API has them."""
    if isinstance(value, Mapping):
        return {name[0].lower() + name[1:]: as_called(inner) for name, inner in value.items()}
    return [as_called(inner) for inner in value] if isinstance(value, list) else value


def validate(service: str, operation: str, parameters: Mapping[str, Any]) -> None:
    """Refuses what the service's model doesn't have, or has in another type."""
    model = botocore.session.get_session().get_service_model(service).operation_model(operation)
    assert model.input_shape is not None
    assert set(parameters) <= set(model.input_shape.members)
    validate_parameters(parameters, model.input_shape)


def properties(name: str, asked: Plan = ASKED) -> Any:
    resources: Any = template(asked)["Resources"]
    return resources[name]["Properties"]


def test_the_parts_are_what_the_services_take() -> None:
    """Names, types and what has to be there."""
    validate("ecs", "RegisterTaskDefinition", as_called(resolved(properties("TaskDefinition"))))
    target = resolved(properties("ScalableTarget"))
    validate("application-autoscaling", "RegisterScalableTarget", target)
    policy = resolved(properties("BacklogPolicy"))
    assert "cluster/service" == policy.pop("ScalingTargetId")  # CloudFormation's way to say the next three
    names = {name: target[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
    validate("application-autoscaling", "PutScalingPolicy", {**policy, **names})


def test_what_runs_counts_for_the_backlog() -> None:
    """One metric is given back, by an expression over the others."""
    policy = properties("BacklogPolicy")["TargetTrackingScalingPolicyConfiguration"]
    metrics = {one["Id"]: one for one in policy["CustomizedMetricSpecification"]["Metrics"]}
    assert "(waiting + running) / workers" == metrics["backlog"]["Expression"]
    assert ["backlog"] == [name for name, one in metrics.items() if one["ReturnData"]]
    names = {name: one["MetricStat"]["Metric"]["MetricName"] for name, one in metrics.items() if name != "backlog"}
    assert {
        "waiting": "ApproximateNumberOfMessagesVisible",
        "running": "ApproximateNumberOfMessagesNotVisible",
        "workers": "RunningTaskCount",
    } == names
    assert [{"Name": "QueueName", "Value": "prod-emails"}] == metrics["running"]["MetricStat"]["Metric"]["Dimensions"]
    assert 20 == policy["TargetValue"]


def test_what_it_refers_to_is_there() -> None:
    """Parameters and resources alike."""
    whole: Any = template(ASKED)
    known = {*whole["Parameters"], *whole["Resources"]}

    def names(value: Any) -> set[str]:
        if isinstance(value, Mapping):
            own = {value["Ref"]} if "Ref" in value else set()
            return own.union(*map(names, value.values()))
        return set().union(*map(names, value)) if isinstance(value, list) else set()

    assert names(whole) <= known
    assert {"Cluster", "Service"} <= known  # by Fn::Sub


def test_a_task_that_is_scaled_in_has_time_to_end() -> None:
    """ECS waits longer than the worker lets its tasks run."""
    (container,) = properties("TaskDefinition")["ContainerDefinitions"]
    given = arguments_of(worker.worker, container["Command"][2:])
    assert given is not None
    assert 110 <= int(given["grace"]) < container["StopTimeout"] <= LONGEST_TERMINATION
    refuse_elsewhere(ASKED)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (plan(SERVICE_BUS, least=1), "no counts of servicebus"),
        (plan(CLOUD_TASKS, least=1), "no counts of cloudtasks"),
        (plan("sqs://", least=1), "names no region"),
        (plan(SQS, least=0, time_limit=timedelta(seconds=1)), "nothing that the backlog could be divided by"),
        (plan(SQS, least=1, time_limit=timedelta(seconds=108)), "kills 120 s after SIGTERM"),
    ],
)
def test_what_ecs_cannot_do_is_refused(asked: Plan, words: str) -> None:
    """With what to do instead."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        refuse_elsewhere(asked)
    assert caught.value.hint
