"""Which app and which backend a command takes."""

from __future__ import annotations

import json

import pytest


def write(folder, name, text):
    (folder.path / name).write_text(text)


def backend_of(result):
    return json.loads(result.out)["backend"]


def test_option_wins_over_all(cli, folder, monkeypatch):
    """`--backend` is taken before the app's own URL and CLOUDQ_URL."""
    write(folder, "shop.py", 'import cloudq\napp = cloudq.App("sqlite:///own.db")\n@app.task("t")\ndef t(): ...\n')
    given = cli("send", "t", "--app", "shop", "--backend", "sqlite:///given.db", "--json")
    assert f"sqlite:///{folder.path}/given.db" == backend_of(given)


def test_own_url_wins_over_the_environment(cli, folder):
    """`App(url=)` is taken before CLOUDQ_URL."""
    write(folder, "shop.py", 'import cloudq\napp = cloudq.App("sqlite:///own.db")\n@app.task("t")\ndef t(): ...\n')
    assert f"sqlite:///{folder.path}/own.db" == backend_of(cli("send", "t", "--app", "shop", "--json"))


def test_bare_scheme_is_the_environments_url(cli, folder):
    """`--backend sqlite` stands for CLOUDQ_URL where that is one."""
    assert folder.url == backend_of(cli("send", "t", "--unchecked", "--backend", "sqlite", "--json"))


def test_bare_scheme_is_the_apps_own_url_without_an_environment(cli, folder, monkeypatch):
    """Without CLOUDQ_URL a bare scheme stands for the app's own URL if it has that scheme, not for the default."""
    monkeypatch.delenv("CLOUDQ_URL")
    write(folder, "shop.py", 'import cloudq\napp = cloudq.App("sqlite:///own.db")\n@app.task("t")\ndef t(): ...\n')
    result = cli("send", "t", "--app", "shop", "--backend", "sqlite", "--json")
    assert f"sqlite:///{folder.path}/own.db" == backend_of(result)


def test_bare_scheme_against_the_environment_is_2(cli):
    """A bare scheme where CLOUDQ_URL has another one ends with 2 and names both."""
    result = cli("stats", "--backend", "sqs")
    assert 2 == result.code
    assert "'sqs'" in result.err
    assert "'sqlite'" in result.err


def test_default_says_where_it_writes(cli, folder, monkeypatch, caplog):
    """Without any URL the file in the current folder is taken, and that is said."""
    monkeypatch.delenv("CLOUDQ_URL")
    assert 0 == cli("send", "t", "--unchecked").code
    assert [f"CLOUDQ_URL is not set: tasks are kept in sqlite:///{folder.path}/cloudq.db"] == caplog.messages


def test_default_is_refused_in_a_container(cli, monkeypatch):
    """Where a local file would be lost it ends with 2: set CLOUDQ_URL."""
    monkeypatch.delenv("CLOUDQ_URL")
    monkeypatch.setenv("K_SERVICE", "shop")
    result = cli("stats", "--queue", "emails")
    assert 2 == result.code
    assert "hint: set CLOUDQ_URL" in result.err


@pytest.mark.parametrize("url", ["nosuch://x", "sqlite:///x.db?nosuch=1", "sqlite://host/x", "x://u:p@h", "://"])
def test_wrong_url_is_2(cli, url):
    """A URL that can't be used ends with 2 and shows no password."""
    result = cli("stats", "--backend", url)
    assert 2 == result.code
    assert "u:p" not in result.err


def test_no_database_is_3(cli, folder):
    """A file that is no database ends with 3, and is left as it is."""
    write(folder, "other.db", "not a database, but long enough to be looked at as one" * 20)
    before = (folder.path / "other.db").read_bytes()
    result = cli("stats", "--backend", "sqlite:///other.db")
    assert (3, "") == (result.code, result.out)
    assert "storage-corrupt" in result.err
    assert before == (folder.path / "other.db").read_bytes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nimport nosuchmodule\n", "No module named 'nosuchmodule' ({shop}:2)"),
        ("1 / 0\n", "ZeroDivisionError: division by zero ({shop}:1)"),
        ("import sys\nsys.exit(5)\n", "SystemExit: 5 ({shop}:2)"),
        (
            "import xml.dom\nxml.dom.registerDOMImplementation()\n",
            "positional arguments: 'name' and 'factory' ({shop}:2)",
        ),
        ("def broken(:\n", "SyntaxError: invalid syntax (shop.py, line 1)\n"),
        ("x = 1\n", "declares no task"),
    ],
)
@pytest.mark.parametrize("command", [("tasks",), ("stats",), ("send", "t")])
def test_app_that_cant_be_imported_is_2(cli, folder, text, said, command):
    """An app that was asked for and can't be had ends with 2 and says why and where, without a traceback."""
    write(folder, "shop.py", text)
    result = cli(*command, "--app", "shop")
    assert (2, "") == (result.code, result.out)
    assert said.format(shop=folder.path / "shop.py") in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("way", ["option", "environment"])
