"""From a URL to an open driver."""

from __future__ import annotations

import sys
import traceback
from datetime import timedelta
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from cloudq import App
from cloudq.core.clock import SYSTEM_CLOCK
from cloudq.drivers.memory import MemoryDriver
from cloudq.errors import ConfigurationError
from cloudq.queues import opening
from cloudq.queues.opening import open_driver
from cloudq.worker.service import Worker
from cloudq.worker.settings import WorkerSettings
from tests.imports import forget


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("memory://host", "neither a host nor a path"),
        ("memory:///path", "neither a host nor a path"),
        ("memory://?ttl=5", "no parameter 'ttl'"),
        ("memory://?dedup_window=soon", "not a number of seconds"),
        ("memory://?dedup_window=-1", "not a number of seconds"),
        ("memory://?dedup_window=nan", "not a number of seconds"),
        ("memory://?dedup_window=1e300", "not a number of seconds"),
        ("sqlite://cloudq.db", "stands where a host would"),
        ("sqlite://", "needs the path of a file"),
        ("sqlite:///", "needs the path of a file"),
        ("sqlite:///:memory:", "needs the path of a file"),
        ("sqlite:///q.db?synchronous=off", "neither full nor normal"),
        ("sqlite:///q.db?busy_timeout=x", "not a number of seconds"),
        ("sqlite:///q.db?password=x", "no parameter 'password'"),
        ("sqs://eu-west-1/queue", "a region and no path"),
        ("sqs://Europe", "is not a region"),
        ("sqs://us-eest-9", "what sqs:// names is not a region of AWS"),
        ("sqs://eu-west", "is not a region"),
        ("sqs://eu-west-0", "is not a region"),
        ("sqs://eu-west-1?account=me", "not an AWS account"),
        ("sqs://eu-west-1?endpoint_url=localhost:4566", "neither http:// nor https://"),
        ("sqs://eu-west-1?region=x", "no parameter 'region'"),
        ("cloudtasks://my-project?target=https://w/", "a project and a location"),
        ("cloudtasks:///europe-west1?target=https://w/", "a project and a location"),
        ("cloudtasks://My_Project/europe-west1?target=https://w/", "a project and a location"),
        ("cloudtasks://My_Project/europe-west1?target=https://w/", "the first is not a project"),
        ("cloudtasks://my-project/europe-west1/q?target=https://w/", "the second is not a location"),
        ("cloudtasks://my-project/Europe?target=https://w/", "the second is not a location"),
        ("cloudtasks://my-project/europe-west1", "needs the URL that messages are pushed to"),
        ("cloudtasks://my-project/europe-west1?target=worker.example", "needs the URL that messages are pushed to"),
        ("cloudtasks://my-project/europe-west1?target=ftp://w/", "needs the URL that messages are pushed to"),
        ("cloudtasks://my-project/europe-west1?target=https://w/" + "x" * 2100, "needs the URL"),
        ("cloudtasks://my-project/europe-west1?target=https://w/&token=x", "no parameter 'token'"),
        (
            "cloudtasks://my-project/europe-west1?target=https://w/&service_account=me",
            "not the e-mail address of a service account",
        ),
        ("cloudtasks://my-project/europe-west1?target=http://w/&service_account=a@b", "in the clear"),
        ("cloudtasks://my-project/europe-west1?target=https://w/&audience=w", "no account is given"),
        ("cloudtasks://my-project/europe-west1?target=https://w/&prefix=a_", "can't start a queue's name"),
        ("cloudtasks://my-project/europe-west1?target=https://w/&max_body=1MB", "not a number of bytes"),
        ("cloudtasks://my-project/europe-west1?target=https://w/&max_body=2000000", "not a number of bytes"),
        ("cloudtasks://my-project/europe-west1?target=https://w/&timeout=soon", "not a number of seconds"),
        ("redis://host", "there is no backend 'redis'"),
        ("sqllite:///q.db", "did you mean 'sqlite'"),
    ],
)
def test_a_url_that_no_driver_understands_is_refused(url, why, monkeypatch, tmp_path):
    """At open, and no file is made."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=why):
        open_driver(url, SYSTEM_CLOCK)
    assert [] == list(tmp_path.iterdir())


PASTED = "wJalrXUtnFEMI%2FK7MDENG%2FbPxRfiCYEXAMPLEKEY"  # AWS's own example


@pytest.mark.parametrize(
    "url",
    [
        "sqs://{}",
        "sqs://eu-west-1?account={}",
        "sqs://eu-west-1?endpoint_url={}",
        "sqs://eu-west-1?scheduler_role={}",
        "sqs://eu-west-1?timeout={}",
        "sqs://eu-west-1?{}=",
        "sqs://eu-west-1?{}",
        "sqs://eu-west-1?{0}=1&{0}=2",
        "sqs://eu-west-1/{}",
        "sqs://[{}",
        "sqs://\uff20{}",  # what becomes an @ when it is brought to its usual form, which Python refuses
        "memory://{}",
        "memory:///{}",
        "memory://?dedup_window={}",
        "sqlite://{}",
        "sqlite:///q.db?synchronous={}",
        "sqlite:///q.db?mode={}",
        "servicebus://n.servicebus.windows.net/{}",
        "servicebus://n.servicebus.windows.net?admin_endpoint={}",
        "servicebus://n.servicebus.windows.net?max_message={}",
        "servicebus://n.servicebus.windows.net?lock={}",
        "cloudtasks://{}/europe-west1?target=https://w/",
        "cloudtasks://my-project/{}?target=https://w/",
        "cloudtasks://my-project/europe-west1?target={}",
        "cloudtasks://my-project/europe-west1?target=https://w/&service_account={}",
        "cloudtasks://my-project/europe-west1?target=https://w/&audience={}",
        "cloudtasks://my-project/europe-west1?target=https://w/&prefix={}%21",
    ],
)
def test_an_error_names_the_parameter_and_not_its_value(url, monkeypatch, tmp_path):
    """A key that was pasted into the wrong place of a URL, its name included, isn't shown: logs keep errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLOUDQ_SERVICEBUS_CONNECTION_STRING", "Endpoint=sb://n.servicebus.windows.net/;EntityPath=q")
    with pytest.raises(ConfigurationError) as caught:
        open_driver(url.format(PASTED), SYSTEM_CLOCK)
    assert "wJalrXUtnFEMI" not in "".join(traceback.format_exception(caught.value))


