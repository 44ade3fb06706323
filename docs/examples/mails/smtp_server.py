"""An SMTP server for this machine: `python smtp_server.py 8025 received`; `python smtp_server.py show received`."""

import asyncio
import mailbox
import signal
import sys
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox
from aiosmtpd.smtp import SMTP, Envelope, Session


class Post(Mailbox):
    """Keeps what it takes in a Maildir; knows nobody at `nowhere.example`."""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Whether a recipient is known."""
        if address.endswith("@nowhere.example"):
            return "550 nobody of that name here"
        envelope.rcpt_tos.append(address)
        return "250 OK"


async def serve(port: int, folder: str) -> None:
    """Until it is told to end."""
    controller = Controller(Post(Path(folder)), hostname="127.0.0.1", port=port)
    controller.start()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    controller.stop()


def show(folder: str) -> None:
    """To whom what was sent."""
    for letter in sorted(mailbox.Maildir(folder, create=False), key=lambda letter: str(letter["To"])):
        print(f"{letter['To']}: {letter['Subject']}")


if __name__ == "__main__":
    if sys.argv[1] == "show":
        show(sys.argv[2])
    else:
        asyncio.run(serve(int(sys.argv[1]), sys.argv[2]))
