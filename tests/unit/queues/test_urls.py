"""Backend URLs: which one is in force, what they may hold, and what is never shown."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudq import App
from cloudq.core.url import DEFAULT_URL, BackendUrl, parse_url, rooted
from cloudq.errors import CloudqError, ConfigurationError
from cloudq.queues.urls import backend_url, parse_claim_check
from tests.ids import shown

SQS = "sqs://eu-west-1?prefix=prod-"


@pytest.mark.parametrize(
    ("given_url", "environment", "expected"),
    [
        (None, {}, DEFAULT_URL),
        (None, {"CLOUDQ_URL": SQS}, SQS),
        ("memory://", {"CLOUDQ_URL": SQS}, "memory://"),
        ("sqs", {"CLOUDQ_URL": SQS}, SQS),
        ("SQS", {"CLOUDQ_URL": SQS}, SQS),
        ("sqlite", {}, DEFAULT_URL),
        ("memory", {}, "memory://"),
        ("sqlite", {"CLOUDQ_URL": "sqlite:////data/q.db"}, "sqlite:////data/q.db"),
    ],
    ids=shown,
)
def test_the_given_url_comes_before_the_environments_before_the_default(given_url, environment, expected):
    """A bare scheme is completed by a `CLOUDQ_URL` of that scheme."""
    assert expected == backend_url(given_url, environment)


def test_a_bare_scheme_beside_another_url_names_both():
    """Which of the two is meant can't be known."""
    with pytest.raises(ConfigurationError, match="'cloudtasks' was asked for, but CLOUDQ_URL names 'sqs'"):
        backend_url("cloudtasks", {"CLOUDQ_URL": SQS})


def test_a_bare_scheme_that_needs_more_says_so():
    """Only memory and sqlite have a default of their own."""
    with pytest.raises(ConfigurationError, match="'servicebus' needs a URL"):
        backend_url("servicebus", {})


@pytest.mark.parametrize(
    ("variable", "platform"),
    [
        ("AWS_LAMBDA_FUNCTION_NAME", "AWS Lambda"),
        ("K_SERVICE", "Cloud Run"),
        ("KUBERNETES_SERVICE_HOST", "Kubernetes"),
        ("ECS_CONTAINER_METADATA_URI_V4", "Amazon ECS"),
        ("WEBSITE_INSTANCE_ID", "Azure App Service and Azure Functions"),
        ("CONTAINER_APP_NAME", "Azure Container Apps"),
        ("DYNO", "Heroku"),
        ("GAE_ENV", "App Engine"),
        ("GAE_INSTANCE", "App Engine"),
    ],
)
def test_the_default_is_refused_where_a_local_file_would_be_lost(variable, platform):
    """On a hosted platform a URL must be set; any URL will do, a file too."""
    with pytest.raises(ConfigurationError, match=platform) as caught:
        backend_url(None, {variable: "x"})
    assert "set CLOUDQ_URL" in caught.value.hint
    assert "sqlite:////mnt/q.db" == backend_url("sqlite:////mnt/q.db", {variable: "x"})
    assert SQS == backend_url(None, {variable: "x", "CLOUDQ_URL": SQS})
    assert DEFAULT_URL == backend_url(None, {variable: ""})


@pytest.mark.parametrize(
    ("url", "scheme", "host", "path", "parameters"),
    [
        ("sqlite:///cloudq.db", "sqlite", "", "cloudq.db", {}),
        ("sqlite:////data/q.db", "sqlite", "", "/data/q.db", {}),
        ("sqlite:///a%20b%23%3Fc%25.db?synchronous=normal", "sqlite", "", "a b#?c%.db", {"synchronous": "normal"}),
        ("sqlite:///a+b.db", "sqlite", "", "a+b.db", {}),
        ("SQLITE:///Q.db", "sqlite", "", "Q.db", {}),
        ("memory://", "memory", "", "", {}),
        ("sqs://eu-west-1?prefix=prod-&empty=", "sqs", "eu-west-1", "", {"prefix": "prod-", "empty": ""}),
        ("cloudtasks://p/l?target=https%3A%2F%2Fw%2F", "cloudtasks", "p", "l", {"target": "https://w/"}),
        ("cloudtasks://p/l?target=https://w.example/x", "cloudtasks", "p", "l", {"target": "https://w.example/x"}),
    ],
    ids=shown,
)
def test_a_url_has_its_parts(url, scheme, host, path, parameters):
    """Percent-decoded, an absolute path by its second slash."""
    assert BackendUrl(scheme=scheme, host=host, path=path, parameters=parameters) == parse_url(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "starts with a scheme"),
        ("cloudq.db", "starts with a scheme"),
        ("sqlite:cloudq.db", "starts with a scheme"),
        ("://x", "starts with a scheme"),
        ("sqs://[::1", "not a backend URL"),
        ("sqs://a?prefix=1&prefix=2", "names the parameter 'prefix' twice"),
        ("sqs://a?nonsense", "aren't name=value"),
        ("sqs://a#b", "no #fragment"),
        ("sqs://key:hunter2@a", "holds credentials"),
        ("sqs://hunter2@a/b", "holds credentials"),
        ("sqlite:///a%00b", "NUL"),
        ("sqlite:///a%ffb", "not a backend URL"),
    ],
)
def test_what_is_no_backend_url_is_refused(url, why):
    """With a reason, and a cloudq error, whatever Python's parser says."""
    with pytest.raises(ConfigurationError, match=why):
        parse_url(url)


