"""What is outside of the shop, as far as a test needs it."""

from __future__ import annotations


class Down(Exception):
    """It doesn't answer."""


class Flaky:
    """Answers after some failures."""

    def __init__(self) -> None:
        self.failures = 0
        self.calls = []

    def charge(self, order):
        return self._answer(order)

    def get(self, url):
        return self._answer(url)

    def _answer(self, question):
        self.calls.append(question)
        if self.failures:
            self.failures -= 1
            raise Down(question)
        return f"done: {question}"


class World:
    """All of it."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.bank, self.web = Flaky(), Flaky()
        self.mails, self.discounts, self.images, self.hooks = [], [], [], []
        self.closed = False
        self.slow = None

    def count(self, days):
        if self.slow is not None:
            raise self.slow
        return days * 10


world = World()
