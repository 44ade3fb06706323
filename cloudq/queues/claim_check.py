"""Claim checks: payloads that are too large for their queue lie in a store of files, and messages refer to them.

Any store that fsspec knows, by its URL. It needs the extra `cloudq[claimcheck]`, and the store's own package (s3fs,
gcsfs, adlfs); this module itself imports neither before a store is opened.

```
 send     payload ─▶ blob stored ─▶ message stored        a crash between the two leaves a blob that nothing refers to
 worker   message ─▶ blob fetched and verified ─▶ task    settling deletes no blob: copies and dead letters share it
```
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from msgspec.structs import replace

from cloudq.core import wire
from cloudq.core.clock import SYSTEM_CLOCK, Clock
from cloudq.core.delivery import Delivery
from cloudq.core.message import Message
from cloudq.core.reference import Reference, is_key
from cloudq.core.safe_log import SafeLogger
from cloudq.errors import (
    BackendError,
    CloudqError,
    ConfigurationError,
    MessageTooLarge,
    PayloadLost,
    PayloadUnavailable,
    PermissionDenied,
    StorageFull,
)
from cloudq.queues.urls import CLAIM_CHECK_EXAMPLE, LOCAL_FILES, ClaimCheckUrl, parse_claim_check

logger = SafeLogger("cloudq")

EXTRA: Final = "cloudq[claimcheck]"
UPLOADS_AT_ONCE: Final = 8

_TEXT_CHARS: Final = 300


class Blob:
    """A payload on its way to the store.

    Attributes:
        reference: What the message carries in its place.
    """

    __slots__ = ("_data", "_store", "reference")

    def __init__(self, store: ClaimCheck, reference: Reference, data: bytes) -> None:
        self.reference = reference
        self._store = store
        self._data: bytes | None = data

    def save(self) -> None:
        """Stores it, unless it is stored already.

        Raises:
            CloudqError: It may not be stored.
        """
        if self._data is not None:
            self._store.save(self.reference, self._data)
            self._data = None


class ClaimCheck:
    """One store of payloads.

    Args:
        url: Which; see `parse_claim_check`.
        clock: Where the time comes from.

    Raises:
        ConfigurationError: The URL can't be used, or a package that it needs isn't installed.
    """

    def __init__(self, url: str, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.url = parse_claim_check(url)
        self._clock = clock
        self._pid = os.getpid()
        self._files, self._root = _open_files(self.url)

    def __repr__(self) -> str:
        """The store's place."""
        return f"ClaimCheck({self.url})"

    def threshold(self, max_body: int) -> int:
        """The most bytes of a body that carries its payload itself, on a queue whose own limit is `max_body`."""
        return max_body if self.url.threshold is None else min(self.url.threshold, max_body)

    def blob(self, message: Message) -> Blob:
        """The blob for a message's payload, not stored yet.

        A new name each time, so that no blob is ever written over, or deleted with another's message. It starts
        with the day, for those who look after the store.

        Raises:
            MessageTooLarge: No worker would read it.
        """
        data = wire.encode_payload(message.payload)
        if len(data) > wire.MAX_BODY_BYTES:
            raise MessageTooLarge(
                f"the payload for {message.task!r} has {len(data):,} bytes; at most {wire.MAX_BODY_BYTES:,} are read",
                hint="store the data elsewhere and send a reference to it",
            )
        key = f"{self._clock.now():%Y-%m-%d}/{uuid4().hex}.json"
        return Blob(self, Reference(key=key, sha256=hashlib.sha256(data).hexdigest(), size=len(data)), data)

    def save(self, reference: Reference, data: bytes) -> None:
        """Stores a blob; returns only when it is stored.

        Raises:
            BackendError: It may not be stored.
            ConfigurationError: The store can't be written to at all.
        """
        files, path = self._place(reference)
        try:
            files.pipe_file(path, data)
            if _is_local(files):
                _flush_to_disk(Path(path))
        except Exception as error:
            raise self._failed("can't be written", error) from error

    def load(self, reference: Reference) -> Mapping[str, object]:
        """The payload that a reference stands for, verified.

        Raises:
            PayloadLost: The blob isn't there, or isn't what was stored.
            UndecodableError: It is, and holds no payload.
            BackendError: The store can't be reached, or doesn't allow it.
            ConfigurationError: The store can't be read at all.
        """
        files, path = self._place(reference)
        try:
            # A byte more than there should be shows that there is more, without reading all of it.
            data: bytes = files.cat_file(path, start=0, end=reference.size + 1)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            raise PayloadLost(
                f"the blob {reference} isn't in {self.url}",
                hint="did the store's lifecycle delete it before its message, or do sender and worker name two stores?",
            ) from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.EINVAL:
                # How s3fs tells that not even the first byte of the range is there.
                raise PayloadLost(f"the blob {reference} in {self.url} is empty") from error
            raise self._failed("can't be read", error) from error
        if len(data) != reference.size:
            found = f"more than {reference.size:,}" if len(data) > reference.size else f"{len(data):,}"
            raise PayloadLost(f"the blob {reference} in {self.url} has {found} bytes")
        if hashlib.sha256(data).hexdigest() != reference.sha256:
            raise PayloadLost(f"the blob {reference} in {self.url} has another SHA-256: it isn't what was stored")
        return wire.decode_payload(data)

    def delete(self, reference: Reference) -> None:
        """Deletes a blob, if it is there.

        Raises:
            BackendError: It may still be there.
            ConfigurationError: The store deletes nothing.
        """
        files, path = self._place(reference)
        try:
            files.rm_file(path)
        except FileNotFoundError:
            pass
        except Exception as error:
            raise self._failed("can't be deleted from", error) from error

    def _place(self, reference: Reference) -> tuple[Any, str]:
        """The store, and the blob's path in it, which lies below the configured one whatever a message says."""
        if not is_key(reference.key):  # the wire format refuses it, too
            raise PayloadLost(f"{reference.key!r} is not the name of a blob")
        if self._pid != os.getpid():
            # A connection must not be used on both sides of a fork; fsspec keeps none over it.
            self._files, self._root = _open_files(self.url)
            self._pid = os.getpid()
        path = f"{self._root}/{reference.key}"
        if _is_local(self._files) and _is_linked(self._root, path):
            raise PayloadLost(
                f"the blob {reference} in {self.url} is behind a symbolic link, which isn't followed",
                hint="a store holds files and folders that cloudq made; only the path to the store may have links",
            )
        return self._files, path

    def _failed(self, what: str, error: Exception) -> CloudqError:
        text = str(error).splitlines()
        shown = f"{type(error).__name__}: {text[0][:_TEXT_CHARS]}" if text else type(error).__name__
        said = f"the claim-check store {self.url} {what}: {shown}"
        if isinstance(error, PermissionError):
            return PermissionDenied(said, hint="check the store's permissions; S3 says this of a missing blob, too")
        if isinstance(error, FileNotFoundError):
            return BackendError(said, hint="make the bucket or the container first")
        if isinstance(error, NotImplementedError):
            return ConfigurationError(said, hint=f"a store that can be read and written, e.g. {CLAIM_CHECK_EXAMPLE}")
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return StorageFull(said, hint="make room, then send again")
        return PayloadUnavailable(said)