@pytest.mark.cloudq_allow_real
@pytest.mark.parametrize(
    "text",
    [
        "sqs://key:hunter2@eu-west-1",
        "sqs://eu-west-1?hunter2",
        "sqs://eu-west-1?secret=hunter2&secret=hunter2",
        "servicebus://x?key=hunter2",
        "Endpoint=sb://x/;SharedAccessKey=hunter2",
        "user:hunter2@host",
        "hunter2!",
    ],
)
@pytest.mark.parametrize("by_environment", [False, True])
def test_secrets_in_a_url_are_never_shown(text, by_environment, monkeypatch):
    """Neither in an error nor in its hint, its cause or the URL's repr."""
    monkeypatch.delenv("CLOUDQ_URL", raising=False)
    if by_environment:
        monkeypatch.setenv("CLOUDQ_URL", text)
    with pytest.raises(CloudqError) as caught:
        App(None if by_environment else text).send("x")
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in f"{error!r} {getattr(error, 'hint', '')}"
        error = error.__cause__
    if text.startswith("servicebus"):
        assert "hunter2" not in f"{parse_url(text)} {parse_url(text)!r}"
        assert "servicebus://x?key=…" == str(parse_url(text))


def test_a_bare_scheme_beside_a_secret_does_not_show_it():
    """A connection string in `CLOUDQ_URL` is refused by its form."""
    with pytest.raises(ConfigurationError) as caught:
        backend_url("sqs", {"CLOUDQ_URL": "Endpoint=sb://x/;SharedAccessKey=hunter2"})
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_a_file_is_shown_by_its_absolute_path(monkeypatch, tmp_path):
    """So that a banner says where it writes."""
    monkeypatch.chdir(tmp_path)
    assert f"sqlite:///{tmp_path}/cloudq.db" == str(parse_url("sqlite:///cloudq.db"))
    assert "sqlite:////data/q.db" == str(parse_url("sqlite:////data/q.db?synchronous=normal"))
    assert Path("/data/q.db").is_absolute()


@pytest.mark.parametrize(
    ("url", "rest"),
    [
        ("sqlite:///q.db", "/q.db"),
        ("SQLite:///data/q.db?synchronous=normal", "/data/q.db?synchronous=normal"),
        ("sqlite:///a%20b%3F.db", "/a%20b%3F.db"),
    ],
)
def test_a_relative_file_is_rooted_in_the_current_folder(monkeypatch, tmp_path, url, rest):
    """The path gets the folder before it, percent-encoded as a URL needs it, and stays what it was otherwise."""
    folder = tmp_path / "50% off?"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert f"sqlite:///{tmp_path}/50%25%20off%3F{rest}" == rooted(url)
    assert str(folder) == str(Path(parse_url(rooted(url)).path).parents[rest.count("/") - 1])


@pytest.mark.parametrize(
    "url", ["sqlite:////data/q.db", "sqlite:///:memory:", "sqlite:///", "sqlite:///q.db#x", "memory://", SQS, "sqlite"]
)
def test_every_other_url_is_left_alone(url):
    """An absolute path, another backend, and what is refused later stay as they are."""
    assert url == rooted(url)


