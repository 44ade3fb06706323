"""`Noting`: the side of an app that tells what became of messages, and cancels what runs."""

from __future__ import annotations

from cloudq.app.sending import Sending
from cloudq.core.run_notes import CancelAnswer
from cloudq.tasks.async_libraries import check_awaitable, in_a_thread
from cloudq.tasks.results import Result
from cloudq.tasks.sent import Sent


class Noting(Sending):
    """Reads what is noted in the app's store. What isn't noted is unknown: see `track` and `keep_result`."""

    def result(self, sent: Sent | str, /) -> Result:
        """What is known of a message now: its status, its progress, what its task returned. Waits for nothing.

        `sent.result(timeout)` waits, and gives what the task returned.

        Args:
            sent: What the send gave back, or its `id`.

        Raises:
            OptionError: It is no id.
            UnsupportedError: The app has no store.
            BackendError: The store can't be reached.
        """
        self._loop_warning.look("result")
        return self.runtime.results.look(_id_of(sent))

    async def aresult(self, sent: Sent | str, /) -> Result:
        """As `result`, for async code on asyncio or trio: the loop is never blocked."""
        check_awaitable("aresult")
        return await in_a_thread(self.runtime.results.look, _id_of(sent))

    def cancel_run(self, sent: Sent | str, /) -> CancelAnswer:
        """Notes that a message isn't wanted any more, which may wait or run.

        One that waits won't run: its worker acknowledges it unrun. Of one that runs, the worker learns within ten
        seconds: it sets `context.cancelled`, and cancels a coroutine. What then fails, or is stopped, is acknowledged;
        what returns all the same is done. The message must be noted: its task declares `track` or `keep_result`, or it
        was sent with `track=True`. `cancel` is another thing: it takes a message out of its queue, without a store.

        Args:
            sent: What the send gave back, or its `id`.

        Raises:
            OptionError: It is no id.
            UnsupportedError: The app has no store.
            BackendError: The store can't be reached: it may be noted or not.
        """
        self._loop_warning.look("cancel_run")
        return self.runtime.results.cancel(_id_of(sent))

    async def acancel_run(self, sent: Sent | str, /) -> CancelAnswer:
        """As `cancel_run`, for async code on asyncio or trio: the loop is never blocked."""
        check_awaitable("acancel_run")
        return await in_a_thread(self.runtime.results.cancel, _id_of(sent))


def _id_of(sent: Sent | str) -> str:
    return sent.id if isinstance(sent, Sent) else sent
