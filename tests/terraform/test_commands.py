"""`cloudq terraform vars` writes what the modules take, and `check` finds what a real plan has otherwise."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.terraform.workshop import ROOT, modules

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TASKS = """
from datetime import timedelta
import cloudq

app = cloudq.App()

@app.task(queue="emails", lease=timedelta(minutes=1), time_limit=timedelta(minutes=4))
def welcome(user_id: int) -> None: ...

@app.task(queue="reports", retry=cloudq.RetryPolicy(max_deliveries=200), time_limit=timedelta(minutes=2))
def report(rows: list[int]) -> None: ...
"""
ORDERED = """
@app.task(queue="orders.fifo", ordering_key="{order}", lease=timedelta(minutes=10), time_limit=timedelta(minutes=1))
def ship(order: str) -> None: ...
"""
CLOUDS = {"aws-sqs": "aws", "google-cloud-tasks": "google", "azure-service-bus": "azure"}
EXTRAS = {"aws-sqs": ("--lambda", "shop"), "google-cloud-tasks": ("--concurrency", "20"), "azure-service-bus": ()}
# What the modules want besides queues.
PLACES = {
    "aws-sqs": {},
    "google-cloud-tasks": {
        "project_id": "my-project",
        "location": "europe-west1",
        "target": "https://worker.example/",
    },
    "azure-service-bus": {"namespace_name": "shop-queues", "resource_group_name": "shop", "location": "westeurope"},
}
# A change of the variables, and what `check` has to say of it.
CHANGES = {
    "aws-sqs": [
        ("reports", {"max_receive_count": 20}, "reports: maxReceiveCount is 20, and 201 is the least"),
        ("orders.fifo", {"visibility_timeout_seconds": 400}, "orders.fifo: visibility_timeout_seconds is 400, and its"),
        ("emails", None, "emails: the plan has no queue 'prod-emails'"),
        ("emails", {"visibility_timeout_seconds": 30}, "emails: visibility_timeout_seconds is 30, and its tasks are"),
        ("emails", {"max_receive_count": 11}, "emails: maxReceiveCount is 11, and 21 is the least"),
    ],
    "google-cloud-tasks": [
        ("reports", None, "reports: the plan has no queue 'prod-reports'"),
        ("emails", None, "emails: the plan has no queue 'prod-emails'"),
    ],
    "azure-service-bus": [
        ("reports", {"max_delivery_count": 100}, "reports: max_delivery_count is 100, and 201 is the least"),
        ("emails", {"lock_seconds": 30}, "emails: lock_duration is PT30S, and its tasks are leased for 60"),
        ("orders.fifo", None, "orders.fifo: the plan has no queue 'prod-orders.fifo'"),
    ],
}


def cloudq(folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cloudq", "terraform", *arguments, "--app", "shop"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("module", modules())
def test_from_code_to_plan(workshop, tmp_path, module):
    """The map goes into the module as it is, the plan fits the code, and what is changed by hand is named."""
    (tmp_path / "shop.py").write_text(TASKS + ("" if module == "google-cloud-tasks" else ORDERED))
    written = cloudq(tmp_path, "vars", "--cloud", CLOUDS[module], *EXTRAS[module])
    assert written.returncode == 0, written.stderr
    place = workshop.copy(module)
    workshop.init(place)
    plan = tmp_path / "plan.json"

    def check(queues: object) -> subprocess.CompletedProcess[str]:
        variables = PLACES[module] | {"prefix": "prod-"}
        (place / "all.auto.tfvars.json").write_text(json.dumps(variables))
        (place / "queues.auto.tfvars.json").write_text(queues if isinstance(queues, str) else json.dumps(queues))
        plan.write_text(json.dumps(workshop.plan(place)))
        return cloudq(tmp_path, "check", str(plan), "--prefix", "prod-")

    fitting = check(written.stdout)
    assert (fitting.returncode, fitting.stderr) == (0, ""), fitting.stdout
    for queue, change, words in CHANGES[module]:
        queues = json.loads(written.stdout)["queues"]
        if change is None:
            del queues[queue]
        else:
            queues[queue] |= change
            queues[queue].pop("lambda", None)
        checked = check({"queues": queues})
        assert checked.returncode == 1
        assert words in checked.stdout


@pytest.mark.parametrize("module", modules())
def test_defaults_agree(workshop, tmp_path, module):
    """A queue and a task that say nothing fit each other: the module's defaults are what the code asks for."""
    (tmp_path / "shop.py").write_text(
        "import cloudq\napp = cloudq.App()\n@app.task(queue='emails')\ndef welcome() -> None: ...\n"
    )
    place = workshop.copy(module)
    workshop.init(place)
    (tmp_path / "plan.json").write_text(json.dumps(workshop.plan(place, PLACES[module] | {"queues": {"emails": {}}})))
    checked = cloudq(tmp_path, "check", "plan.json")
    assert (checked.returncode, checked.stdout) == (0, "emails fits\n"), checked.stdout + checked.stderr
