"""The deployments' examples fit together, and fit cloudq: commands, environments, signals, rights, time-outs."""

from __future__ import annotations

import json
import re
from functools import cache

import pytest
import yaml

from cloudq.cli import main
from cloudq.core.clock import SystemClock
from cloudq.core.url import parse_url
from tests.terraform.deployments import containers, manifests, of_kind, planned, pod
from tests.terraform.test_outputs import OPENERS
from tests.terraform.workshop import MODULES, ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CONTAINERS = {
    "ecs-fargate": "aws-sqs",
    "cloud-run-worker-pool": "aws-sqs",
    "eks-keda": "aws-sqs",
    "cloud-run-push": "google-cloud-tasks",
    "container-apps": "azure-service-bus",
    "aks-keda": "azure-service-bus",
}
KUBERNETES = ("eks-keda", "aks-keda")
FUNCTIONS = ("lambda-zip", "lambda-image")
URLS = {
    "aws-sqs": "sqs://eu-west-1?account=123456789012&prefix=prod-",
    "google-cloud-tasks": (
        "cloudtasks://my-project/europe-west1?target=https%3A%2F%2Fshop-worker-123456789012.europe-west1.run.app%2F"
        "&service_account=cloudq-invoker%40my-project.iam.gserviceaccount.com&prefix=prod-"
    ),
    "azure-service-bus": "servicebus://shop-queues.servicebus.windows.net?lock=300&prefix=prod-",
}


@pytest.fixture(scope="module")
def plan_of(workshop):
    """An example's plan, made once."""

    @cache
    def plan(module, example):
        place = workshop.copy(module) / "examples" / example
        workshop.init(place)
        return workshop.plan(place)

    return plan


@pytest.fixture(params=CONTAINERS)
def container(request, plan_of):
    """The one container of an example."""
    module = CONTAINERS[request.param]
    plan = plan_of(module, request.param)
    if request.param in KUBERNETES:
        return pod(manifests(MODULES / module / "examples" / request.param), config_map(plan)["data"])
    [one] = containers(plan)
    return one


def folder(example):
    return MODULES / CONTAINERS[example] / "examples" / example


def config_map(plan):
    return yaml.safe_load(plan["planned_values"]["outputs"]["config_map"]["value"])


def referred(plan, type_, attribute):
    """What the root's resources of a type have an attribute from."""
    return [
        resource["expressions"][attribute].get("references", [])
        for resource in plan["configuration"]["root_module"]["resources"]
        if resource["type"] == type_
    ]


def test_command(container, capsys):
    """The worker's command is one that cloudq understands, and nothing stands in front of it."""
    assert container.command[:2] == ["cloudq", "worker"]
    assert main([*container.command[1:], "--help"]) == 0, capsys.readouterr().err


def test_environment(container, monkeypatch):
    """CLOUDQ_URL is what the module put out, as it is, and the driver takes it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    url = container.environment["CLOUDQ_URL"]
    assert url in URLS.values()
    parsed = parse_url(url)
    OPENERS[parsed.scheme](parsed, SystemClock()).close()
    assert (parsed.scheme != "sqs") or container.environment["AWS_REGION"] == "eu-west-1"


def test_stop(container):
    """Tasks have their grace, idle polls of SQS their end, and then there are seconds left before the end by force."""
    assert float(container.option("--grace", "30")) + 3 <= container.patience
    if container.environment["CLOUDQ_URL"].startswith("sqs:"):
        assert float(container.option("--wait", "8")) + 1 < container.patience


def test_health(container):
    """The health checks ask where the worker answers; what would restart it asks /healthz, not /readyz."""
    serving = (
        None if container.environment["CLOUDQ_URL"].startswith("cloudtasks:") else container.option("--health", "")
    )
    ports = {port for port, _ in container.probed}
    # A push worker answers on the port that it listens on, which is what Cloud Run probes unless told otherwise.
    assert ports <= ({None, 0} if serving is None else {int(serving)})
    assert "/healthz" in {path for _, path in container.probed} <= {"/healthz", "/readyz"}


@pytest.mark.parametrize("example", FUNCTIONS)
def test_lambda(plan_of, example):
    """The function has the URL and no variable of Lambda's own; a batch can fail in part; leases outlast six runs."""
    plan = plan_of("aws-sqs", example)
    [function] = planned(plan, "aws_lambda_function")
    assert function["environment"][0]["variables"] == {"CLOUDQ_URL": URLS["aws-sqs"]}
    [mapping] = planned(plan, "aws_lambda_event_source_mapping")
    assert mapping["function_name"] == function["function_name"]
    assert mapping["function_response_types"] == ["ReportBatchItemFailures"]
    assert mapping["scaling_config"][0]["maximum_concurrency"] == 20
    [emails] = [queue for queue in planned(plan, "aws_sqs_queue") if queue["name"] == "prod-emails"]
    assert emails["visibility_timeout_seconds"] >= 6 * function["timeout"]
    assert json.loads(emails["redrive_policy"])["maxReceiveCount"] == 100
    assert (function["handler"] or "function.handler") == "function.handler"
    dockerfile = MODULES / "aws-sqs/examples/lambda-image/Dockerfile"
    assert dockerfile.read_text("utf-8").rstrip().endswith('CMD ["function.handler"]')


