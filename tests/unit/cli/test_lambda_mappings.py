"""The mappings of a queue with Lambda functions: chosen by name, disabled and enabled, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from cloudq import App
from cloudq.cli.lambda_mappings import Mapping, Mappings
from cloudq.drivers.sqs import SQSDriver
from cloudq.errors import BackendError, OptionError, PermissionDenied
from tests.unit.drivers.sqs.fakes import FakeSqs

# The services are faked behind their URLs: nothing is reached.
pytestmark = pytest.mark.cloudq_allow_real

ARN = "arn:aws:sqs:eu-west-1:1:mail"
FUNCTION = "arn:aws:lambda:eu-west-1:1:function:"


class FakeLambda:
    """Lambda with some mappings of one queue, a page each; a change is under way until it is looked at again."""

    def __init__(self, *mappings: tuple[str, str], arn: str = ARN) -> None:
        self.states = dict(mappings)
        self.arn = arn
        self.denied: set[str] = set()
        self.calls: list[str] = []
        self.closed = 0

    def list_event_source_mappings(self, *, EventSourceArn: str, Marker: str = "0") -> dict[str, Any]:  # noqa: N803
        self._called("List")
        assert self.arn == EventSourceArn
        page = list(self.states)[int(Marker) : int(Marker) + 1]
        more = {"NextMarker": str(int(Marker) + 1)} if int(Marker) + 1 < len(self.states) else {}
        return {"EventSourceMappings": [self._told(uuid) for uuid in page], **more}

    def update_event_source_mapping(self, *, UUID: str, Enabled: bool) -> dict[str, Any]:  # noqa: N803
        self._called("Update")
        if self.states[UUID].endswith("ing"):
            raise ClientError({"Error": {"Code": "ResourceInUseException", "Message": "busy"}}, "Update")
        self.states[UUID] = "Enabling" if Enabled else "Disabling"
        return self._told(UUID)

    def close(self) -> None:
        self.closed += 1

    def done(self) -> None:
        """The changes are."""
        self.states = {uuid: state.replace("ing", "ed") for uuid, state in self.states.items()}

    def _told(self, uuid: str) -> dict[str, Any]:
        return {"UUID": uuid, "FunctionArn": f"{FUNCTION}shop-{uuid}:live", "State": self.states[uuid]}

    def _called(self, call: str) -> None:
        self.calls.append(call)
        if call in self.denied:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, call)


def mappings(client: FakeLambda) -> Mappings:
    return Mappings(client, "mail", ARN)


def test_mappings_are_chosen_by_name() -> None:
    """Of all pages; or all."""
    there = mappings(FakeLambda(("a", "Enabled"), ("b", "Disabled"), ("c", "Enabled")))
    assert ["a", "b", "c"] == [one.uuid for one in there.chosen(["all"])]
    assert [Mapping(uuid="c", function="shop-c:live", state="Enabled")] == there.chosen(["c"])


@pytest.mark.parametrize(
    ("there", "said"), [((), "has no Lambda mapping"), ((("a", "Enabled"),), "has no Lambda mapping 'x'")]
)
def test_what_is_not_there_is_refused(there: tuple[tuple[str, str], ...], said: str) -> None:
    """With what is there; nothing is changed."""
    client = FakeLambda(*there)
    with pytest.raises(OptionError, match=said) as raised:
        mappings(client).chosen(["x"])
    assert not there or raised.value.hint == "it has a of shop-a:live"
    assert "Update" not in client.calls


def test_a_mapping_is_disabled_and_enabled() -> None:
    """What is so already, or about to be, isn't asked for again."""
    client = FakeLambda(("a", "Enabled"))
    for on, state in ((False, "Disabling"), (False, "Disabling"), (True, "Enabling"), (True, "Enabling")):
        (mapping,) = mappings(client).chosen(["a"])
        after = mappings(client).switch(mapping, on=on)
        assert state == after.state
        if after == mapping:
            client.done()
    assert 2 == client.calls.count("Update")