def test_app_that_was_asked_for_is_never_passed_over(cli, folder, monkeypatch, way):
    """Who names an app gets that one or an error, though the backend is known."""
    write(folder, "shop.py", "1 / 0\n")
    monkeypatch.setenv("CLOUDQ_APP", "shop" if way == "environment" else "")
    asked = ("--app", "shop") if way == "option" else ()
    assert 2 == cli("stats", "--queue", "emails", "--backend", folder.url, *asked).code


def test_traceback_of_an_import_with_debug(cli, folder):
    """`--debug` shows the module's own traceback."""
    write(folder, "shop.py", "1 / 0\n")
    assert "shop.py" in cli("tasks", "--app", "shop", "--debug").err
    assert "Traceback" in cli("tasks", "--app", "shop", "--debug").err


HOSTILE = """
import os, pathlib
pathlib.Path(os.environ["MARK"]).touch()
import cloudq
app = cloudq.App("sqlite:///own.db")
@app.task("t")
def t(): ...
"""
UNNAMED = [
    ("stats",),
    ("stats", "--queue", "q"),
    ("dlq", "list"),
    ("dlq", "list", "q"),
    ("dlq", "show", "q", "1"),
    ("dlq", "redrive", "q", "--all"),
    ("dlq", "purge", "q", "--all", "--yes"),
    ("purge", "q", "--yes"),
    ("send", "t"),
    ("send", "t", "--unchecked"),
    ("cancel", "cq1.WyJkZWZhdWx0IiwiNy0xOTk2Il0"),
    ("queues", "check"),
    ("queues", "create", "q"),
]


@pytest.fixture(params=["app.py", "tasks.py", "app/__init__.py", "pyproject.toml"])
def anybodys(request, folder, monkeypatch):
    """A folder in which somebody left an app; the mark that it leaves if it is imported, and its name."""
    file = folder.path / request.param
    file.parent.mkdir(exist_ok=True)
    file.write_text('[tool.cloudq]\napp = "evil"\n' if file.suffix == ".toml" else HOSTILE)
    (folder.path / "evil.py").write_text(HOSTILE)
    monkeypatch.setenv("MARK", str(folder.path / "mark"))
    return folder.path / "mark", "evil" if file.suffix == ".toml" else request.param.partition("/")[0].partition(".")[0]


@pytest.mark.parametrize("command", UNNAMED, ids=" ".join)
def test_what_looks_or_repairs_imports_only_what_is_named(cli, anybodys, command):
    """In a folder of uploads, say, an `app.py` is anybody's code; that it wasn't asked where messages are is told."""
    mark, name = anybodys
    result = cli(*command)
    assert not mark.exists()
    if command != ("queues", "check"):  # refused at once, as a file has no settings to check
        assert "isn't imported, as this command takes an app only from --app or CLOUDQ_APP" in result.err
        assert f"--app {name}, or CLOUDQ_APP={name}" in result.err
    cli(*command, "--backend", "sqlite:///given.db")
    assert not mark.exists()


@pytest.mark.parametrize("way", ["option", "environment"])
def test_what_is_named_is_imported(cli, anybodys, monkeypatch, way):
    """Which is consent, and asks it where its messages are."""
    mark, name = anybodys
    monkeypatch.setenv("CLOUDQ_APP", name if way == "environment" else "")
    asked = ("--app", name) if way == "option" else ()
    result = cli("send", "t", "--json", *asked)
    assert (0, "") == (result.code, result.err)
    assert mark.exists()
    assert backend_of(result).endswith("own.db")


@pytest.mark.parametrize("command", UNNAMED, ids=" ".join)
def test_nothing_is_done_on_a_default_that_an_app_may_not_share(cli, anybodys, monkeypatch, command):
    """Without a URL: where there is no file of the default, nobody says that messages are to be in one."""
    mark, name = anybodys
    monkeypatch.delenv("CLOUDQ_URL")
    result = cli(*command)
    assert (2, "") == (result.code, result.out)
    assert f"hint: --app {name}, or CLOUDQ_APP={name}; or --backend URL" in result.err
    assert [] == list(mark.parent.glob("*.db"))
    cli("send", "t", "--unchecked", "--backend", "sqlite:///cloudq.db")
    assert 2 != cli("stats").code
    assert not mark.exists()


def test_a_queue_without_an_app_is_looked_at_where_it_is(cli, anybodys):
    """The note tells the backend, so that a wrong one is seen."""
    assert "; the backend is sqlite:///" in cli("stats", "--queue", "q").err


def test_what_an_app_prints_is_no_data(cli, shop):
    """What a module prints while it is imported goes to stderr."""
    write(shop, "loud.py", 'print("hello")\nfrom shop import app\n')
    result = cli("tasks", "--app", "loud", "--json")
    assert "hello\n" == result.err
    assert 2 == len([json.loads(line) for line in result.out.splitlines()])


