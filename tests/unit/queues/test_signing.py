"""Which keys sign and verify, and how strictly."""

from __future__ import annotations

import pytest

from cloudq import App
from cloudq.core import wire
from cloudq.core.message import Message
from cloudq.core.signatures import fault_in
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError
from cloudq.queues.cloud_queue import CloudQueue
from cloudq.queues.signing import SigningSettings

A, B = f"a:{'0a' * 32}", f"b:{'0b' * 32}"


def in_force(environment: dict[str, str], mode: str | None = None, keys: str | None = None) -> object:
    settings = SigningSettings()
    settings.set(mode, keys)
    found = settings.in_force(environment)
    return found.mode, None if found.keys is None else list(found.keys.ids)


def test_the_apps_own_settings_stand_above_the_environment() -> None:
    """Each by itself; without any nothing is signed or looked at."""
    environment = {"CLOUDQ_SIGNING": "require", "CLOUDQ_SIGNING_KEYS": f"{A},{B}"}
    assert ("off", None) == in_force({})
    assert ("require", ["a", "b"]) == in_force(environment)
    assert ("warn", ["a", "b"]) == in_force(environment, mode="warn")
    assert ("require", ["b"]) == in_force(environment, keys=B)
    assert ("off", ["a"]) == in_force({"CLOUDQ_SIGNING_KEYS": A})


@pytest.mark.parametrize(
    ("environment", "mode", "keys", "why"),
    [
        ({"CLOUDQ_SIGNING": "warn"}, None, None, "signing is 'warn', and there is no key"),
        ({}, "require", None, "signing is 'require', and there is no key"),
        ({"CLOUDQ_SIGNING": "required"}, None, None, "CLOUDQ_SIGNING isn't one of off, warn, require"),
        ({"CLOUDQ_SIGNING": ""}, None, A, "CLOUDQ_SIGNING isn't one of"),
        ({"CLOUDQ_SIGNING": "REQUIRE"}, None, A, "CLOUDQ_SIGNING isn't one of"),
        ({}, "on", None, "signing isn't one of"),
        ({"CLOUDQ_SIGNING_KEYS": ""}, None, None, "CLOUDQ_SIGNING_KEYS, key 1 of 1"),
        ({"CLOUDQ_SIGNING_KEYS": "a:12"}, None, None, "CLOUDQ_SIGNING_KEYS, key 1 of 1: it has 1 bytes"),
        ({}, None, "a:12", "signing_keys, key 1 of 1: it has 1 bytes"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    environment: dict[str, str], mode: str | None, keys: str | None, why: str
) -> None:
    """A mistake never counts as "off"."""
    with pytest.raises(ConfigurationError, match=why):
        in_force(environment, mode, keys)


def test_an_app_refuses_settings_of_another_type() -> None:
    """Where they are given; neither error shows a key."""
    with pytest.raises(ConfigurationError, match="signing isn't one of off, warn, require"):
        App(signing=True)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="signing_keys is a text, not a list") as refused:
        App(signing_keys=[A])  # type: ignore[arg-type]
    assert "0a0a" not in str(refused.value)


def test_a_wrong_setting_of_the_environment_is_told_before_anything_is_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the first send, and by a worker at its start."""
    monkeypatch.setenv("CLOUDQ_SIGNING_KEYS", "nonsense")
    app = App("memory://")
    app.task("t")(lambda: None)
    with pytest.raises(ConfigurationError, match="CLOUDQ_SIGNING_KEYS, key 1"):
        app.send("t")
    assert not app.is_open


def test_a_queue_signs_what_is_sent_and_counts_it_for_its_size() -> None:
    """Not a copy, which keeps the signature that it has."""
    settings = SigningSettings()
    settings.set(None, A)
    keys = settings.in_force({}).keys
    assert keys is not None
    queue = CloudQueue("q", MemoryDriver(), keys=keys)
    body = queue.prepared(Message(id="1", task="t", queue="q", payload={"n": 1})).body
    assert fault_in(body, keys) is None
    settings.set(None, f"{B},{A}")
    both = settings.in_force({}).keys
    assert both is not None
    again = CloudQueue("q", MemoryDriver(), keys=both).prepared(wire.decode(body, "q")).body
    assert wire.decode(again, "q") == wire.decode(body, "q")
    assert (
        "cloudqsignature"
        not in CloudQueue("q", MemoryDriver()).prepared(Message(id="1", task="t", queue="q")).body.decode()
    )


def test_settings_show_no_key() -> None:
    """Neither the settings nor what is in force."""
    settings = SigningSettings()
    settings.set("warn", A)
    assert "0a0a" not in f"{settings} {settings.in_force({})} {App(signing='warn', signing_keys=A)}"
