"""`Editor`: changes dead letters on their way back to their queue, and notes in them who did.

What is changed is no longer what its sender signed. So it is signed anew, with the operator's own key, or refused: a
worker that requires signatures would refuse it, and one that only warns would be one to get used to.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final, Protocol

from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.clock import Clock
from cloudq.core.delivery import Delivery
from cloudq.core.driver import DeadMessage
from cloudq.core.fingerprint import fingerprint
from cloudq.core.message import Message
from cloudq.core.printable import shortened
from cloudq.core.redriving import Edit, with_edit
from cloudq.core.signatures import fault_in
from cloudq.core.signing_keys import SigningKey, SigningKeys
from cloudq.errors import CloudqError, ConfigurationError, OptionError, UndecodableError, UnsupportedError
from cloudq.queues.claim_check import ClaimCheck, load_payload, referring
from cloudq.queues.letters.redriving import Redriven

Change = Callable[[Message], Message]

EDITABLE: Final = ("task", "payload", "idempotency_key", "fairness_key", "headers", "expires_at")
"""What of a message an edit may change. Id, source and time say whose it is; its order is its sender's."""
LONGEST_KEY: Final = 512
"""Of a key that an edit gives: as long as one of a send."""

# Of a wrong name or key, in an error.
_SHOWN: Final = 60


class KnownTasks(Protocol):
    """What is known of the tasks that messages are for."""

    def fingerprint_of(self, message: Message) -> bytes:
        """By what a store of idempotency keys tells its payload from others of its key."""
        ...

    def check_task(self, name: str) -> None:
        """Refuses the name of a task that there isn't.

        Raises:
            UnknownTaskError: It names the nearest.
        """
        ...

    def check_payload(self, message: Message) -> None:
        """Refuses a payload that its task wouldn't take.

        Raises:
            PayloadError: It says why.
        """
        ...


class NoTasks:
    """Nothing is known of them."""

    def fingerprint_of(self, message: Message) -> bytes:
        """Of the whole payload."""
        return fingerprint(message.payload)

    def check_task(self, name: str) -> None:
        """Any may be there."""

    def check_payload(self, message: Message) -> None:
        """Anything may be right."""


class Means:
    """What edits and imports need beside the dead letters themselves.

    Args:
        keys: The operator's; the first signs what is changed. `None`: nothing is signed here.
        claim_check: Where large payloads are, or `None`.
        tasks: What is known of the messages' tasks.
    """

    def __init__(
        self,
        *,
        keys: SigningKeys | None = None,
        claim_check: ClaimCheck | None = None,
        tasks: KnownTasks | None = None,
    ) -> None:
        self.keys = keys
        self.claim_check = claim_check
        self.tasks = tasks or NoTasks()

    @property
    def signer(self) -> SigningKey | None:
        """The key that signs."""
        return None if self.keys is None else self.keys.first


