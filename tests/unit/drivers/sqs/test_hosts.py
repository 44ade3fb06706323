"""The hosts that SQS has, and that no other one is taken for one."""

from __future__ import annotations

import pytest

from cloudq.drivers.sqs.hosts import Host, host_of, is_url, required_host
from cloudq.errors import UnsupportedError

PATH = "/123456789012/mail"


@pytest.mark.parametrize(
    ("name", "region", "ordinary", "plain"),
    [
        ("sqs.eu-west-1.amazonaws.com", "eu-west-1", True, True),
        ("sqs.us-gov-west-1.amazonaws.com", "us-gov-west-1", True, True),
        ("sqs.cn-north-1.amazonaws.com.cn", "cn-north-1", True, True),
        ("sqs.us-iso-east-1.c2s.ic.gov", "us-iso-east-1", True, True),
        ("sqs.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", True, True),
        ("sqs-fips.us-east-1.amazonaws.com", "us-east-1", True, False),
        ("sqs.us-east-1.api.aws", "us-east-1", True, False),
        ("sqs-fips.us-east-1.api.aws", "us-east-1", True, False),
        ("sqs.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1", True, False),
        ("eu-west-1.queue.amazonaws.com", "eu-west-1", False, False),
        ("cn-north-1.queue.amazonaws.com.cn", "cn-north-1", False, False),
        ("queue.amazonaws.com", "us-east-1", False, False),
        ("vpce-0a1b-example.sqs.us-east-1.vpce.amazonaws.com", "us-east-1", False, False),
        ("vpce-0a1b-example-us-east-1a.sqs.us-east-1.vpce.amazonaws.com", "us-east-1", False, False),
        ("vpce-0a1b-example.sqs-fips.us-east-1.vpce.amazonaws.com", "us-east-1", False, False),
        ("vpce-0a1b-example.sqs.cn-north-1.vpce.amazonaws.com.cn", "cn-north-1", False, False),
        ("sqs.eu-newland-9.amazonaws.com", "eu-newland-9", True, True),
    ],
)
def test_a_host_of_sqs(name: str, region: str, ordinary: bool, plain: bool) -> None:
    """Ordinary, FIPS, dual-stack, legacy and VPC names of all partitions, and of regions that are yet to come."""
    host = Host(name, region, ordinary, plain)
    assert host == host_of(f"https://{name}{PATH}") == host_of(f"https://{name.upper()}:443{PATH}")
    assert host == required_host(f"https://{name}{PATH}")


@pytest.mark.parametrize(
    "url",
    [
        "https://sqs.eu-west-1.amazonaws.com.example.org",
        "https://sqs.eu-west-1.example.org",
        "https://sqs.eu-west-1amazonaws.com",
        "https://sqs.example.amazonaws.com",
        "https://sqs.cn-north-1.amazonaws.com",
        "https://sqs.eu-west-1.amazonaws.com.cn",
        "https://example.sqs.eu-west-1.amazonaws.com",
        "https://eu-west-1.amazonaws.com",
        "https://s3.eu-west-1.amazonaws.com",
        "https://vpce-0a1b-example.vpce-svc-0a1b.us-east-1.vpce.amazonaws.com",
        "https://example.sqs.us-east-1.vpce.amazonaws.com",
        "https://example.execute-api.eu-west-1.amazonaws.com",
        "https://example-1.eu-west-1.elb.amazonaws.com",
        "https://sqs.us-east-1.localhost.localstack.cloud:4566",
        "http://sqs.eu-west-1.amazonaws.com",
        "https://sqs.eu-west-1.amazonaws.com:8443",
        "https://sqs.eu-west-1.amazonaws.com:65536",
        "https://someone@sqs.eu-west-1.amazonaws.com",
        "https://127.0.0.1",
        "https://",
    ],
)
def test_a_host_that_is_not_of_sqs(url: str) -> None:
    """Customers' names under AWS's suffix are none, nor are a foreign partition's, a plain-text one, another port."""
    assert host_of(url + PATH) is None
    with pytest.raises(UnsupportedError, match="isn't on a host of Amazon SQS") as caught:
        required_host(url + PATH)
    assert "AWS_ENDPOINT_URL" in str(caught.value.hint)


def test_a_name_is_no_url() -> None:
    """Though it may begin like one."""
    assert is_url("https://sqs.eu-west-1.amazonaws.com/1/q")
    assert is_url("http://127.0.0.1:4566/1/q")
    assert not is_url("https")
