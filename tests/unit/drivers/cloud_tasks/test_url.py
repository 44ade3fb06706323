"""What a `cloudtasks://` URL says."""

from __future__ import annotations

import inspect
from datetime import timedelta

import pytest

from cloudq.cli.emulate import cloudtasks
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.errors import ConfigurationError
from cloudq.queues.opening import open_driver


def test_cloud_tasks_takes_its_parameters():
    """The company's domain before a project, a token for another audience than the target, a prefix, a size."""
    url = (
        "cloudtasks://example.com:my-project/europe-west1?target=https%3A%2F%2Fworker.example%2Ftasks%3Fa%3D1"
        "&service_account=pusher@my-project.iam.gserviceaccount.com&audience=worker&prefix=prod-&max_body=500000&timeout=12"
    )
    driver = open_driver(url, SYSTEM_CLOCK)
    assert ("https://worker.example/tasks?a=1", "worker") == (driver.target.url, driver.target.audience)
    assert "pusher@my-project.iam.gserviceaccount.com" == driver.target.service_account
    assert 500_000 == driver.capabilities("emails").max_body
    assert timedelta(seconds=4) == driver.capabilities("emails").call_timeout
    assert "example.com:my-project" in repr(driver)
    plain = open_driver("cloudtasks://my-project/europe-west1?target=http://localhost:8080/", SYSTEM_CLOCK)
    assert ("http://localhost:8080/", None) == (plain.target.audience, plain.target.service_account)


def test_cloud_tasks_takes_the_place_that_its_emulator_has_by_default():
    """`cloudq emulate cloudtasks --queue emails` makes a queue of dev/local, which a URL can name."""
    parent = inspect.signature(cloudtasks).parameters["parent"].default
    assert "dev/local" == parent
    driver = open_driver(f"cloudtasks://{parent}?target=http://127.0.0.1:8080/", SYSTEM_CLOCK)
    assert "projects/dev/locations/local" in repr(driver)


def test_an_emulator_is_on_this_machine_or_allowed(monkeypatch):
    """A variable that was left over sends no payloads to another machine, unencrypted and without a word."""
    url = "cloudtasks://my-project/europe-west1?target=http://localhost:8080/"
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", "emulator.example:8123")
    with pytest.raises(ConfigurationError, match="CLOUD_TASKS_EMULATOR_HOST names another machine without TLS"):
        open_driver(url, SYSTEM_CLOCK)
    open_driver(f"{url}&allow_insecure=1", SYSTEM_CLOCK)
    monkeypatch.setenv("CLOUD_TASKS_EMULATOR_HOST", "127.0.0.1:8123")
    open_driver(url, SYSTEM_CLOCK)


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ("target=http://localhost:8080/&timeout=0", "timeout=0 leaves no time for any call"),
        ("target=http://localhost:99999/", "target names no host and port"),
        ("target=http://localhost:0/", "target names no host and port"),
        ("target=http://[::1/", "target names no host and port"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_anything_is_sent(parameters: str, why: str) -> None:
    """A timeout in which no call ends, and a target that nothing can be pushed to."""
    with pytest.raises(ConfigurationError, match=why):
        open_driver(f"cloudtasks://my-project/europe-west1?{parameters}", SYSTEM_CLOCK)