class Editor:
    """Changes messages in one way.

    Args:
        change: Gives the changed message; only fields that are `EDITABLE` may differ.
        by: Who edits.
        means: What it takes.
        clock: Where the time comes from.
        vouch: Whether the operator vouches for what no key of theirs has signed.
        unchecked: Whether another task may be one that isn't known here.
    """

    def __init__(
        self, change: Change, *, by: str, means: Means, clock: Clock, vouch: bool = False, unchecked: bool = False
    ) -> None:
        self._change = change
        self._by = by
        self._means = means
        self._clock = clock
        self._vouch = vouch
        self._unchecked = unchecked

    def edit(self, delivery: Delivery | DeadMessage, *, dry_run: bool = False) -> Message:
        """The changed message, with a note of the edit in it, and without its sender's signature.

        Args:
            delivery: The dead letter.
            dry_run: Whether only to look if it can be edited: then no large payload is stored.

        Raises:
            CloudqError: It can't be decoded, or couldn't be any more; may not be signed here; or is changed in what may
                not change, in nothing, or to what no send takes; or its task, where that is known, wouldn't take it.
        """
        message = delivery.message
        if message is None:
            raise UndecodableError(
                f"{delivery.id}: its body can't be decoded, and so can't be edited",
                hint="export it, correct the body there, and import it",
            )
        refuse_unsigned(delivery, self._means.keys, vouch=self._vouch)
        before = load_payload(message, self._means.claim_check)
        after = self._change(before)
        what = [name for name in after.__struct_fields__ if getattr(before, name) != getattr(after, name)]
        forbidden = [name for name in what if name not in EDITABLE]
        if forbidden:
            raise UnsupportedError(
                f"{message.id}: an edit doesn't change its {', '.join(forbidden)}", hint=f"only {', '.join(EDITABLE)}"
            )
        if not what:
            raise OptionError(f"{message.id}: the edit changes nothing of it", hint="redrive it as it is")
        self._refuse_meaningless(after, what)
        if "task" in what and not self._unchecked:
            self._means.tasks.check_task(after.task)
        self._means.tasks.check_payload(after)
        edit = Edit(at=self._clock.now(), by=self._by, what=what, was=self._means.tasks.fingerprint_of(before).hex())
        if not dry_run:
            after = self._where_it_was(message, after)
        edited = with_edit(replace(after, sealed=None), edit)
        wire.decode(wire.encode(edited), edited.queue)  # else a worker would find that it can't be
        return edited

    def _refuse_meaningless(self, after: Message, what: Collection[str]) -> None:
        """Refuses a change that a send would refuse. What was so before, and isn't changed, may stay."""
        if "task" in what and (not after.task or not after.task.isprintable()):
            raise OptionError(f"{after.id}: {shortened(repr(after.task), _SHOWN)} is no name of a task")
        for name in ("idempotency_key", "fairness_key"):
            key = getattr(after, name)
            if name in what and key is not None and not (0 < len(key) <= LONGEST_KEY and "\0" not in key):
                raise OptionError(
                    f"{after.id}: its {name} can't be {shortened(repr(key), _SHOWN)}",
                    hint=f"a text of 1 to {LONGEST_KEY} characters without NUL, or none",
                )
        expires = after.expires_at
        if "expires_at" not in what or expires is None:
            return
        if expires.utcoffset() is None or expires <= self._clock.now():
            raise OptionError(
                f"{after.id}: its expires_at can't be {expires.isoformat()}: it would be over at once",
                hint="a moment to come, with its offset from UTC",
            )

    def _where_it_was(self, message: Message, after: Message) -> Message:
        """A payload that lay in the store for large ones lies there again, under another name."""
        if message.reference is None or self._means.claim_check is None:
            return after
        blob = self._means.claim_check.blob(after)
        blob.save()
        return referring(after, blob)


def tried(editor: Editor, letters: Iterable[DeadMessage]) -> Redriven:
    """How many there are, and why some of them can't be edited. Nothing is changed."""
    chosen = 0
    errors: list[Exception] = []
    for dead in letters:
        chosen += 1
        try:
            editor.edit(dead, dry_run=True)
        except CloudqError as error:
            errors.append(error)
    return Redriven(redriven=0, errors=tuple(errors), chosen=chosen)


def refuse_unsigned(delivery: Delivery | DeadMessage, keys: SigningKeys | None, *, vouch: bool) -> None:
    """Refuses to put the operator's signature, or none, on what came without one that fits.

    Raises:
        ConfigurationError: It has no signature of theirs, and nobody vouches for it; or it has one, and there is no key
            here to sign it with anew.
    """
    message = delivery.message
    if keys is None:
        if message is not None and message.sealed is not None:
            raise ConfigurationError(
                f"{delivery.id}: it is signed, and there is no key here to sign it with once it is changed",
                hint="set CLOUDQ_SIGNING_KEYS, or App(signing_keys=...), to a key that the workers know",
            )
        return
    fault = "it can't be decoded" if message is None else fault_in(delivery.body, keys)
    if fault is not None and not vouch:
        raise ConfigurationError(
            f"{delivery.id}: {fault}, so it isn't signed with a key of yours",
            hint="look at it; to sign it all the same, as you vouch for it: --vouch, or vouch=True",
        )
