"""Packages in versions with known faults, and tracers that need care."""

from __future__ import annotations

import pytest

from cloudq.cli.doctor.program import FAULTY, TRACERS, VULNERABLE, installed_version, look_at_program
from tests.unit.test_supply_chain import FIRST_SAFE

EVERY = {"sqs", "cloudtasks", "servicebus", "redis", "mysql"}


def found(schemes, **versions):
    named = {name.replace("_", "-"): version for name, version in versions.items()}
    return [(one.fault.id, one.what.partition(":")[0]) for one in look_at_program(schemes, named.get)]


@pytest.mark.parametrize(
    ("package", "version", "fault"),
    [
        ("azure_servicebus", "7.14.3", "sdk-faulty"),
        ("azure_servicebus", "7.15.0", None),
        ("azure_servicebus", "7.15.1", None),
        ("grpcio", "1.78.1", "sdk-faulty"),
        ("grpcio", "1.55", "sdk-faulty"),
        ("grpcio", "1.78.0", None),
        ("grpcio", "1.80.0", None),
        ("urllib3", "2.6.9", "sdk-vulnerable"),
        ("urllib3", "2.7.0", None),
        ("urllib3", "2.10", None),
        ("cryptography", "48.0.1rc1", "sdk-vulnerable"),
        ("opentelemetry_instrumentation_boto3sqs", "0.66b1", "tracer-care"),
        ("ddtrace", "4.16.0", "tracer-care"),
        ("opentelemetry_instrumentation_botocore", "0.66b1", None),
    ],
)
def test_what_is_installed(package, version, fault):
    """In a bad version, or at all."""
    expected = [] if fault is None else [(fault, f"{package.replace('_', '-')} {version}")]
    assert expected == found(EVERY, **{package: version})


def test_only_what_the_backend_takes_is_looked_at():
    """A program on SQLite has none of it to care about."""
    assert [] == found({"sqlite"}, azure_servicebus="7.0", urllib3="1.0", ddtrace="4.16.0")
    assert [("sdk-vulnerable", "urllib3 1.0")] == found({"sqs"}, azure_servicebus="7.0", urllib3="1.0")


def test_what_mends_it_can_be_given_to_pip():
    """The first good version, or all but the bad ones."""
    by_package = {known.package: known.wanted for known in FAULTY}
    assert "azure-servicebus>=7.15" == by_package["azure-servicebus"]
    assert "grpcio!=1.52.0,!=1.55.0,!=1.78.1" == by_package["grpcio"]


def test_the_vulnerable_versions_are_those_that_the_extras_keep_out():
    """One list of advisories, in two places: test_supply_chain.py has it for what cloudq asks for."""
    told = {known.package: (known.below, known.why) for known in VULNERABLE}
    assert told == {package: FIRST_SAFE[package] for package in told}


def test_a_package_that_is_not_installed_has_no_version():
    """One that is, has."""
    assert installed_version("a-package-that-nobody-has") is None
    assert installed_version("msgspec")
    assert all(installed_version(tracer.package) != "" for tracer in TRACERS)


def test_an_app_that_makes_its_spans_itself_spares_some_tracers():
    """OpenTelemetry's boto3sqs is called past then; ddtrace still writes into each message."""
    there = {"opentelemetry-instrumentation-boto3sqs": "0.66b1", "ddtrace": "4.16.0"}
    told = [one.what.partition(" ")[0] for one in look_at_program({"sqs"}, there.get, traced=True)]
    assert ["ddtrace"] == told
