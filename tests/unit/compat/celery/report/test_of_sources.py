"""What a program's sources ask of Celery."""

from __future__ import annotations

import textwrap

import pytest

from cloudq.compat.celery.report import of_sources
from cloudq.compat.celery.report.of_sources import of_source, source_files, tasks_in


@pytest.fixture
def ask(tmp_path):
    """What a source asks of Celery, by kind and name, with the verdicts and lines; imports left out."""

    def asked(source: str, *, declarations: bool = False) -> set[tuple[str, str, str, str]]:
        file = tmp_path / "tasks.py"
        file.write_text(textwrap.dedent(source), encoding="utf-8")
        return {
            (one.kind, one.name, one.verdict.name, one.places[0].removeprefix("tasks.py:"))
            for one in of_source(file, "tasks.py", declarations=declarations)
            if one.kind != "import"
        }

    return asked


@pytest.mark.parametrize(
    ("line", "kind", "name", "verdict"),
    [
        ("t.apply_async(countdown=5)", "call", "countdown", "MAPS"),
        ("t.apply_async(eta=later)", "call", "eta", "CHANGES"),
        ("t.apply_async(link=other.s())", "call", "link", "REFUSED"),
        ("t.apply_async(serializer='json')", "call", "serializer", "MAPS"),
        ("t.apply_async(serializer=which)", "call", "serializer", "REFUSED"),
        ("app.send_task('x', routing_key='k')", "call", "routing_key", "REFUSED"),
        ("t.apply_async(colour='red')", "call", "colour", "REFUSED"),
        ("self.retry(exc=error)", "retry", "exc", "MAPS"),
        ("self.retry(kwargs={})", "retry", "kwargs", "REFUSED"),
        ("self.retry(queue='q')", "retry", "queue", "REFUSED"),
        ("chain(a.s(), b.s())", "canvas", "chain", "REFUSED"),
        ("g([a.s()])", "canvas", "g", "REFUSED"),
        ("celery.chord([a.s()])(b.s())", "canvas", "chord", "REFUSED"),
        ("a.s() | b.s()", "canvas", "chain", "REFUSED"),
        ("a.s().set(link=b)", "call", "link", "REFUSED"),
        ("a.si().set(queue='q', immutable=True)", "call", "queue", "MAPS"),
        ("a.subtask(kwargs=k, task_id=i)", "call", "task_id", "REFUSED"),
        ("a.signature((1,), link_error=b)", "call", "link_error", "REFUSED"),
        ("a.s().on_error(b)", "canvas", "on_error", "REFUSED"),
        ("a.chunks(items, 10)", "canvas", "chunks", "REFUSED"),
        ("cel.control.revoke(id)", "app", "control.revoke", "REFUSED"),
        ("app.control.revoke(id)", "app", "control.revoke", "REFUSED"),
        ("app.on_after_configure.connect(f)", "app", "on_after_configure", "REFUSED"),
        ("sender.add_periodic_task(10, t.s())", "schedule", "add_periodic_task", "REFUSED"),
        ("result.revoke(terminate=True)", "call", "revoke(terminate)", "REFUSED"),
        ("self.request.retries", "request", "request.retries", "CHANGES"),
        ("self.request.children", "request", "request.children", "REFUSED"),
    ],
)
def test_a_construct_is_found_where_it_is(ask, line, kind, name, verdict) -> None:
    """With its line."""
    source = f"import celery\nfrom celery import chain, group as g\n{line}\n"
    assert {(kind, name, verdict, "3")} == ask(source)


@pytest.mark.parametrize(
    "source",
    [
        "pool.apply_async(work, kwds={}, callback=print)",
        "@retry(stop=3)\ndef f(): ...",
        "session.retry(attempts=3)",
        "chain(a, b)",
        "a | b",
        "text.replace('a', 'b')",
        "vlc.control.play()",
        "self.request.user",
    ],
)
def test_what_only_looks_like_it_is_none(ask, source) -> None:
    """Pools, other libraries' retries, `itertools.chain`, Django's requests."""
    assert set() == ask(source)


