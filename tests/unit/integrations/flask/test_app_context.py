"""Each attempt of a task has an application context of its own, which goes with it, whatever became of the task."""

from collections.abc import Generator, Iterator
from datetime import timedelta
from typing import Annotated

import flask
import pytest
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import text
from tenacity import stop_after_attempt

import cloudq
from cloudq.integrations.flask import Cloudq
from cloudq.integrations.flask.app_context import InAppContext, NotSucceeded
from cloudq.testing import in_memory, run_all

ENDS = [
    None,
    ValueError("broken"),
    cloudq.DeadLetter("hopeless"),
    cloudq.Retry("later"),
    cloudq.TimeLimitExceeded("too long"),
    SystemExit(3),
]


@pytest.fixture
def web() -> flask.Flask:
    web = flask.Flask("shop")
    web.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    return web


@pytest.fixture
def app(web: flask.Flask) -> Iterator[cloudq.App]:
    app = cloudq.App("memory://", retry=cloudq.RetryPolicy(stop=stop_after_attempt(2)))
    Cloudq(web, app=app)
    with in_memory(app):
        yield app


def test_a_task_has_its_own_context_sync_and_async(web, app):
    """`current_app` and `g`, and nothing that another attempt, or the sender, left in `g`."""
    seen: list[tuple[str, bool]] = []

    def look() -> None:
        seen.append((flask.current_app.name, "mark" in flask.g))
        flask.g.mark = True

    @app.task("sync")
    def sync() -> None:
        look()
        if len(seen) == 1:
            raise ValueError

    @app.task("async")
    async def asynchronous() -> None:
        look()

    with web.test_request_context():
        flask.g.mark = True
        sync.send()
        asynchronous.send()
    run_all(app)
    assert [("shop", False)] * 3 == seen
    assert not flask.has_app_context()


@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
def test_teardown_functions_are_called_with_the_tasks_error(web, app, end):
    """Some commit where there is none: so what a failed task did must never look well."""
    torn: list[BaseException | None] = []
    web.teardown_appcontext(torn.append)

    @app.task("t", retry=cloudq.RetryPolicy(stop=stop_after_attempt(1)))
    def task() -> None:
        if end is not None and len(torn) == 0:
            raise end

    task.send()
    run_all(app)
    assert torn[0] is end


def test_a_task_that_a_middleware_puts_off_did_not_succeed_either(web):
    """Teardown functions have an error to go by, though nothing was raised."""
    torn: list[BaseException | None] = []
    web.teardown_appcontext(torn.append)

    def later(context: cloudq.Context) -> Generator[None, cloudq.Outcome, cloudq.Outcome]:
        yield
        return cloudq.Snoozed(delay=timedelta(minutes=1), reason="not today")

    app = cloudq.App("memory://", middleware=[later])
    Cloudq(web, app=app)

    @app.task("t")
    def task() -> None: ...

    with in_memory(app):
        task.send()
        run_all(app, delayed=False)
    [error] = torn
    assert isinstance(error, NotSucceeded)
    assert "again later: not today" == str(error)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: type(end).__name__)
def test_the_session_of_flask_sqlalchemy_is_removed_after_each_attempt(web, app, end):
    """Its connection goes back to the pool, and what wasn't committed is rolled back: the next task sees none of it."""
    db = SQLAlchemy(web)
    rows: list[int] = []
    with web.app_context():
        db.session.execute(text("create table note (id integer)"))
        db.session.commit()

    @app.task("writes", retry=cloudq.RetryPolicy(stop=stop_after_attempt(1)))
    def writes() -> None:
        db.session.execute(text("insert into note values (1)"))
        if end is not None:
            raise end

    @app.task("reads")
    def reads() -> None:
        rows.append(db.session.execute(text("select count(*) from note")).scalar_one())

    writes.send()
    run_all(app)
    assert {} == db.session.registry.registry  # type: ignore[attr-defined]
    reads.send()
    run_all(app)
    assert [0] == rows
    with web.app_context():
        db.engine.dispose()


def test_dependencies_are_opened_and_closed_within_the_context(web, app):
    """They may use `current_app`, too, and a teardown function comes after them."""
    seen: list[str] = []

    @web.teardown_appcontext
    def torn(error: BaseException | None) -> None:
        seen.append("torn down")

    def opened() -> Iterator[str]:
        seen.append(f"opened in {flask.current_app.name}")
        yield "it"
        seen.append(f"closed in {flask.current_app.name}")

    @app.task("t")
    def task(it: Annotated[str, cloudq.Depends(opened)] = cloudq.INJECTED) -> None:
        seen.append(it)

    task.send()
    run_all(app, raise_errors=True)
    assert ["opened in shop", "it", "closed in shop", "torn down"] == seen


def test_an_interrupted_run_leaves_no_context_behind(web):
    """A worker that stops, or a run that is cancelled: its generator is closed, and nothing is to be committed."""
    torn: list[BaseException | None] = []
    web.teardown_appcontext(torn.append)
    run = InAppContext(lambda: web)(None)  # type: ignore[arg-type]  # it doesn't look at it
    next(run)
    assert flask.has_app_context()
    run.close()
    assert not flask.has_app_context()
    assert isinstance(torn[0], GeneratorExit)


def test_without_an_application_there_is_no_context(app):
    """Before `init_app` a task runs as it would without Flask."""
    run = InAppContext(lambda: None)(None)  # type: ignore[arg-type]  # as above
    next(run)
    assert not flask.has_app_context()
    with pytest.raises(StopIteration) as stop:
        run.send(cloudq.Acked())
    assert cloudq.Acked() == stop.value.value


def test_a_teardown_function_that_fails_is_an_error_of_the_task(web, app):
    """As it is one of a request: the task is tried again, and its context is gone all the same."""
    ran: list[int] = []

    @web.teardown_appcontext
    def breaks(error: BaseException | None) -> None:
        if len(ran) == 1:
            raise RuntimeError("the database is away")

    @app.task("t")
    def task() -> None:
        ran.append(1)

    task.send()
    report = run_all(app)
    assert ["t", "t"] == report.tasks
    assert not flask.has_app_context()
