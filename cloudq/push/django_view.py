"""The edge as a view of Django."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cloudq.errors import ConfigurationError
from cloudq.push.edge import PushEdge
from cloudq.push.pages import PushPages
from cloudq.push.wsgi_app import Readable, answer

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


def view_of(edge: PushEdge) -> Callable[..., HttpResponse]:
    """A view that takes pushes. Exempt from the check of CSRF tokens and of a login: who pushes shows a token.

    A task's transactions are its own, as under `cloudq worker`, also where each request is one (`ATOMIC_REQUESTS`):
    otherwise what a task wrote before a database error that it handled would be rolled back after it had succeeded.

    Raises:
        ConfigurationError: Django isn't installed.
    """
    try:
        from django.db.transaction import non_atomic_requests
        from django.http import HttpResponse
        from django.views.decorators.csrf import csrf_exempt
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"a view of Django needs the module {error.name!r}, which isn't installed", hint="pip install django"
        ) from error
    pages = PushPages(edge)

    def view(request: HttpRequest, *_: object, **__: object) -> HttpResponse:
        """One request."""
        body, ends = _input_of(request)
        response = answer(edge, pages, request.method or "", request.META, body, ends=ends)
        made = HttpResponse(response.body, status=response.status)
        for name, value in response.headers.items():
            if name.lower() != "connection":
                made[name] = value
        return made

    exempt: Callable[..., HttpResponse] = csrf_exempt(view)
    for alias in _databases():
        exempt = non_atomic_requests(using=alias)(exempt)
    # What `django.contrib.auth.decorators.login_not_required` sets, which Django 5.1 brought; earlier ones don't look.
    exempt.login_required = False  # type: ignore[attr-defined]  # a function's attribute, as Django's decorator sets it
    return exempt


def _input_of(request: HttpRequest) -> tuple[Readable, bool]:
    """What the request's body is read from, and whether it ends there without a Content-Length."""
    raw = request.META.get("wsgi.input")
    if raw is None:
        return request, True  # ASGI: Django has read it to its end
    if request.META.get("wsgi.input_terminated") and not request.META.get("CONTENT_LENGTH"):
        return raw, True  # without a length Django takes the body for empty, whatever the server says
    return request, False


def _databases() -> list[str]:
    """Each database's name: a request is a transaction in every one that says so."""
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured

    try:
        return list(settings.DATABASES)
    except ImproperlyConfigured:  # no project: a view that is only made, by a test say
        return []