def test_memory_takes_its_window_of_deduplication():
    """Parameters reach the driver."""
    driver = open_driver("memory://?dedup_window=7.5", SYSTEM_CLOCK)
    assert timedelta(seconds=7.5) == driver.capabilities("q").deduplication


@pytest.mark.parametrize("absolute", [False, True])
def test_sqlite_opens_the_file_that_the_url_names(absolute, monkeypatch, tmp_path):
    """Relative to the current folder by three slashes, absolute by four; percent-decoded."""
    monkeypatch.chdir(tmp_path)
    path = f"/{tmp_path}/a%20b.db".replace("//", "/") if absolute else "a%20b.db"
    app = App(f"sqlite:///{path}?synchronous=normal")
    app.send("somewhere")
    app.close()
    assert (tmp_path / "a b.db").is_file()


def test_sqs_opens_without_a_call(monkeypatch):
    """Region and endpoint come from the URL; with an account not even a queue's URL is asked for."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    url = "sqs://eu-west-1?prefix=prod-&account=123456789012&endpoint_url=http%3A%2F%2F127.0.0.1%3A1"
    driver = open_driver(url, SYSTEM_CLOCK)
    meta = driver.client.meta
    assert ("eu-west-1", "http://127.0.0.1:1") == (meta.region_name, meta.endpoint_url)
    assert "http://127.0.0.1:1/123456789012/prod-emails" == driver._urls.of("emails")
    driver.close()


def test_sqs_without_a_region_is_refused(monkeypatch, tmp_path):
    """At open, naming what to do."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="no client of Amazon SQS") as caught:
        open_driver("sqs://", SYSTEM_CLOCK)
    assert "eu-west-1" in caught.value.hint


def test_a_missing_sdk_says_what_to_install(monkeypatch):
    """Without botocore, what to install is said instead of a traceback."""
    forget(monkeypatch, "cloudq.drivers.sqs")
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(ConfigurationError, match="isn't installed") as caught:
        open_driver("sqs://eu-west-1", SYSTEM_CLOCK)
    assert "pip install 'cloudq[sqs]'" == caught.value.hint


def test_another_package_adds_a_backend(monkeypatch):
    """By an entry point of the group `cloudq.drivers`; the opener gets the parsed URL and the clock."""
    opened = []

    def opener(url, clock):
        opened.append((url.host, clock))
        return MemoryDriver(clock=clock)

    class Entry(EntryPoint):
        def load(self):
            return opener

    entry = Entry(name="theirs", value="x:y", group="cloudq.drivers")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: EntryPoints([entry]).select(group=group))
    assert isinstance(open_driver("theirs://host", SYSTEM_CLOCK), MemoryDriver)
    assert [("host", SYSTEM_CLOCK)] == opened
    with pytest.raises(ConfigurationError) as caught:
        open_driver("nobodys://", SYSTEM_CLOCK)
    assert "backends: cloudtasks, memory, servicebus, sqlite, sqs, theirs" == caught.value.hint


