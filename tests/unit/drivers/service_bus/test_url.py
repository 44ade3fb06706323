"""What a URL says of locks and of time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.core.url import parse_url
from cloudq.drivers.service_bus.url import CONNECTION_STRING_VARIABLE, open_url
from cloudq.errors import ConfigurationError

URL = "servicebus://example.servicebus.windows.net"


@pytest.mark.parametrize(
    ("parameters", "call"), [("", timedelta(seconds=5)), ("?timeout=30", timedelta(seconds=10))], ids=["default", "set"]
)
def test_a_timeout_has_room_for_three_calls(parameters: str, call: timedelta) -> None:
    """A send is tried again as long as another call fits."""
    driver = open_url(parse_url(URL + parameters), SYSTEM_CLOCK)
    assert call == driver.capabilities("mail").call_timeout
    driver.close()


@pytest.mark.parametrize("parameters", ["timeout=0", "timeout=0.5", "timeout=x", "lock=4", "lock=301", "lock=x"])
def test_what_makes_no_sense_is_refused(parameters: str) -> None:
    """A timeout in which nothing ends, and a lock that no queue can have."""
    with pytest.raises(ConfigurationError, match=parameters.partition("=")[0]):
        open_url(parse_url(f"{URL}?{parameters}"), SYSTEM_CLOCK)


@pytest.mark.parametrize("url", [f"{URL}:99999", f"{URL}:x", f"{URL}?admin_endpoint=http://127.0.0.1:0"])
def test_a_port_that_is_none_is_refused(url: str) -> None:
    """Else a send would look for a host of that name, as long as it may."""
    with pytest.raises(ConfigurationError, match="names no host and port"):
        open_url(parse_url(url), SYSTEM_CLOCK)


def test_an_administration_without_tls_is_this_machine_or_allowed() -> None:
    """A token that manages a namespace would travel to it."""
    open_url(parse_url(f"{URL}?admin_endpoint=http://127.0.0.1:5300"), SYSTEM_CLOCK).close()
    open_url(parse_url(f"{URL}?admin_endpoint=https://admin.example"), SYSTEM_CLOCK).close()
    elsewhere = f"{URL}?admin_endpoint=http://admin.example:5300"
    with pytest.raises(ConfigurationError, match="admin_endpoint names another machine without TLS"):
        open_url(parse_url(elsewhere), SYSTEM_CLOCK)
    open_url(parse_url(f"{elsewhere}&allow_insecure=1"), SYSTEM_CLOCK).close()


@pytest.mark.parametrize("switch", ["UseDevelopmentEmulator=true", "usedevelopmentemulator = true"])
def test_an_emulator_is_on_this_machine_or_allowed(switch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With that switch the SDK speaks without TLS, whatever the host is. Without it, it doesn't."""
    keys = "SharedAccessKeyName=a;SharedAccessKey=b"
    elsewhere = f"Endpoint=sb://bus.example:5672;{keys};{switch};"

    def opens(connection_string: str, parameters: str = "") -> None:
        monkeypatch.setenv(CONNECTION_STRING_VARIABLE, connection_string)
        open_url(parse_url(f"servicebus://{parameters}"), SYSTEM_CLOCK).close()

    opens(f"Endpoint=sb://localhost:5672;{keys};{switch};")
    opens(f"Endpoint=sb://bus.servicebus.windows.net;{keys}")
    with pytest.raises(ConfigurationError, match="UseDevelopmentEmulator=true names another machine without TLS"):
        opens(elsewhere)
    opens(elsewhere, "?allow_insecure=1")