@pytest.mark.parametrize("command", [("send", "t"), ("stats",), ("purge", "q", "--yes"), ("dlq", "list")])
def test_memory_is_refused(cli, shop, command):
    """What is sent into this process's own memory is lost with it: no command claims to have done that."""
    result = cli(*command, "--backend", "memory://")
    assert (2, "") == (result.code, result.out)
    assert "this one, which ends now" in result.err


def test_tasks_need_no_backend(cli, folder):
    """An App in memory lists its tasks like any other."""
    write(folder, "app.py", 'import cloudq\napp = cloudq.App("memory://")\n@app.task\ndef t() -> None: ...\n')
    assert 0 == cli("tasks").code


LOOKS = [
    ("stats", "--queue", "q"),
    ("stats",),
    ("tasks",),
    ("dlq", "list", "q"),
    ("dlq", "list"),
    ("dlq", "show", "q", "1"),
    ("dlq", "redrive", "q", "--all"),
    ("dlq", "purge", "q", "--all", "--yes"),
    ("purge", "q", "--yes"),
    ("queues", "check", "q"),
]


@pytest.mark.parametrize("command", LOOKS, ids=" ".join)
def test_a_look_makes_no_database(cli, shop, command, monkeypatch):
    """An empty queue may be a mistyped path: what doesn't exist is named, each time, and isn't made."""
    monkeypatch.setenv("CLOUDQ_URL", "sqlite:///typo.db")
    monkeypatch.setenv("CLOUDQ_APP", "shop")
    said = f"note: {shop.path / 'typo.db'} doesn't exist: nothing was stored there yet\n"
    for _ in range(2):
        result = cli(*command)
        assert (command == ("tasks",)) == (said not in result.err)
        assert [] == list(shop.path.glob("typo*"))


@pytest.mark.parametrize("command", [*LOOKS, ("doctor", "q")], ids=" ".join)
def test_a_look_writes_nothing_into_an_empty_file(cli, shop, command, monkeypatch):
    """Neither tables into it, nor files beside it: `touch` made it, or a copy that failed."""
    file = shop.path / "empty.db"
    file.touch(mode=0o600)
    monkeypatch.setenv("CLOUDQ_URL", "sqlite:///empty.db")
    monkeypatch.setenv("CLOUDQ_APP", "shop")
    result = cli(*command)
    assert (command == ("tasks",)) == (f"note: {file} is empty: nothing was stored there yet\n" not in result.err)
    assert ([file], 0) == (list(shop.path.glob("empty*")), file.stat().st_size)


def test_a_look_makes_no_files_beside_what_is_no_database(cli, folder):
    """It is refused, with its name, before a lock is taken."""
    (folder.path / "notes.db").write_text("no database\n")
    result = cli("doctor", "q", "--backend", "sqlite:///notes.db")
    assert 3 == result.code
    assert "notes.db isn't an intact cloudq database: it has only 12 bytes" in result.err
    assert ["notes.db"] == [file.name for file in folder.path.glob("notes*")]


def test_an_empty_look_is_that_of_an_empty_database(cli, folder):
    """A program gets the same answer from a database that doesn't exist as from one that is empty."""
    missing = cli("stats", "--queue", "q", "--json", "--backend", "sqlite:///typo.db")
    assert 0 == cli("send", "t", "--queue", "other", "--unchecked", "--backend", "sqlite:///there.db").code
    assert missing.out == cli("stats", "--queue", "q", "--json", "--backend", "sqlite:///there.db").out


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///nowhere/q.db", "the folder {0}/nowhere of the database doesn't exist"),
        ("sqlite:///typo.db?synchronous=off", "neither full nor normal"),
        ("sqlite:///typo.db?password=x", "no parameter 'password'"),
        ("sqlite:///.", "is a folder"),
    ],
)
def test_a_path_that_can_be_none_is_an_error_of_a_look_too(cli, folder, url, said):
    """With no note before it that something is new, or missing."""
    result = cli("stats", "--queue", "q", "--backend", url)
    assert 2 == result.code
    assert said.format(folder.path) in result.err
    assert "note:" not in result.err


def test_a_broken_project_file_is_no_missing_app(cli, folder):
    """Nothing is sent unchecked, and no default is taken, because of a slip in pyproject.toml."""
    for text, why in [
        ('[tool.cloudq]\nap = "shop"\n', "unknown key 'ap'"),
        ("[tool.cloudq", "can't be read"),
    ]:
        write(folder, "pyproject.toml", text)
        for command in (("send", "t"), ("stats",), ("worker", "--burst"), ("tasks",)):
            result = cli(*command)
            assert (2, "") == (result.code, result.out)
            assert why in result.err
    write(folder, "pyproject.toml", '[tool.cloudq]\nap = "shop"\n')
    assert "  hint: did you mean 'app'?\n" in cli("tasks").err