ACME = """
from datetime import timedelta

from cloudq.drivers.memory import MemoryDriver

opened = []


def open_url(url, clock):
    opened.append((url.host, url.path, dict(url.only({"timeout", "dedup_window"})), clock))
    return MemoryDriver(clock=clock, dedup_window=url.seconds("dedup_window", timedelta(minutes=5)))
"""


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """A distribution that is installed on the path of this process, as pip leaves one; the module it brings."""
    (tmp_path / "acme_cloudq.py").write_text(ACME, encoding="utf-8")
    info = tmp_path / "acme_cloudq-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-cloudq\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(
        "[cloudq.drivers]\nacme = acme_cloudq:open_url\nmemory = acme_cloudq:open_url\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "acme_cloudq"
    sys.modules.pop("acme_cloudq", None)


@pytest.mark.cloudq_allow_real
def test_the_driver_of_an_installed_package_works_from_url_to_worker(acme):
    """Its entry point alone makes it known: an app sends by its URL, a worker of that app runs the task."""
    app, ran = App("acme://shelf/7?dedup_window=9"), []

    @app.task("count")
    def count(one: int) -> None:
        ran.append(one)

    assert acme not in sys.modules
    app.send("count", {"one": 1})
    assert timedelta(seconds=9) == app.queue("default").capabilities.deduplication
    assert 0 == Worker(app, WorkerSettings(burst=True)).run()
    assert ([1], 0) == (ran, app.queue("default").stats().ready)
    app.close()
    assert [("shelf", "7", {"dedup_window": "9"}, SYSTEM_CLOCK)] == sys.modules[acme].opened


def test_an_installed_package_does_not_take_over_a_scheme_of_ours(acme):
    """What `memory://` is doesn't depend on what else is installed."""
    open_driver("memory://", SYSTEM_CLOCK).close()
    assert acme not in sys.modules


def test_the_parameters_of_an_installed_driver_are_checked_like_ours(acme):
    """By the same value, with the same words."""
    with pytest.raises(ConfigurationError, match="acme:// has no parameter 'tmeout': did you mean 'timeout'"):
        open_driver("acme://shelf?tmeout=9", SYSTEM_CLOCK)


def test_a_backend_that_is_not_installed_names_its_extra(monkeypatch):
    """The opener is there without the SDK, and says what to install."""
    forget(monkeypatch, "cloudq.drivers.cloud_tasks")
    monkeypatch.setitem(sys.modules, "google.cloud.tasks_v2", None)
    with pytest.raises(ConfigurationError, match="isn't installed") as caught:
        open_driver("cloudtasks://my-project/europe-west1?target=https://w/", SYSTEM_CLOCK)
    assert "pip install 'cloudq[cloudtasks]'" == caught.value.hint


@pytest.mark.parametrize(
    "region",
    [
        "us-east-1",
        "ap-southeast-5",
        "us-gov-west-1",
        "us-isob-east-1",
        "mx-central-1",
        "cn-northwest-1",
        "eusc-de-east-1",
    ],
)
def test_each_kind_of_region_is_one(region):
    """Those of AWS's partitions, and those that it may open."""
    open_driver(f"sqs://{region}", SYSTEM_CLOCK).close()


@pytest.mark.parametrize(
    ("url", "module"),
    [
        ("cloudtasks://my-project/europe-west1?target=https://w/", "google.cloud.tasks"),
        ("servicebus://shop.servicebus.windows.net", "azure.servicebus"),
        ("sqs://eu-west-1", "botocore"),
    ],
)
def test_a_missing_sdk_is_told_by_its_whole_name(url, module, monkeypatch):
    """Python names the first part that isn't there, which may be all of Google or Microsoft."""

    def missing(scheme):
        raise ModuleNotFoundError("no", name=module.partition(".")[0])

    monkeypatch.setattr(opening, "_load_built_in", missing)
    with pytest.raises(ConfigurationError, match=f"needs the module '{module}'") as refused:
        open_driver(url, SYSTEM_CLOCK)
    assert refused.value.hint == f"pip install 'cloudq[{url.partition(':')[0]}]'"