@pytest.mark.parametrize("example", [*FUNCTIONS, "ecs-fargate", "eks-keda", "cloud-run-worker-pool"])
def test_rights_on_aws(plan_of, example):
    """The role that the tasks run as has the module's policy for workers, and none of the others."""
    references = referred(plan_of("aws-sqs", example), "aws_iam_role_policy_attachment", "policy_arn")
    assert [refers[0] for refers in references if refers] == ['module.queues.policy_arns["worker"]']


def test_rights_on_google(plan_of):
    """The worker may send on, as the invoker; the invoker, and nobody else, may call the service."""
    plan = plan_of("google-cloud-tasks", "cloud-run-push")
    assert {one["role"] for one in planned(plan, "google_cloud_tasks_queue_iam_member")} == {
        "roles/cloudtasks.enqueuer"
    }
    [caller] = planned(plan, "google_cloud_run_v2_service_iam_member")
    [service] = planned(plan, "google_cloud_run_v2_service")
    assert (caller["name"], caller["role"]) == (service["name"], "roles/run.invoker")
    [one] = containers(plan)
    assert "--verified-in-front" in one.command


@pytest.mark.parametrize(("example", "owners"), [("container-apps", 1), ("aks-keda", 1), ("functions", 0)])
def test_rights_on_azure(plan_of, example, owners):
    """The worker receives and sends; an owner is only who counts for the scaling."""
    roles = [
        one["role_definition_name"] for one in planned(plan_of("azure-service-bus", example), "azurerm_role_assignment")
    ]
    working = [f"Azure Service Bus Data {role}" for role in ("Receiver", "Sender")]
    assert sorted(roles) == sorted([*working, *["Azure Service Bus Data Owner"] * owners])


def test_pushes_fit_the_service(plan_of):
    """Cloud Tasks has no more pushes under way than run at once; as many again may wait in an instance."""
    plan = plan_of("google-cloud-tasks", "cloud-run-push")
    [service] = planned(plan, "google_cloud_run_v2_service")
    [template] = service["template"]
    [one] = containers(plan)
    at_once = int(one.option("--concurrency", "10"))
    assert template["max_instance_request_concurrency"] == 2 * at_once
    assert template["timeout"] == "1800s"
    [queue] = [queue for queue in planned(plan, "google_cloud_tasks_queue") if queue["name"] == "prod-emails"]
    [limits] = queue["rate_limits"]
    assert limits["max_concurrent_dispatches"] == at_once * template["scaling"][0]["max_instance_count"]


def test_the_service_has_the_address_that_it_is_pushed_to(plan_of):
    """The target is put together from the service's own name, its project's number and its region."""
    [service] = planned(plan_of("google-cloud-tasks", "cloud-run-push"), "google_cloud_run_v2_service")
    parameters = parse_url(URLS["google-cloud-tasks"]).parameters
    assert parameters["target"] == f"https://{service['name']}-123456789012.{service['location']}.run.app/"


def test_the_signal_on_ecs(plan_of):
    """The policy follows the messages in the module's own queue for each running worker of the service."""
    [policy] = planned(plan_of("aws-sqs", "ecs-fargate"), "aws_appautoscaling_policy")
    [tracking] = policy["target_tracking_scaling_policy_configuration"]
    metrics = {one["id"]: one for one in tracking["customized_metric_specification"][0]["metrics"]}
    assert metrics["backlog"]["expression"] == "waiting / workers"
    assert [one for one, metric in metrics.items() if metric["return_data"]] == ["backlog"]
    found = {
        (pair["name"], pair["value"])
        for name in ("waiting", "workers")
        for pair in metrics[name]["metric_stat"][0]["metric"][0]["dimensions"]
    }
    assert found == {("QueueName", "prod-emails"), ("ClusterName", "shop"), ("ServiceName", "worker")}
    assert policy["resource_id"] == "service/shop/worker"


def test_the_signal_on_container_apps(plan_of):
    """The rule counts in the module's own queue, and asks as the identity that may."""
    plan = plan_of("azure-service-bus", "container-apps")
    [app] = planned(plan, "azurerm_container_app")
    [rule] = app["template"][0]["custom_scale_rule"]
    assert rule["metadata"] == {"namespace": "shop-queues", "queueName": "prod-emails", "messageCount": "20"}
    [body] = [
        one for one in plan["configuration"]["root_module"]["resources"] if one["type"] == "azurerm_container_app"
    ]
    [expressions] = body["expressions"]["template"][0]["custom_scale_rule"]
    assert "azurerm_user_assigned_identity.scaler.id" in expressions["identity_id"]["references"]


