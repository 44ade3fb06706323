"""What the deployments' examples run: the containers, read from plans and from Kubernetes' manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

CLOUD_RUN_SECONDS: Final = 10  # between SIGTERM and SIGKILL; fixed


class Container(NamedTuple):
    """A container that runs `cloudq worker`.

    Args:
        command: Its command line.
        environment: What is known of its environment before anything is made.
        patience: Seconds between the signal and the end by force.
        probed: The ports and paths of its health checks.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    patience: int
    probed: frozenset[tuple[int | None, str]]

    def option(self, name: str, default: str) -> str:
        """What an option of the command is set to."""
        return self.command[self.command.index(name) + 1] if name in self.command else default


def resources(plan: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """All that a plan makes: type and values."""
    root = plan["planned_values"]["root_module"]
    for module in (root, *root.get("child_modules", ())):
        for resource in module["resources"]:
            yield resource["type"], resource["values"]


def planned(plan: Mapping[str, Any], type_: str) -> list[dict[str, Any]]:
    """The values of a type's resources."""
    return [values for kind, values in resources(plan) if kind == type_]


def containers(plan: Mapping[str, Any]) -> Iterator[Container]:
    """The containers in a plan."""
    for kind, values in resources(plan):
        if kind == "aws_ecs_task_definition":
            [one] = json.loads(values["container_definitions"])
            yield Container(one["command"], _pairs(one["environment"]), one["stopTimeout"], _fetched(one))
        elif kind in {"google_cloud_run_v2_service", "google_cloud_run_v2_worker_pool"}:
            [one] = values["template"][0]["containers"]
            yield Container(one["args"], _pairs(one["env"]), CLOUD_RUN_SECONDS, _gets(one, "http_get"))
        elif kind == "azurerm_container_app":
            [template] = values["template"]
            [one] = template["container"]
            probes = [probe for name in ("liveness_probe", "readiness_probe") for probe in one[name]]
            yield Container(
                one["args"],
                _pairs(one["env"]),
                template["termination_grace_period_seconds"],
                frozenset((probe["port"], probe["path"]) for probe in probes),
            )


def manifests(folder: Path) -> list[dict[str, Any]]:
    """The objects in a folder's manifests."""
    return [one for path in sorted(folder.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text("utf-8"))]


def of_kind(objects: Sequence[Mapping[str, Any]], kind: str) -> Mapping[str, Any]:
    """The one of a kind."""
    [found] = [one for one in objects if one["kind"] == kind]
    return found


def pod(objects: Sequence[Mapping[str, Any]], environment: Mapping[str, str]) -> Container:
    """The container that a Deployment starts, in a given environment."""
    spec = of_kind(objects, "Deployment")["spec"]["template"]["spec"]
    [one] = spec["containers"]
    probes = frozenset(
        (one[name]["httpGet"]["port"], one[name]["httpGet"]["path"]) for name in ("livenessProbe", "readinessProbe")
    )
    return Container(one["args"], environment, spec["terminationGracePeriodSeconds"], probes)


def _pairs(pairs: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    # What the service decides isn't in a plan.
    return {pair["name"]: pair["value"] for pair in pairs if pair.get("value")}


def _gets(container: Mapping[str, Any], key: str) -> frozenset[tuple[int | None, str]]:
    probes = [probe[key][0] for name in ("startup_probe", "liveness_probe") for probe in container[name]]
    return frozenset((probe["port"], probe["path"]) for probe in probes)


def _fetched(container: Mapping[str, Any]) -> frozenset[tuple[int | None, str]]:
    [line] = [word for word in container["healthCheck"]["command"] if "http://" in word]
    address = line.partition("http://127.0.0.1:")[2].partition("'")[0]
    port, _, path = address.partition("/")
    return frozenset({(int(port), f"/{path}")})
