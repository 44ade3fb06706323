"""The parts of a URL that a queue overrides. Pure."""

from __future__ import annotations

import pytest
from google.cloud import tasks_v2

from cloudq.emulators.cloud_tasks.outgoing import overridden

IF_NOT_EXISTS: dict[str, object] = {"uri_override_enforce_mode": "IF_NOT_EXISTS"}


@pytest.mark.parametrize(
    ("url", "override", "expected"),
    [
        ("http://a.b/c?d", {}, "http://a.b/c?d"),
        ("https://www.example.com", {"scheme": "HTTP"}, "http://www.example.com"),
        ("http://www.example.com", {"scheme": "HTTPS"}, "https://www.example.com"),
        ("http://www.example.com", {"scheme": "SCHEME_UNSPECIFIED"}, "https://www.example.com"),
        ("https://www.google.com", {"host": "example.net"}, "https://example.net"),
        ("https://www.example.com/example", {"port": 123}, "https://www.example.com:123/example"),
        ("https://www.example.com:123/example", {"port": 0}, "https://www.example.com/example"),
        ("http://a/b?c", {"path_override": {"path": "/x"}}, "http://a/x?c"),
        ("http://a/b?c", {"path_override": {"path": "x"}}, "http://a/x?c"),
        ("http://a/b?c", {"path_override": {"path": ""}}, "http://a?c"),
        ("http://a/b?c", {"query_override": {"query_params": "d=e"}}, "http://a/b?d=e"),
        ("http://a/b?c", {"query_override": {}}, "http://a/b"),
        ("http://[::1]:80/b", {"host": "a"}, "http://a:80/b"),
        ("http://[::1]/b", {"port": 81}, "http://[::1]:81/b"),
        ("http://[::1", {"host": "a"}, "http://[::1"),
        ("", {"host": "a", "path_override": {"path": "/b"}}, "https://a/b"),
    ],
)
def test_parts_are_replaced(url, override, expected):
    """UriOverride: "When specified, replaces the host part of the task URL"; "Setting the port to 0 (Zero) clears the
    URI port"; "Setting the path value to an empty string clears the URI path segment"; "the query value [...] clears
    the URI query segment"; Scheme: "Defaults to HTTPS"."""
    assert expected == overridden(url, tasks_v2.UriOverride.pb(tasks_v2.UriOverride(**override)))


@pytest.mark.parametrize(
    ("url", "override", "expected"),
    [
        (
            "http://a:1/b?c",
            {"host": "x", "port": 2, "path_override": {"path": "/y"}, "scheme": "HTTPS"},
            "http://a:1/b?c",
        ),
        (
            "http://a",
            {"port": 2, "path_override": {"path": "/y"}, "query_override": {"query_params": "z"}},
            "http://a:2/y?z",
        ),
        ("http://a/", {"path_override": {"path": "/y"}}, "http://a/y"),
    ],
)
def test_parts_are_added_where_there_are_none(url, override, expected):
    """UriOverrideEnforceMode: "In the IF_NOT_EXISTS mode, queue-level configuration is only applied where task-level
    configuration does not exist"."""
    made = tasks_v2.UriOverride(**override, **IF_NOT_EXISTS)
    assert expected == overridden(url, tasks_v2.UriOverride.pb(made))
