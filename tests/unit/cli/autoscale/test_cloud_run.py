"""What CREMA takes to scale a worker pool of Cloud Run, read back."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import jsonschema
import pytest
import yaml

from cloudq.cli.autoscale.cloud_run import TERMINATION, checked_pool, configuration, refuse_elsewhere, secrets_of
from cloudq.cli.autoscale.triggers import trigger
from cloudq.cli.autoscale.yaml_text import yaml_of
from cloudq.errors import ConfigurationError, OptionError
from tests.unit.cli.autoscale.keda_model import COUNT, TRIGGERS, check_metadata, exactly
from tests.unit.cli.autoscale.plans import CLOUD_TASKS, SERVICE_BUS, SQS, plan

POOL: Final = "projects/shop/locations/europe-west1/workerpools/emails"
TEXT: Final = {"type": "string"}
# By "Configuration" of CREMA (GoogleCloudPlatform/cloud-run-external-metrics-autoscaling, metric-provider/api,
# 2026-06-09): what it would ignore isn't here.
CREMA: Final = exactly(
    ("apiVersion", "kind", "spec"),
    apiVersion={"const": "crema/v1"},
    kind={"const": "CremaConfig"},
    spec=exactly(
        ("scaledObjects",),
        pollingInterval=COUNT,
        triggerAuthentications={
            "type": "array",
            "items": exactly(
                ("metadata", "spec"),
                metadata=exactly(("name",), name=TEXT),
                spec=exactly(
                    gcpSecretManager=exactly(
                        secrets={
                            "type": "array",
                            "items": exactly(("parameter", "id"), parameter=TEXT, id=TEXT, version=TEXT),
                        }
                    )
                ),
            ),
        },
        scaledObjects={
            "type": "array",
            "items": exactly(
                ("spec",),
                spec=exactly(
                    ("scaleTargetRef", "triggers"),
                    scaleTargetRef=exactly(("name",), name=TEXT),
                    minReplicaCount=COUNT,
                    maxReplicaCount=COUNT,
                    triggers=TRIGGERS,
                ),
            ),
        },
    ),
)
SHORT: Final = timedelta(seconds=5)
GRACE: Final = timedelta(seconds=2)


@pytest.mark.parametrize("url", [SQS, SERVICE_BUS])
def test_a_pool_of_short_tasks_is_scaled_by_its_queue(url: str) -> None:
    """They end within the ten seconds that Cloud Run waits."""
    asked = plan(url, time_limit=SHORT, grace=GRACE)
    refuse_elsewhere(asked)
    assert asked.termination <= TERMINATION
    found = trigger(asked, account=None)
    (document,) = yaml.safe_load_all(yaml_of([configuration(asked, found, checked_pool(POOL))]))
    jsonschema.validate(document, CREMA)
    (scaled,) = document["spec"]["scaledObjects"]
    assert POOL == scaled["spec"]["scaleTargetRef"]["name"]
    (counted,) = scaled["spec"]["triggers"]
    check_metadata(counted["type"], counted["metadata"])
    (authentication,) = document["spec"]["triggerAuthentications"]
    assert counted["authenticationRef"] == authentication["metadata"]
    secrets = [one["id"] for one in authentication["spec"]["gcpSecretManager"]["secrets"]]
    assert secrets == list(secrets_of(found))


def test_longer_tasks_are_refused() -> None:
    """Cloud Run's wait can't be changed; the longest limit that fits is said."""
    with pytest.raises(ConfigurationError, match="kills 10 s after SIGTERM") as caught:
        refuse_elsewhere(plan(SQS, time_limit=timedelta(seconds=6), grace=GRACE))
    assert "up to 5 s" in str(caught.value.hint)


def test_a_queue_that_pushes_scales_its_service_itself() -> None:
    """What to set instead is said."""
    with pytest.raises(ConfigurationError, match="Cloud Tasks pushes") as caught:
        refuse_elsewhere(plan(CLOUD_TASKS, time_limit=SHORT, grace=GRACE))
    assert "max_concurrent_dispatches" in str(caught.value.hint)


@pytest.mark.parametrize("pool", [None, "", "emails", "projects/a/locations/b/services/c", POOL + "\n"])
def test_a_pool_has_its_full_name(pool: str | None) -> None:
    """CREMA takes no other."""
    with pytest.raises(OptionError, match="full name"):
        checked_pool(pool)
