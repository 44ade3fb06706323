"""The edge as a view of Django, with the real framework."""

from __future__ import annotations

import json

import pytest

import cloudq
import cloudq.push
from cloudq.push import PushSettings
from tests.unit.push.fakes import declare, edge_of, push


@pytest.fixture
def configured_django() -> None:
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            DEBUG=False,
            SECRET_KEY="test",  # noqa: S106 - of no use to anybody
            ALLOWED_HOSTS=["*"],
            MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware", "django.middleware.common.CommonMiddleware"],
        )
        django.setup()


def test_django(edge, configured_django):
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
        assert 2 == json.loads(client.get("/tasks/healthz").content)["counts"]["acked"]
        assert 405 == client.get("/tasks/").status_code
    assert [0, 1] == ran


def test_django_says_413(backend, configured_django):
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
