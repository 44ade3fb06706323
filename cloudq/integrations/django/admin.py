"""The admin's page of dead letters: what failed for good, by queue, to be sent again or thrown away.

It looks only when a button is pressed. Amazon SQS shows nothing without leasing it, so that a look hides the dead
letters from others for a while; a page that looked by itself would do so at each reload, and for each of its visitors.

What is shown is a stranger's text: Django escapes it for HTML, and `in_a_line` what could hide or reorder the rest.
Payloads aren't shown: who may send a message again needn't be allowed to read it. `cloudq dlq show` has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.template.response import TemplateResponse

from cloudq.core.driver import DeadMessage
from cloudq.core.printable import NAME_CHARS, TEXT_CHARS, in_a_line, shortened
from cloudq.core.safe_log import SafeLogger
from cloudq.default_app import default
from cloudq.errors import CloudqError
from cloudq.integrations.django.models import DeadLetter
from cloudq.queues.dead_letters import DeadLetters

logger = SafeLogger("cloudq.django")

MOST_SHOWN: Final = 100
_NO_REASON: Final = "moved here by the backend itself"


class Row(NamedTuple):
    """A dead letter on the page.

    Attributes:
        key: What names it in its queue.
        id: The message's.
        task: The task's name.
        reason: Why it is here.
        error: The exception's type.
        attempts: How often it was tried.
        dead_at: Since when it is here.
    """

    key: str
    id: str
    task: str
    reason: str
    error: str
    attempts: int | None
    dead_at: object

    @classmethod
    def of(cls, dead: DeadMessage) -> Row:
        """What is shown of one."""
        failure = dead.failure
        return cls(
            key=dead.key,
            id=_shown(dead.id),
            task="unknown: it can't be decoded" if dead.message is None else _shown(dead.message.task),
            reason=_shown(failure.reason if failure else _NO_REASON, TEXT_CHARS),
            error=_shown((failure and failure.error_type) or ""),
            attempts=failure.attempts if failure else None,
            dead_at=dead.dead_at,
        )


@admin.register(DeadLetter)
class DeadLetterAdmin(admin.ModelAdmin):  # type: ignore[misc]  # Django has no types
    """One page. A GET shows the queues and reaches nothing."""

    def has_add_permission(self, request: Any) -> bool:
        """Nobody adds any."""
        del request
        return False

    def get_urls(self) -> list[Any]:
        """The list alone: a dead letter has no page of its own."""
        return [url for url in super().get_urls() if url.name and url.name.endswith("_changelist")]

    def changelist_view(self, request: Any, extra_context: dict[str, object] | None = None) -> Any:
        """The page; what a button asks for is done first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        queues = default.runtime.declared_queues() or [default.default_queue]
        queue, rows, more = request.POST.get("queue"), None, False
        if request.method == "POST" and queue in queues:
            letters = default.queue(queue).dead_letters
            try:
                self._carry_out(request, letters)
                found = letters.peek(limit=MOST_SHOWN)
                rows, more = [Row.of(dead) for dead in found], len(found) == MOST_SHOWN
            except CloudqError as error:
                messages.error(request, in_a_line(str(error)))
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            "title": "Dead letters",
            "opts": self.opts,
            "queues": queues,
            "queue": queue,
            "rows": rows,
            "more": more,
            "may_redrive": self.has_change_permission(request),
            "may_purge": self.has_delete_permission(request),
        }
        return TemplateResponse(request, "admin/cloudq/dead_letters.html", context)

    def _carry_out(self, request: Any, letters: DeadLetters) -> None:
        """What was asked for besides a list, for the letters that were chosen.

        Raises:
            PermissionDenied: It isn't allowed to this user.
        """
        keys: Sequence[str] = request.POST.getlist("key")[:MOST_SHOWN]
        asked: str = request.POST.get("do", "list")
        doing: dict[str, tuple[Callable[[Any], bool], Callable[[DeadLetters, Sequence[str]], str]]] = {
            "redrive": (self.has_change_permission, _redrive),
            "purge": (self.has_delete_permission, _purge),
        }
        if asked not in doing:
            return
        allowed, carry_out = doing[asked]
        if not allowed(request):
            raise PermissionDenied
        if not keys:
            messages.warning(request, "None was chosen.")
            return
        done = carry_out(letters, keys)
        logger.info("%s: %s in %s, by %s", asked, done, letters.queue, request.user.get_username())
        messages.success(request, done)


def _redrive(letters: DeadLetters, keys: Sequence[str]) -> str:
    done = letters.redrive(keys)
    failed = "".join(f"; {in_a_line(str(error))}" for error in done.errors[:1])
    return f"{done.redriven} of {len(keys)} sent again{failed}"


def _purge(letters: DeadLetters, keys: Sequence[str]) -> str:
    return f"{letters.purge(keys)} of {len(keys)} deleted"


def _shown(text: str, most: int = NAME_CHARS) -> str:
    return in_a_line(shortened(text, most))
