"""The edge as a view of Django, with the real framework."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import cloudq
import cloudq.push
from cloudq.push import PushSettings
from tests.unit.push.fakes import HERE, declare, edge_of, push


def test_django(edge, django_site):
    """A view among others, behind the usual middleware, the check of CSRF tokens included."""
    from django.http import HttpResponse
    from django.test import Client as DjangoClient
    from django.test import override_settings
    from django.urls import re_path

    ran = declare(edge.app)

    class Urls:
        urlpatterns = [  # noqa: RUF012 - Django's own form
            re_path(r"^hello$", lambda _: HttpResponse("hello")),
            re_path(r"^tasks/.*$", cloudq.push.django(edge)),
        ]

    with override_settings(ROOT_URLCONF=Urls):
        client = DjangoClient(enforce_csrf_checks=True)
        for number, task in enumerate(("t", "async-t")):
            headers, body = push(task, {"n": number}, id=str(number))
            response = client.post("/tasks/", data=body, content_type=headers.pop("content-type"), headers=headers)
            assert 200 == response.status_code
        assert 400 == client.post("/tasks/", data=b"x", content_type="application/octet-stream").status_code
        assert b"hello" == client.get("/hello").content
        assert 2 == json.loads(client.get("/tasks/healthz").content)["counts"]["succeeded"]
        assert 405 == client.get("/tasks/").status_code
    assert [0, 1] == ran


def test_django_says_413(backend, django_site):
    """Whatever Django's own limit of a body is: nothing of it is read."""
    from django.test import RequestFactory

    app, driver = backend
    with edge_of(app, PushSettings(insecure_no_auth=True, max_body=10)) as edge:
        headers, body = push("t")
        request = RequestFactory().post("/", data=body, content_type=headers.pop("content-type"), headers=headers)
        response = cloudq.push.django(edge)(request)
        assert (413, "application/json") == (response.status_code, response["Content-Type"])
        assert "Connection" not in response
    assert [] == driver.decoded


def test_django_takes_a_body_in_chunks(edge, django_site):
    """Without a length Django's own WSGI request is empty. Where nobody knows the end of one, a length is asked for."""
    from django.core.handlers.asgi import ASGIRequest
    from django.core.handlers.wsgi import WSGIRequest

    ran = declare(edge.app)
    view = cloudq.push.django(edge)

    def under_wsgi(id: str, *, ends: bool) -> int:  # noqa: A002 - the message's own word
        headers, body = push("t", {"n": 1}, id=id)
        environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in chunked(headers).items()}
        environ |= {"REQUEST_METHOD": "POST", "REMOTE_ADDR": HERE[0], "wsgi.input": io.BytesIO(body)}
        environ |= {"CONTENT_TYPE": headers["content-type"], "wsgi.input_terminated": ends}
        return view(WSGIRequest(environ)).status_code

    def under_asgi(id: str) -> int:  # noqa: A002 - as above
        headers, body = push("t", {"n": 2}, id=id)
        raw = [(name.encode(), value.encode()) for name, value in chunked(headers).items()]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": raw, "client": HERE}
        return view(ASGIRequest(scope, io.BytesIO(body))).status_code

    def chunked(headers: dict[str, str]) -> dict[str, str]:
        del headers["content-length"]
        return {**headers, "transfer-encoding": "chunked"}

    assert 200 == under_wsgi("1", ends=True)
    assert [1] == ran
    assert 411 == under_wsgi("2", ends=False)
    assert 200 == under_asgi("3")
    assert [1, 2] == ran


PROGRAM = """
import json, sys
import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x", USE_TZ=True, LOGIN_URL="/login",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware",
                "django.contrib.auth.middleware.AuthenticationMiddleware",
                "django.contrib.auth.middleware.LoginRequiredMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    DATABASES={name: {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{name}.db", "ATOMIC_REQUESTS": True}
               for name in ("default", "other")},
)
django.setup()
from django.db import DatabaseError, IntegrityError, connections, models, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import path, re_path

import cloudq, cloudq.push

class Row(models.Model):
    name = models.CharField(max_length=50, unique=True)
    class Meta:
        app_label = "shop"

for name in connections:
    with connections[name].schema_editor() as schema:
        schema.create_model(Row)

app = cloudq.App("memory://")

def charge(where):
    Row.objects.using(where).create(name="charged")
    try:
        Row.objects.using(where).create(name="charged")  # somebody was faster: that is fine
    except IntegrityError:
        pass

@app.task("handled")
def handled(where: str) -> None:
    charge(where)

@app.task("goes-on")
def goes_on(where: str) -> None:
    charge(where)
    Row.objects.using(where).create(name="after")

@app.task("durable")
def durable(where: str) -> None:
    with transaction.atomic(using=where, durable=True):
        Row.objects.using(where).create(name="durable")

@app.task("fails")
def fails(where: str) -> None:
    Row.objects.using(where).create(name="before")
    raise cloudq.DeadLetter("no")

view = cloudq.push.django(app, cloudq.push.PushSettings(insecure_no_auth=True))
urlpatterns = [re_path(r"^tasks/", view), path("own", lambda request: HttpResponse("own"))]
client = Client()
seen = {"login": client.get("/own").status_code}
for where in ("default", "other"):
    for task in ("handled", "goes-on", "durable", "fails"):
        event = {"specversion": "1.0", "id": task, "source": "/s", "type": task, "data": {"where": where}}
        answer = client.post("/tasks/", data=json.dumps(event), content_type="application/cloudevents+json")
        rows = Row.objects.using(where)
        seen[f"{where} {task}"] = [answer.status_code, sorted(row.name for row in rows.all())]
        rows.all().delete()
print(json.dumps(seen))
"""


@pytest.mark.slow
def test_a_task_s_transactions_are_its_own(tmp_path: Path) -> None:
    """Also where each request is one, in every database: what it wrote stays, and 200 says so. It needs no login."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, "utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "ignore", str(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == result.returncode, result.stderr
    seen = json.loads(result.stdout)
    assert 302 == seen.pop("login"), "the project does ask for one"
    wanted = {"handled": ["charged"], "goes-on": ["after", "charged"], "durable": ["durable"], "fails": ["before"]}
    expected = {f"{where} {task}": [200, rows] for where in ("default", "other") for task, rows in wanted.items()}
    assert expected == seen
