"""Credentials that end soon are renewed in time."""

from __future__ import annotations

from typing import Any, Final

from cloudq.aws_wire.bounded import SharedCall, left
from cloudq.errors import BackendUnavailable

# From this long before their end botocore doesn't sign by old credentials any more: all calls wait for new ones.
_RENEWAL: Final = 600
_HEAD_START: Final = 0.5


class Renewal:
    """Has credentials that end soon renewed in time: by a call to another service, which botocore doesn't bound.

    Args:
        credentials: Botocore's, which end.
        unbounded: How long it may take where nobody set a deadline, in seconds.
    """

    def __init__(self, credentials: Any, unbounded: float) -> None:
        self._credentials = credentials
        self._unbounded = unbounded
        self._call = SharedCall(credentials.get_frozen_credentials)

    def renew(self, **_: object) -> None:
        """Botocore's `before-call`: before a request is made and signed.

        Raises:
            BackendUnavailable: They end too soon to sign by them, and no new ones came in time.
        """
        self._renewed()

    def frozen(self) -> Any:
        """Those to sign by, renewed if they have to be.

        Raises:
            BackendUnavailable: They end too soon to sign by them, and no new ones came in time.
        """
        # What the renewal gave, also where it failed and the old ones hold: to ask again would renew again, unbounded.
        return self._renewed() or self._credentials.get_frozen_credentials()

    def _renewed(self) -> Any:
        if not self._credentials.refresh_needed():
            return None
        rest = left()
        seconds = self._unbounded if rest is None else rest
        # While the old ones do, the call needs its time; botocore waits for no renewal under way then.
        ending = self._credentials.refresh_needed(getattr(self._credentials, "_mandatory_refresh_timeout", _RENEWAL))
        try:
            return self._call.result(seconds if ending else min(_HEAD_START, seconds / 4))
        except TimeoutError as error:
            if ending:
                raise BackendUnavailable(
                    "the credentials are about to expire, and new ones weren't obtained in time",
                    hint="check where the SDK's credential chain gets them",
                ) from error
            return None
