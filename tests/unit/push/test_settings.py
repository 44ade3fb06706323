"""How pushes are taken, and who may push: what can't work is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.plain_text import warn_once
from cloudq.errors import ConfigurationError
from cloudq.push import PushSettings
from cloudq.push.settings import CERTIFICATES_VARIABLE, verifier_for
from tests.unit.push.fakes import ACCOUNT, AUDIENCE, URL


@pytest.mark.parametrize(
    "wrong",
    [
        {"concurrency": 0},
        {"waiting": -1},
        {"max_body": 0},
        {"patience": timedelta(seconds=-1)},
        {"body_timeout": timedelta(0)},
        {"event_deadline": timedelta(0)},
        {"audiences": "one"},
        {"service_accounts": "one"},
        {"queues": "one"},
    ],
)
def test_what_can_not_work_is_refused(wrong):
    """Numbers out of range, a text in place of a list."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        PushSettings(**wrong)


def test_the_least_that_works():
    """One slot, nobody who waits."""
    least = PushSettings(concurrency=1, waiting=0, patience=timedelta(0), max_body=1)
    assert (1, 0) == (least.concurrency, least.waiting)


def test_the_url_says_who_may_push(monkeypatch):
    """Its account, for its target; another audience of it counts in place of that."""
    monkeypatch.delenv(CERTIFICATES_VARIABLE, raising=False)
    verifier = verifier_for(PushSettings(), URL, SYSTEM_CLOCK)
    assert verifier is not None
    assert ((AUDIENCE,), frozenset({ACCOUNT})) == (verifier.audiences, verifier.accounts)
    other = verifier_for(PushSettings(), f"{URL}&audience=worker", SYSTEM_CLOCK)
    assert other is not None
    assert ("worker",) == other.audiences


def test_the_settings_stand_above_the_url():
    """Also where the URL is none of Cloud Tasks and says nothing of it; an empty list is nobody."""
    settings = PushSettings(service_accounts=["a@b"], audiences=["mine"])
    for url in (URL, "sqlite:///q.db"):
        verifier = verifier_for(settings, url, SYSTEM_CLOCK)
        assert verifier is not None
        assert (("mine",), frozenset({"a@b"})) == (verifier.audiences, verifier.accounts)
    for nobody in (PushSettings(service_accounts=[]), PushSettings(audiences=[])):
        with pytest.raises(ConfigurationError, match="who may push"):
            verifier_for(nobody, URL, SYSTEM_CLOCK)


def test_without_tokens_nobody_is_verified():
    """That is for development, and refused where others can connect (test_server.py, test_asgi_app.py)."""
    assert verifier_for(PushSettings(insecure_no_auth=True), URL, SYSTEM_CLOCK) is None


def test_certificates_come_from_where_it_is_set(monkeypatch):
    """The setting, the environment, Google; in the clear only from this machine."""
    monkeypatch.setenv(CERTIFICATES_VARIABLE, "http://certificates.example/")
    with pytest.raises(ConfigurationError, match="aren't fetched"):
        verifier_for(PushSettings(), URL, SYSTEM_CLOCK)
    settings = PushSettings(certificates_url="http://127.0.0.1:1/certs")
    verifier = verifier_for(settings, URL, SYSTEM_CLOCK)
    assert verifier is not None
    assert "http://127.0.0.1:1/certs" == verifier.certificates._url
    monkeypatch.delenv(CERTIFICATES_VARIABLE)
    google = verifier_for(PushSettings(), URL, SYSTEM_CLOCK)
    assert google is not None
    assert google.certificates._url.startswith("https://www.googleapis.com/")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (PushSettings(insecure_no_auth=True), "insecure_no_auth: pushes are taken from anybody on this machine"),
        (PushSettings(verified_in_front=True), "verified_in_front: tokens without a signature are believed"),
        (PushSettings(certificates_url="http://127.0.0.1:1/c"), "certificates that aren't Google's"),
        (PushSettings(), None),
    ],
    ids=["insecure_no_auth", "verified_in_front", "certificates_url", "none"],
)
def test_a_switch_that_turns_protection_off_is_told_at_start(settings, said, caplog):
    """Once a process, at WARNING: one that was left over in production is seen."""
    warn_once.cache_clear()
    for _ in range(2):
        verifier_for(settings, URL, SYSTEM_CLOCK)
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert (said is not None) == len(lines)
    assert said is None or said in lines[0]
