"""The pages."""

from uuid import UUID

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from . import services


@require_POST
def subscribe(request: HttpRequest) -> HttpResponse:
    """The form. Answers the same whether the address is new or not: whose it is, is nobody's business."""
    try:
        services.subscribe(request.POST.get("email", ""))
    except ValidationError:
        return HttpResponse("That is no address.\n", status=400)
    return HttpResponse("Look into your mails.\n", status=202)


def confirm(request: HttpRequest, token: UUID) -> HttpResponse:
    """The link in the mail."""
    if not services.confirm(token):
        return HttpResponse("There is no such link.\n", status=404)
    return HttpResponse("Thank you.\n")
