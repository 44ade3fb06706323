"""A store's URL as a value, and what it never shows."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest

from cloudq.core.store_url import StoreUrl, parse_store_url
from cloudq.errors import ConfigurationError

HIDDEN = "hunter2"


def test_the_parts_of_a_url() -> None:
    """User and password are percent-decoded, and beside the host."""
    url = parse_store_url("postgresql://app%40b:p%23w%2F%40@db.example:5432/jobs?prefix=prod&sslmode=require")
    assert (url.scheme, url.user, url.password) == ("postgresql", "app@b", "p#w/@")
    assert (url.host, url.path) == ("db.example:5432", "jobs")
    assert url.namespace("default") == "prod"
    assert url.options("sslmode") == {"sslmode": "require"}


def test_a_url_without_credentials() -> None:
    """Most have none."""
    url = parse_store_url("dynamodb://cloudq")
    assert (url.host, url.user, url.password) == ("cloudq", None, None)
    assert url.namespace("app") == "app"
    assert url.timeout(timedelta(seconds=7)) == timedelta(seconds=7)
    assert str(url) == "dynamodb://cloudq"


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{0!r}".format])
@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{HIDDEN}@cache/0",
        f"redis://{HIDDEN}@cache/0",
        f"postgresql://app:{HIDDEN}@db/jobs?sslmode=require",
        f"postgresql://db/jobs?passfile={HIDDEN}",
    ],
)
def test_no_text_shows_a_password(url: str, show) -> None:
    """Not its user either: keys stand there too."""
    shown = show(parse_store_url(url))
    assert HIDDEN not in shown
    assert url.partition("://")[0] in shown


@pytest.mark.parametrize(
    "url",
    [
        HIDDEN,
        f"://{HIDDEN}",
        f"postgresql:{HIDDEN}@db/jobs",
        f"post gres://app:{HIDDEN}@db/jobs",
        f"postgresql://app:{HIDDEN}/x@db/jobs",
        f"postgresql://app:x/{HIDDEN}@db/jobs",
        f"postgresql://app:{HIDDEN}#x@db/jobs",
        f"postgresql://app:{HIDDEN}?x@db/jobs",
        f"postgresql:///x{HIDDEN}@db/jobs",
        f"postgresql://x?{HIDDEN}@db/jobs?prefix=y",
        f"postgresql://app:x?{HIDDEN}@db/jobs",
        f"postgresql://app:x?{HIDDEN}=1&{HIDDEN}=1@db/jobs",
        f"postgresql://app:{HIDDEN}%ff@db/jobs",
        f"postgresql://app:{HIDDEN}@[db/jobs",
        f"postgresql://app:{HIDDEN}@db /jobs",
        f"redis://cache/0?prefix=a&prefix={HIDDEN}",
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_its_secrets(url: str) -> None:
    """A password whose own characters cut the URL elsewhere ends up in any of its parts."""
    with pytest.raises(ConfigurationError) as raised:
        parse_store_url(url)
    texts = []
    error: BaseException | None = raised.value
    while error is not None:
        texts += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    assert not [text for text in texts if HIDDEN in text]


@pytest.mark.parametrize(
    "url", [f"postgresql://app:{HIDDEN}@db:99999/jobs", "mariadb://db:65536/jobs", "redis://db:0/0"]
)
def test_a_port_is_a_number_from_1_to_65535(url: str) -> None:
    """0 isn't the default one of the server."""
    with pytest.raises(ConfigurationError, match=r"the [a-z]+:// URL names no host and port") as raised:
        parse_store_url(url)
    assert HIDDEN not in str(raised.value)
    assert parse_store_url(url.replace(url.rpartition(":")[2].partition("/")[0], "65535")).host == "db:65535"


def test_a_parameter_that_nobody_knows_is_refused_by_its_name() -> None:
    """Never by its value; `prefix` and `timeout` are every store's."""
    url = parse_store_url(f"redis://cache/0?prefix=prod&timeout=2&ssl_cacerts={HIDDEN}")
    with pytest.raises(ConfigurationError, match="no parameter 'ssl_cacerts': did you mean 'ssl_ca_certs'") as raised:
        url.options("ssl_ca_certs")
    assert HIDDEN not in str(raised.value)


@pytest.mark.parametrize("prefix", ["", "x" * 129, "a%0Ab", "a%00"])
def test_a_prefix_keeps_keys_apart(prefix: str) -> None:
    """An empty one wouldn't, and what can't be printed is a slip."""
    with pytest.raises(ConfigurationError, match="prefix"):
        parse_store_url(f"redis://cache/0?prefix={prefix}").namespace("app")


def test_a_namespace_that_is_no_prefix_is_refused_as_one() -> None:
    """What the caller gives is held to the same."""
    with pytest.raises(ConfigurationError, match="empty prefix"):
        parse_store_url("redis://cache/0").namespace("")
    assert parse_store_url("redis://cache/0?prefix=é-1").namespace("") == "é-1"


@pytest.mark.parametrize("timeout", ["0", "soon", "-1", "nan"])
def test_a_timeout_is_some_time(timeout: str) -> None:
    """A call needs some."""
    with pytest.raises(ConfigurationError, match="timeout"):
        parse_store_url(f"redis://cache/0?timeout={timeout}").timeout()


def test_a_url_travels() -> None:
    """To a child process, say: as a value, whole."""
    url = parse_store_url(f"redis://:{HIDDEN}@cache/0")
    again = pickle.loads(pickle.dumps(url))  # noqa: S301 - our own
    assert isinstance(again, StoreUrl)
    assert again == url
