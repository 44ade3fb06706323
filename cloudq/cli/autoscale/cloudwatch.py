"""CloudWatch: a CloudFormation template by which Application Auto Scaling keeps the backlog of an ECS service's tasks.

By "Create a target tracking scaling policy using metric math" of Application Auto Scaling's user guide, and the API
references of both services (2026-11).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cloudq.cli.autoscale.plan import HEALTH_PORT, Plan, required_host
from cloudq.errors import ConfigurationError

LONGEST_TERMINATION: Final = 120
"""In seconds: the most of `stopTimeout` on Fargate (Amazon ECS API Reference, ContainerDefinition, 2026-11)."""

_SCALE_OUT_PAUSE: Final = 60
_SCALE_IN_PAUSE: Final = 300

Template = Mapping[str, object]


def refuse_elsewhere(plan: Plan) -> None:
    """Refuses what Application Auto Scaling can't scale, or ECS would kill.

    Raises:
        ConfigurationError: The queue isn't on SQS, there may be no task, or one needs longer to end than ECS waits.
    """
    if plan.backend.scheme != "sqs":
        raise ConfigurationError(
            f"CloudWatch has no counts of {plan.backend.scheme}://", hint="autoscale-config keda, or containerapps"
        )
    required_host(plan)
    if plan.least < 1:
        raise ConfigurationError(
            "with no task there is nothing that the backlog could be divided by, so ECS would never start one",
            hint="--min-workers 1",
        )
    if plan.termination > LONGEST_TERMINATION:
        raise ConfigurationError(
            f"Fargate kills {LONGEST_TERMINATION} s after SIGTERM, and a worker needs {plan.termination} s to end",
            hint="shorter tasks, by time_limit=; or autoscale-config keda, which makes jobs of long ones",
        )


def template(plan: Plan) -> Template:
    """What `aws cloudformation deploy` takes: the task's definition, and how many of it the service is to run.

    Args:
        plan: The workers.
    """
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"Workers of queue {plan.native_queue}, scaled by their backlog. The cluster needs Container "
        "Insights, and the service this task definition.",
        "Parameters": {
            name: {"Type": "String", "Description": what}
            for name, what in (
                ("Cluster", "The name of the ECS cluster"),
                ("Service", "The name of the ECS service"),
                ("TaskRoleArn", "The role that may work on the queue"),
                ("ExecutionRoleArn", "The role that may pull the image"),
            )
        },
        "Resources": {
            "TaskDefinition": {"Type": "AWS::ECS::TaskDefinition", "Properties": _task_definition(plan)},
            "ScalableTarget": {
                "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
                "Properties": {
                    "ServiceNamespace": "ecs",
                    "ScalableDimension": "ecs:service:DesiredCount",
                    "ResourceId": {"Fn::Sub": "service/${Cluster}/${Service}"},
                    "MinCapacity": plan.least,
                    "MaxCapacity": plan.most,
                },
            },
            "BacklogPolicy": {
                "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
                "Properties": {
                    "PolicyName": f"{plan.name}-backlog",
                    "PolicyType": "TargetTrackingScaling",
                    "ScalingTargetId": {"Ref": "ScalableTarget"},
                    "TargetTrackingScalingPolicyConfiguration": _policy(plan),
                },
            },
        },
        "Outputs": {"TaskDefinitionArn": {"Value": {"Ref": "TaskDefinition"}}},
    }


def _task_definition(plan: Plan) -> Template:
    return {
        "Family": plan.name,
        "RequiresCompatibilities": ["FARGATE"],
        "NetworkMode": "awsvpc",
        "Cpu": "256",
        "Memory": "512",
        "TaskRoleArn": {"Ref": "TaskRoleArn"},
        "ExecutionRoleArn": {"Ref": "ExecutionRoleArn"},
        "ContainerDefinitions": [
            {
                "Name": "worker",
                "Image": plan.image,
                "Essential": True,
                "Command": list(
                    plan.command("--concurrency", str(plan.concurrency), "--health", str(HEALTH_PORT)),
                ),
                "Environment": [{"Name": name, "Value": value} for name, value in plan.environment()],
                "StopTimeout": plan.termination,
            }
        ],
    }


def _policy(plan: Plan) -> Template:
    queue = [{"Name": "QueueName", "Value": plan.native_queue}]
    service = [
        {"Name": "ClusterName", "Value": {"Ref": "Cluster"}},
        {"Name": "ServiceName", "Value": {"Ref": "Service"}},
    ]
    return {
        "TargetValue": plan.per_worker,
        "ScaleOutCooldown": _SCALE_OUT_PAUSE,
        "ScaleInCooldown": _SCALE_IN_PAUSE,
        "CustomizedMetricSpecification": {
            "Metrics": [
                _metric("waiting", "AWS/SQS", "ApproximateNumberOfMessagesVisible", queue),
                # What runs counts: else the last tasks would be scaled in while they run.
                _metric("running", "AWS/SQS", "ApproximateNumberOfMessagesNotVisible", queue),
                _metric("workers", "ECS/ContainerInsights", "RunningTaskCount", service),
                {
                    "Id": "backlog",
                    "Label": "Messages for each worker, those that run included",
                    "Expression": "(waiting + running) / workers",
                    "ReturnData": True,
                },
            ]
        },
    }


def _metric(name: str, namespace: str, metric: str, dimensions: Sequence[Mapping[str, object]]) -> Template:
    return {
        "Id": name,
        "ReturnData": False,
        "MetricStat": {
            "Metric": {"Namespace": namespace, "MetricName": metric, "Dimensions": dimensions},
            "Stat": "Average",
        },
    }