def test_a_folder_that_was_deleted_is_no_error_yet(monkeypatch, tmp_path):
    """Configuring an app fails for no such reason; opening the file does."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "sqlite:///q.db" == rooted("sqlite:///q.db")


def test_unknown_parameters_are_refused_with_the_nearest():
    """`only` is what every driver asks for."""
    url = parse_url("sqlite:///q.db?synchronus=full")
    with pytest.raises(ConfigurationError, match="no parameter 'synchronus': did you mean 'synchronous'"):
        url.only({"synchronous", "busy_timeout"})


@given(st.text(max_size=30))
def test_any_text_is_a_url_or_a_configuration_error(text):
    """Nothing else comes out."""
    with contextlib.suppress(ConfigurationError):
        assert isinstance(parse_url(text), BackendUrl)


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_given_text_beside_any_environment_is_decided(given_url, environment):
    """A URL comes back, or a ConfigurationError."""
    with contextlib.suppress(ConfigurationError):
        assert isinstance(backend_url(given_url, {"CLOUDQ_URL": environment}), str)


# ── the claim-check store's URL ──────────────────────────────────────────────────────────────────────────


def test_what_a_url_says():
    """The location is fsspec's; the parameters are ours."""
    url = parse_claim_check("s3://bucket/a/prefix/?threshold=65536&delete=acked")
    assert ("s3://bucket/a/prefix", 65536, True) == (url.location, url.threshold, url.delete)
    url = parse_claim_check("abfs://container@account.dfs.core.windows.net")
    assert ("abfs://container@account.dfs.core.windows.net", None, False) == (url.location, url.threshold, url.delete)
    assert "s3://bucket" == str(parse_claim_check("s3://bucket?threshold=2000"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("bucket/prefix", "starts with one scheme"),
        ("s3:bucket", "starts with one scheme"),
        ("simplecache::s3://bucket", "starts with one scheme"),
        ("s3://", "names no location"),
        ("s3://AKIA:hunter2@bucket", "holds credentials"),
        ("s3://bucket#x", "no #fragment"),
        ("file://folder/x", "takes the absolute path"),
        ("file:///", "takes the absolute path"),
        ("s3://bucket?secret=hunter2", "has no parameter 'secret'"),
        ("s3://bucket?hunter2", "is no URL"),
        ("s3://bucket?delete=acked&delete=never", "twice"),
        ("s3://bucket?delete=yes", "neither never nor acked"),
        *(
            (f"s3://bucket?threshold={number}", "is not a number of bytes, 1,024 at least")
            for number in ("x", "", 1023, -1)
        ),
    ],
)
def test_what_is_no_url_of_a_store(url, said):
    """Refused, and no password is shown."""
    with pytest.raises(ConfigurationError, match=said) as raised:
        parse_claim_check(url)
    assert "hunter2" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize("query", ["threshold=S3CRET", "delete=S3CRET", "S3CRET%2B/=", "S3CRET"])
def test_no_value_of_a_stores_parameter_is_shown(query):
    """A key that was pasted there isn't told by the error, though a parameter's name is."""
    with pytest.raises(ConfigurationError) as caught:
        parse_claim_check(f"s3://bucket?{query}")
    assert "S3CRET" not in str(caught.value)


def test_a_variable_that_is_set_to_nothing_is_told():
    """Something should have filled it in; what is given takes its place all the same."""
    with pytest.raises(ConfigurationError, match="CLOUDQ_URL is set, but to nothing") as refused:
        backend_url(None, {"CLOUDQ_URL": ""})
    assert "unset it" in refused.value.hint
    assert "memory://" == backend_url("memory://", {"CLOUDQ_URL": ""})
    assert DEFAULT_URL == backend_url("sqlite", {"CLOUDQ_URL": ""})


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("postgres://u:hunter2@h/db", "backends: cloudtasks, memory, servicebus, sqlite, sqs"),
        ("amqp://guest:hunter2@h", "backends:"),
        ("sqllite:///hunter2.db", "did you mean 'sqlite'?"),
        ("https://sqs.eu-west-1.amazonaws.com/123/hunter2", "sqs://eu-west-1"),
        ("https://eu-west-1.queue.amazonaws.com/123/q", "sqs://eu-west-1"),
        ("https://shop.servicebus.windows.net/q", "servicebus://shop.servicebus.windows.net"),
        ("http://localhost:4566", "endpoint_url="),
        ("sb://shop.servicebus.windows.net", "servicebus://NAMESPACE"),
        ("file:///data/q.db", "sqlite:////absolute/path.db"),
    ],
)
@pytest.mark.parametrize("how", [backend_url, lambda url: backend_url(None, {"CLOUDQ_URL": url})])
def test_a_url_of_no_backend_is_told_first(url, hint, how):
    """Before what else is wrong with it: credentials in it, say, which aren't shown. Backends are listed once."""
    with pytest.raises(ConfigurationError, match=f"^there is no backend '{url.partition(':')[0]}'; hint: ") as refused:
        how(url)
    assert hint in refused.value.hint
    assert "hunter2" not in str(refused.value)
    assert 1 >= str(refused.value).count("servicebus, sqlite")


@pytest.mark.parametrize("scheme", ["postgres", "sqss"])
def test_a_bare_scheme_of_no_backend_is_told_so(scheme):
    """It isn't asked for a URL that nothing would understand."""
    with pytest.raises(ConfigurationError, match=f"there is no backend '{scheme}'"):
        backend_url(scheme, {})


def test_a_connection_string_is_no_url():
    """The key in it isn't shown, and the hint says where it goes."""
    text = "Endpoint=sb://shop.servicebus.windows.net/;SharedAccessKeyName=a;SharedAccessKey=hunter2"
    with pytest.raises(ConfigurationError, match="a connection string") as refused:
        backend_url(text)
    assert "hunter2" not in str(refused.value)
    assert "servicebus://NAMESPACE" in refused.value.hint
