"""Which backends a test run may open, by URL and environment."""

from __future__ import annotations

import warnings

import pytest

from cloudq.core.url import parse_url
from cloudq.errors import ConfigurationError
from cloudq.testing import RealBackendWarning, allow_real
from cloudq.testing.guard import Guard, is_for_tests, is_loopback

EMULATED = "Endpoint=sb://{};SharedAccessKeyName=a;SharedAccessKey=k;UseDevelopmentEmulator=true"
REAL = "Endpoint=sb://shop.servicebus.windows.net;SharedAccessKeyName=a;SharedAccessKey=k"
TASKS = "cloudtasks://p/l?target=https://worker.example/"


class Opener:
    """Stands for an app."""


@pytest.mark.parametrize(
    ("url", "environment", "verdict"),
    [
        ("memory://", {}, True),
        ("sqlite:////var/lib/shop/q.db", {}, False),
        ("sqs://eu-west-1", {}, False),
        ("sqs://eu-west-1?endpoint_url=http://127.0.0.1:4566", {}, True),
        ("sqs://eu-west-1?endpoint_url=http://[::1]:4566", {}, True),
        ("sqs://eu-west-1?endpoint_url=http://localhost.localstack.cloud:4566", {}, True),
        ("sqs://eu-west-1?endpoint_url=http://localhost.example:4566", {}, False),
        ("sqs://eu-west-1", {"AWS_ENDPOINT_URL": "http://localhost:4566"}, True),
        ("sqs://eu-west-1", {"AWS_ENDPOINT_URL_SQS": "http://127.0.0.2:1"}, True),
        # The SDK's own order: the service's variable, then the general one; the URL above both.
        ("sqs://eu-west-1", {"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_ENDPOINT_URL_SQS": "http://sqs"}, False),
        ("sqs://eu-west-1?endpoint_url=https://sqs.example", {"AWS_ENDPOINT_URL": "http://localhost:1"}, False),
        (
            "sqs://eu-west-1",
            {"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE"},
            False,
        ),
        (TASKS, {}, False),
        (TASKS, {"CLOUD_TASKS_EMULATOR_HOST": "localhost:8123"}, True),
        (TASKS, {"CLOUD_TASKS_EMULATOR_HOST": "10.0.0.8:8123"}, False),
        ("servicebus://shop.servicebus.windows.net", {}, False),
        ("servicebus://localhost", {}, True),
        ("servicebus://", {"CLOUDQ_SERVICEBUS_CONNECTION_STRING": EMULATED.format("emulator")}, True),
        ("servicebus://", {"CLOUDQ_SERVICEBUS_CONNECTION_STRING": REAL}, False),
        ("servicebus://", {"CLOUDQ_SERVICEBUS_CONNECTION_STRING": "Endpoint=sb://127.0.0.1:5672/"}, True),
        ("redis://localhost:6379", {}, True),
        ("redis://10.0.0.8", {}, False),
    ],
)
def test_what_is_for_tests(url, environment, verdict):
    """Memory and whatever is on this machine; the variables count in the order in which the SDKs read them."""
    assert is_for_tests(parse_url(url), [], environment) is verdict


def test_a_file_counts_by_where_it_really_lies(tmp_path):
    """Under the folder of the test run, through links as well, and not merely beside it or by its first letters."""
    own, elsewhere = tmp_path / "run", tmp_path / "run-else"
    own.mkdir()
    elsewhere.mkdir()
    (own / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(own)

    def verdict(path: str) -> bool:
        return is_for_tests(parse_url(f"sqlite:///{tmp_path}/{path}"), [own], {})

    assert [True, False, False, False, True] == [
        verdict(path) for path in ("run/a/q.db", "run-else/q.db", "run/../q.db", "run/link/q.db", "run-else/back/q.db")
    ]


@pytest.mark.parametrize(
    ("address", "verdict"),
    [
        *[("127.0.0.1", True), ("http://LOCALHOST/", True), ("a.localhost:80", True), ("[::1]:80", True)],
        *[("", False), ("10.0.0.1:80", False), ("http://[", False), ("127.0.0.1.example", False)],
    ],
)
def test_loopback(address, verdict):
    """Addresses and names of this machine, and nothing that only begins like them."""
    assert is_loopback(address) is verdict


def test_a_warning_is_given_once_an_opener_and_url():
    """Another app, and another URL, are another warning."""
    guard = Guard([], is_error=False)
    first, second = Opener(), Opener()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for opener, url in [(first, "sqs://a-b"), (first, "sqs://a-b"), (first, "sqs://a-c"), (second, "sqs://a-b")]:
            guard.look(opener, url)
    assert [RealBackendWarning] * 3 == [warning.category for warning in told]


def test_an_error_is_raised_each_time_without_what_a_parameter_says():
    """With the way out in its hint; of the URL's parameters only their names."""
    guard = Guard([], is_error=True)
    opener = Opener()
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="no backend for tests") as raised:
            guard.look(opener, "sqs://eu-west-1?prefix=hidden")
        assert "cloudq_app" in str(raised.value.hint)
        assert "hidden" not in str(raised.value)


def test_patterns_and_blocks_allow():
    """By the whole URL; a block allows until its end, blocks within blocks included."""
    guard = Guard(["sqs://eu-west-1?prefix=test-*"], is_error=True)
    guard.look(Opener(), "sqs://eu-west-1?prefix=test-7")
    with pytest.raises(ConfigurationError):
        guard.look(Opener(), "sqs://eu-west-1?prefix=prod-")
    with allow_real():
        with allow_real():
            pass
        guard.look(Opener(), "sqs://eu-west-1?prefix=prod-")
    with pytest.raises(ConfigurationError):
        guard.look(Opener(), "sqs://eu-west-1?prefix=prod-")


def test_what_is_no_url_is_left_to_whoever_opens_it():
    """The error is that of opening, in its own words."""
    Guard([], is_error=True).look(Opener(), "no url")