def referring(message: Message, blob: Blob) -> Message:
    """The message, with a reference in place of its payload."""
    return replace(message, payload={}, reference=blob.reference)


def load_payload(message: Message, store: ClaimCheck | None) -> Message:
    """The message with the payload that its reference stands for.

    Raises:
        ConfigurationError: There is no store.
        CloudqError: As `ClaimCheck.load`.
    """
    if message.reference is None:
        return message
    if store is None:
        raise ConfigurationError(
            f"it is the blob {message.reference}, and no claim-check store is configured here",
            hint="set CLOUDQ_CLAIM_CHECK to the store that it was sent with, then redrive",
        )
    return replace(message, payload=store.load(message.reference), reference=None)


def deleter(store: ClaimCheck) -> Callable[[Delivery], None]:
    """What deletes the blob of a delivery, if it has one. Never raises: what stays is left to the store's lifecycle."""

    def delete(delivery: Delivery) -> None:
        reference = delivery.message.reference if delivery.message else None
        if reference is None:
            return
        try:
            store.delete(reference)
        except CloudqError as error:
            logger.warning("the payload of %s stays: %s", delivery.id, error)

    return delete


def save_blobs(given: Sequence[Blob | None]) -> dict[int, Exception]:
    """Stores those that there are, several at once. Returns the errors by their places."""
    if not any(given):  # as nearly always
        return {}
    blobs = {index: blob for index, blob in enumerate(given) if blob is not None}
    if len(blobs) == 1:
        errors = [_save(blob) for blob in blobs.values()]
    else:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(UPLOADS_AT_ONCE, len(blobs)), "cloudq-upload") as threads:
            errors = list(threads.map(_save, blobs.values()))
    return {index: error for index, error in zip(blobs, errors, strict=True) if error is not None}


def _save(blob: Blob) -> Exception | None:
    try:
        blob.save()
    except Exception as error:  # noqa: BLE001 - reported for its item: the failure of some never hides the others
        return error
    return None


def _open_files(url: ClaimCheckUrl) -> tuple[Any, str]:
    """The file system for a URL, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"a claim-check store needs the module {error.name!r}, which isn't installed",
            hint=f"pip install '{EXTRA}'",
        ) from error
    # Files have folders, which somebody has to make; object stores have none.
    options = {"auto_mkdir": True} if url.location.partition("://")[0] in LOCAL_FILES else {}
    try:
        files, root = url_to_fs(url.location, **options)
    except ImportError as error:
        raise ConfigurationError(
            f"the claim-check store {url} needs a package that isn't installed: {error}",
            hint="s3:// needs s3fs, gs:// gcsfs, abfs:// adlfs",
        ) from error
    except Exception as error:
        raise ConfigurationError(
            f"the claim-check store {url} can't be used: {type(error).__name__}: {error}",
            hint=f"any URL that fsspec knows, e.g. {CLAIM_CHECK_EXAMPLE}",
        ) from error
    return files, str(root).rstrip("/")


def _is_local(files: Any) -> bool:
    return files.protocol == "file" or "file" in files.protocol


def _is_linked(root: str, path: str) -> bool:
    """Whether the way from the store's root to a blob leads over a symbolic link: then it may lead out of the store."""
    expected = os.path.join(os.path.realpath(root), os.path.relpath(path, root))  # noqa: PTH118 - texts, as fsspec has them
    return os.path.realpath(path) != expected


def _flush_to_disk(path: Path) -> None:
    """A message on the disk must not refer to a blob that a power failure takes: its bytes, nor the way to it."""
    for place in (path, path.parent, path.parent.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
