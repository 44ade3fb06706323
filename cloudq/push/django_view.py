"""The edge as a view of Django."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cloudq.errors import ConfigurationError
from cloudq.push.edge import PushEdge
from cloudq.push.pages import PushPages
from cloudq.push.wsgi_app import answer

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


def view_of(edge: PushEdge) -> Callable[..., HttpResponse]:
    """A view that takes pushes. Exempt from the check of CSRF tokens: who pushes shows another one.

    Raises:
        ConfigurationError: Django isn't installed.
    """
    try:
        from django.http import HttpResponse
        from django.views.decorators.csrf import csrf_exempt
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"a view of Django needs the module {error.name!r}, which isn't installed", hint="pip install django"
        ) from error
    pages = PushPages(edge)

    def view(request: HttpRequest, *_: object, **__: object) -> HttpResponse:
        """One request."""
        response = answer(edge, pages, request.method or "", request.META, request)
        made = HttpResponse(response.body, status=response.status)
        for name, value in response.headers.items():
            if name.lower() != "connection":
                made[name] = value
        return made

    exempt: Callable[..., HttpResponse] = csrf_exempt(view)
    return exempt