@pytest.mark.parametrize("name", ["map", "starmap", "chunks"])
def test_many_calls_of_a_task_are_found(ask, tmp_path, name) -> None:
    """Of a task that the file declares, or another one; what others have of that name is none."""
    own = f"@shared_task\ndef add(a, b): ...\nadd.{name}(pairs)()\n"
    assert ("canvas", name, "REFUSED", "3") in ask(own)
    file = tmp_path / "calls.py"
    file.write_text(f"from tasks import add\ntasks.add.{name}(pairs)\npool.{name}(add, pairs)\n")
    calls = of_source(file, "calls.py", declarations=False, tasks={"add"})
    assert [(name, ("calls.py:2",))] == [(one.name, one.places) for one in calls]


def test_the_tasks_of_a_file_are_known_by_their_names(tmp_path) -> None:
    """However they are declared; a file that can't be read has none."""
    file = tmp_path / "a.py"
    file.write_text("@app.task(bind=True)\ndef a(self): ...\n@shared_task\ndef b(): ...\ndef c(): ...\n")
    assert {"a", "b"} == tasks_in(file)
    file.write_text("def task")
    assert set() == tasks_in(file)
    assert set() == tasks_in(tmp_path / "none.py")


@pytest.mark.parametrize("declarations", [True, False])
def test_an_early_acknowledgement_that_is_asked_for_is_found(ask, declarations) -> None:
    """Also where an app tells: in its object it looks like Celery's default."""
    source = "@app.task(acks_late=False)\ndef t(a): ...\n"
    assert ("task option", "acks_late", "REFUSED", "2") in ask(source, declarations=declarations)
    assert set() == ask(source.replace("False", "True"))


def test_a_task_is_read_where_no_app_tells(ask) -> None:
    """Its options, its parameters, and what its body asks of itself."""
    source = """
    @app.task(bind=True, acks_late=False, own="x")
    def f(self, *args):
        self.update_state(state="PROGRESS")
        return self.request.retries

    @shared_task
    async def g(): ...

    @periodic_task(run_every=10)
    def h(): ...
    """
    body = {
        ("task option", "acks_late", "REFUSED", "3"),  # of which no app tells
        ("task", "self.update_state", "REFUSED", "4"),
        ("request", "request.retries", "CHANGES", "5"),
    }
    assert body == ask(source)
    assert body | {
        ("task", "task", "MAPS", "3"),
        ("task", "task", "MAPS", "8"),
        ("task", "task", "MAPS", "11"),
        ("task option", "bind", "MAPS", "3"),
        ("task option", "acks_late", "REFUSED", "3"),
        ("task", "*args", "REFUSED", "3"),
        ("task", "async def", "REFUSED", "8"),
    } == ask(source, declarations=True)


@pytest.mark.parametrize(("hard", "found"), [("10", True), ("30", False), ("0", False), ("HARD", False)])
def test_an_end_before_the_warning_has_no_counterpart(ask, hard, found) -> None:
    """It is refused at the declaration; 0 is none, and only the program tells what else a name is worth."""
    asked = ask(f"@app.task(soft_time_limit=20, time_limit={hard})\ndef t(): ...", declarations=True)
    assert found is (("task option", "time_limit before soft_time_limit", "REFUSED", "2") in asked)


def test_a_send_by_name_may_name_its_task(ask) -> None:
    """That is no option."""
    assert {("call", "kwargs", "MAPS", "1")} == ask("app.send_task(name='x', kwargs={})")


def test_files_of_environments_and_builds_are_none_of_the_program(tmp_path) -> None:
    """Nor those of hidden folders."""
    kept = ["a.py", "pkg/b.py"]
    for name in (*kept, ".git/c.py", "venv/d.py", "mine/pyvenv.cfg", "mine/e.py", "node_modules/f.py", "pkg/g.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert kept == [str(path.relative_to(tmp_path)) for path in source_files(tmp_path)]


def test_what_is_too_large_or_no_python_is_an_error(tmp_path, monkeypatch) -> None:
    """The command says so, and reads on."""
    file = tmp_path / "a.py"
    file.write_text("def")
    with pytest.raises(SyntaxError):
        list(of_source(file, "a.py", declarations=True))
    monkeypatch.setattr(of_sources, "MOST_BYTES", 2)
    with pytest.raises(ValueError, match="larger than"):
        list(of_source(file, "a.py", declarations=True))
    monkeypatch.setattr(of_sources, "MOST_FILES", 0)
    assert [] == source_files(tmp_path)