@pytest.mark.parametrize("call", ["List", "Update"])
def test_a_missing_permission_is_named(call: str) -> None:
    """And where the page about it is."""
    client = FakeLambda(("a", "Enabled"))
    client.denied.add(call)
    there = mappings(client)
    with pytest.raises(PermissionDenied, match=f"lambda:{call}EventSourceMapping.? isn't allowed here"):
        there.switch(there.chosen(["a"])[0], on=False)


def test_a_mapping_that_is_being_changed_is_tried_again_by_its_operator() -> None:
    """The service refuses a second change before the first is done."""
    client = FakeLambda(("a", "Updating"))
    there = mappings(client)
    with pytest.raises(BackendError, match="is being changed"):
        there.switch(there.chosen(["a"])[0], on=False)


def test_other_backends_have_none(tmp_path) -> None:
    """That is said before anything is opened."""
    app = App(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(OptionError, match="isn't on Amazon SQS"):
        Mappings.of(app, "mail")
    app.close()


@pytest.fixture
def client(monkeypatch):
    """Lambda, beside an SQS that has the queue `mail`."""
    sqs = FakeSqs()
    monkeypatch.setattr(
        "cloudq.drivers.sqs.url.open_url", lambda url, clock: SQSDriver(url.host, client=sqs, clock=clock)
    )
    driver = SQSDriver("eu-west-1", client=sqs)
    assert driver.make_queue("mail")
    settings = driver.queue_settings("mail")
    assert settings is not None
    made = FakeLambda(("a", "Enabled"), arn=str(settings.resource))
    monkeypatch.setattr("cloudq.cli.lambda_mappings.open_beside", lambda driver, name: made)
    return made


@pytest.fixture
def store(tmp_path):
    return f"sqlite:///{tmp_path}/store.db"


def test_a_pause_says_that_it_does_not_stop_lambda(cli, client, store):
    """Where nobody asked for that, and asks Lambda nothing."""
    result = cli("pause", "mail", "--backend", "sqs://eu-west-1", "--store", store)
    assert 0 == result.code
    assert "note: a Lambda function isn't stopped by this: --lambda-mapping all" in result.err
    assert [] == client.calls


def test_a_pause_disables_what_is_named_and_a_resume_enables_it(cli, client, store):
    """Besides the flag for workers that poll; the states are the service's."""
    options = ("--backend", "sqs://eu-west-1", "--store", store, "--lambda-mapping")
    result = cli("pause", "mail", *options, "all")
    assert (0, "") == (result.code, result.err)
    assert "queue 'mail' is paused" == result.out.splitlines()[0]
    assert "Lambda mapping a of function shop-a:live: Disabling" in result.out
    assert "Disabling already" in cli("pause", "mail", *options, "all").out
    client.done()
    told = json.loads(cli("resume", "mail", *options, "a", "--json").out)
    expected = {"uuid": "a", "function": "shop-a:live", "state": "Enabling"}
    assert (False, True, [expected]) == (told["paused"], told["changed"], told["lambda_mappings"])
    assert 3 == client.closed


def test_without_a_store_the_mapping_alone_is_disabled(cli, client):
    """Said, as workers that poll go on. Without the mapping it would be refused."""
    result = cli("pause", "mail", "--backend", "sqs://eu-west-1", "--lambda-mapping", "all")
    assert 0 == result.code
    assert "workers that poll aren't paused, only Lambda" in result.err
    assert "is paused" not in result.out
    assert "Disabling" == client.states["a"]
    assert "Disabling already" in cli("pause", "mail", "--backend", "sqs://eu-west-1", "--lambda-mapping", "all").out
    client.done()
    assert 0 == cli("resume", "mail", "--backend", "sqs://eu-west-1", "--lambda-mapping", "all").code
    assert "Enabling" == client.states["a"]


def test_a_wrong_name_pauses_nothing(cli, client, store):
    """It is found out before the flag is set."""
    options = ("--backend", "sqs://eu-west-1", "--store", store)
    assert 2 == cli("pause", "mail", *options, "--lambda-mapping", "x").code
    assert "wasn't paused" in cli("resume", "mail", *options).out
