"""What `TASKS` may say of a back end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

PRIORITIES = {"-high": 10, "": 0, "-low": -100}


@pytest.fixture
def options(django_site: None) -> Any:
    """Reads them."""
    from cloudq.integrations.django.options import backend_options

    return lambda **given: backend_options("mail", given)


def test_none_is_needed(options: Any) -> None:
    """Then it is the default app, without results or priorities."""
    read = options()
    assert (None, None, (), ()) == (read.url, read.results, read.levels, read.modules)
    assert "mail" == read.queue("mail", 100)
    assert {"a": 1, "b": 1} == read.weights(["a", "b"])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"store": "redis://x"}, timedelta(days=1)),
        ({"store": "redis://x", "results": False}, None),
        ({"results": True}, timedelta(days=1)),
        ({"results": timedelta(hours=1)}, timedelta(hours=1)),
    ],
)
def test_how_long_results_are_kept(options: Any, given: dict[str, Any], kept: timedelta | None) -> None:
    """A day where a store is named, unless something else is said."""
    assert kept == options(url="memory://", **given).results


def test_queues_by_priority(options: Any) -> None:
    """The suffix goes before `.fifo`, which SQS wants at the end."""
    read = options(priorities=PRIORITIES)
    assert ["a-high", "a-high", "a", "a-low", "a-low"] == [read.queue("a", p) for p in (100, 10, 9, -1, -100)]
    assert "a-high.fifo" == read.queue("a.fifo", 10)
    assert {"a-high": 4, "a": 2, "a-low": 1} == read.weights(["a"])


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"urll": "memory://"}, "url"),
        ({"url": 5}, "'url' is a URL"),
        ({"url": ""}, "'url' is a URL"),
        ({"store": "redis://x"}, "goes with 'url'"),
        ({"results": 5}, "timedelta"),
        ({"results": timedelta(0)}, "timedelta"),
        ({"tasks": []}, "by the names of tasks"),
        ({"tasks": {"a.b": 5}}, "by the names of tasks"),
        ({"tasks": {"a.b": {"queue": "x"}}}, "no option 'queue'"),
        ({"modules": "shop"}, "list of modules"),
        ({"modules": ["shop/x"]}, "list of modules"),
        ({"priorities": {"-high": "10"}}, "least priority"),
        ({"priorities": {"": 0, "-high": 10, "-low": -100}}, "most urgent"),
        ({"priorities": {"-high": 10, "": 0}}, "down to -100"),
        ({"priorities": {" high": 10, "": -100}}, "can't have the queue"),
    ],
)
def test_what_means_nothing_is_refused(options: Any, given: dict[str, Any], complaint: str) -> None:
    """With the alias, by Django's own error."""
    from cloudq.integrations.django.contract import InvalidTaskBackend

    with pytest.raises(InvalidTaskBackend, match=r"TASKS\['mail'\]") as raised:
        options(**given)
    assert complaint in str(raised.value)


def test_a_password_is_not_shown(options: Any) -> None:
    """What isn't a URL may hold one all the same."""
    from cloudq.integrations.django.contract import InvalidTaskBackend

    with pytest.raises(InvalidTaskBackend) as raised:
        options(url=b"redis://user:geheim@x")
    assert "geheim" not in str(raised.value)