def test_azure_functions(plan_of):
    """Trigger and cloudq are of one namespace, and host.json is the one that the page about functions explains."""
    plan = plan_of("azure-service-bus", "functions")
    [function] = planned(plan, "azurerm_function_app_flex_consumption")
    settings = function["app_settings"]
    assert settings["CLOUDQ_URL"] == URLS["azure-service-bus"]
    assert settings["ServiceBus__fullyQualifiedNamespace"] == parse_url(settings["CLOUDQ_URL"]).host
    assert [queue["name"] for queue in planned(plan, "azurerm_servicebus_queue")] == ["prod-orders"]
    page = (ROOT / "docs/how-to/azure-functions.md").read_text("utf-8")
    assert 'queue_name="prod-orders", connection="ServiceBus"' in page
    host = (MODULES / "azure-service-bus/examples/functions/host.json").read_text("utf-8")
    assert f"```json\n{host}```" in page
    assert set(json.loads(host)["extensions"]) == {"serviceBus"}


@pytest.mark.parametrize("example", KUBERNETES)
def test_manifests_fit_together(plan_of, example):
    """Names refer to one another: the ConfigMap that Terraform writes, the accounts, what is scaled, who asks."""
    objects = manifests(folder(example))
    made = config_map(plan_of(CONTAINERS[example], example))
    deployment, account = of_kind(objects, "Deployment"), of_kind(objects, "ServiceAccount")
    scaled, asking = of_kind(objects, "ScaledObject"), of_kind(objects, "TriggerAuthentication")
    assert {one["metadata"]["namespace"] for one in (made, *objects)} == {"shop"}
    spec = deployment["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == account["metadata"]["name"]
    assert spec["containers"][0]["envFrom"] == [{"configMapRef": {"name": made["metadata"]["name"]}}]
    assert made["data"]["CLOUDQ_URL"] == URLS[CONTAINERS[example]]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert "replicas" not in deployment["spec"]
    assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    [trigger] = scaled["spec"]["triggers"]
    assert trigger["authenticationRef"]["name"] == asking["metadata"]["name"]
    # KEDA takes nothing but texts there.
    assert {type(value) for value in trigger["metadata"].values()} == {str}


@pytest.mark.parametrize("example", KUBERNETES)
def test_pods_have_no_more_than_they_need(example):
    """Not root, nothing to gain, nothing to write."""
    spec = of_kind(manifests(folder(example)), "Deployment")["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    [user] = re.findall(r"^USER (\d+):", (ROOT / "docs/how-to/containers/Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": int(user),
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_signal_on_eks(plan_of):
    """KEDA counts the module's queue, running messages included, by a role that may count alone."""
    plan = plan_of("aws-sqs", "eks-keda")
    [trigger] = of_kind(manifests(folder("eks-keda")), "ScaledObject")["spec"]["triggers"]
    assert trigger["type"] == "aws-sqs-queue"
    address, _, name = trigger["metadata"]["queueURL"].rpartition("/")
    assert name in {queue["name"] for queue in planned(plan, "aws_sqs_queue")}
    url = parse_url(URLS["aws-sqs"])
    assert address == f"https://sqs.{url.host}.amazonaws.com/{url.parameters['account']}"
    assert trigger["metadata"]["scaleOnInFlight"] == "true"
    [policy] = planned(plan, "aws_iam_role_policy")
    [statement] = json.loads(policy["policy"])["Statement"]
    assert statement["Action"] == "sqs:GetQueueAttributes"
    assert statement["Resource"] == ["arn:aws:sqs:eu-west-1:123456789012:prod-emails"]
    pairs = {(one["namespace"], one["service_account"]) for one in planned(plan, "aws_eks_pod_identity_association")}
    assert pairs == {("shop", "worker"), ("keda", "keda-operator")}


def test_the_signal_on_aks(plan_of):
    """KEDA counts the module's queue; both accounts are federated, and the pods ask for their identity."""
    plan, objects = plan_of("azure-service-bus", "aks-keda"), manifests(folder("aks-keda"))
    [trigger] = of_kind(objects, "ScaledObject")["spec"]["triggers"]
    assert trigger["type"] == "azure-servicebus"
    [queue] = planned(plan, "azurerm_servicebus_queue")
    assert trigger["metadata"]["queueName"] == queue["name"]
    host = parse_url(URLS["azure-service-bus"]).host
    assert host == f"{trigger['metadata']['namespace']}.servicebus.windows.net"
    subjects = {one["subject"] for one in planned(plan, "azurerm_federated_identity_credential")}
    assert subjects == {"system:serviceaccount:shop:worker", "system:serviceaccount:keda:keda-operator"}
    labels = of_kind(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels["azure.workload.identity/use"] == "true"
    assert "azure.workload.identity/client-id" in of_kind(objects, "ServiceAccount")["metadata"]["annotations"]
