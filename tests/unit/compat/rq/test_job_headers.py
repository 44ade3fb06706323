"""What RQ gives to one job travels as headers, and a stranger's are no harm."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cloudq.compat.rq import Retry
from cloudq.compat.rq.job_headers import META, headers_of, meta_of
from cloudq.errors import OptionError


def test_what_is_given_travels_and_what_is_not_given_does_not() -> None:
    """An empty meta is none."""
    given = {"retry": Retry(max=2, interval=5), "description": "adds", "meta": {"a": [1, None, "é"]}, "ttl": 5}
    headers = headers_of(given)
    assert {"rq-retry": "2;5", "description": "adds", META: '{"a":[1,null,"é"]}'} == headers
    assert given["meta"] == meta_of(headers)
    assert {} == headers_of({"retry": None, "description": None, "meta": {}})
    assert {} == meta_of({})


@pytest.mark.parametrize(
    "meta",
    [{"a": object()}, {"a": {1, 2}}, {"at": datetime(2026, 1, 1, tzinfo=UTC)}, {1: "a"}, [1], "text", {"a": (1,)}],
)
def test_what_would_not_arrive_as_it_is_is_refused(meta) -> None:
    """RQ would pickle it."""
    with pytest.raises(OptionError, match="meta of a job is a JSON object"):
        headers_of({"meta": meta})


@pytest.mark.parametrize("text", ["", "[]", "1", '{"a":', "null", "[" * 9999, "\ud800"])
def test_a_strangers_meta_is_none(text) -> None:
    """Nothing that is written there ends a job."""
    assert {} == meta_of({META: text})
