"""A store beside the memory store, through any sequence of calls: both must say the same of every one.

The memory store is the table of `cloudq.core.claim_life`; so this holds each store to the table.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from cloudq.core.notes import Note, Written
from cloudq.core.store import Claimed, ClaimKey, Completed, InProgress, Store
from cloudq.stores.memory import MemoryStore
from cloudq.testing.clock import FakeClock
from cloudq.testing.stores import StoreHarness

KEYS = [ClaimKey("billing.charge", "order-1"), ClaimKey("billing.charge", "order-2")]
NAMES = ["run 1", "run 2"]
OWNERS = ["a", "b", "c"]
PRINTS = [b"1" * 32, b"2" * 32, None]

keys = st.sampled_from(KEYS)
units = st.integers(min_value=1, max_value=6)


def check(harness: Callable[[], StoreHarness], *, examples: int, steps: int = 30) -> None:
    """Runs it. Without shrinking by more than the first failures: each step is a call over the network."""

    class Machine(RuleBasedStateMachine):
        """The store's answers, and the model's."""

        @initialize()
        def begin(self) -> None:
            self.harness = harness()
            self.unit = self.harness.unit
            self.clock = FakeClock()
            self.model = MemoryStore(self.clock)
            self.stores: list[Store] = [self.harness.open(), self.harness.open()]
            self.calls = 0
            # The store's tokens by the model's: they needn't be the same numbers, only grow alike.
            self.tokens: dict[tuple[ClaimKey, int], int] = {}
            # Of the notes: the store's and the model's, in the order of the writes.
            self.versions: dict[str, list[tuple[int, int]]] = {}

        @rule(key=keys, owner=st.sampled_from(OWNERS), lease=units, keep=units, fingerprint=st.sampled_from(PRINTS))
        def claim(self, key: ClaimKey, owner: str, lease: int, keep: int, fingerprint: bytes | None) -> None:
            arguments: dict[str, Any] = {
                "owner": owner,
                "lease": self._odd(lease),
                "keep": keep * self.unit,
                "fingerprint": fingerprint,
            }
            self._pass(timedelta(microseconds=1))  # as real time moves on between two calls
            said, meant = self.store.claim(key, **arguments), self.model.claim(key, **arguments)
            assert type(said) is type(meant)
            if isinstance(said, Claimed) and isinstance(meant, Claimed):
                known = self.tokens.setdefault((key, meant.token), said.token)
                assert said.token == known
                assert all(
                    said.token > mine for (of, other), mine in self.tokens.items() if of == key and other < meant.token
                )
            elif isinstance(said, InProgress) and isinstance(meant, InProgress):
                assert abs(said.left - meant.left - self.harness.margin) < self.unit / 2
                assert said.fingerprint == meant.fingerprint
            elif isinstance(said, Completed) and isinstance(meant, Completed):
                assert (said.result, said.fingerprint) == (meant.result, meant.fingerprint)

        @rule(key=keys, which=st.integers(0, 3), lease=units)
        def renew(self, key: ClaimKey, which: int, lease: int) -> None:
            for mine, theirs in self._pair(key, which):
                assert self.store.renew(key, mine, self._odd(lease)) == self.model.renew(key, theirs, self._odd(lease))

        @rule(key=keys, which=st.integers(0, 3), keep=units, result=st.sampled_from([None, b"", b"42"]))
        def complete(self, key: ClaimKey, which: int, keep: int, result: bytes | None) -> None:
            for mine, theirs in self._pair(key, which):
                said = self.store.complete(key, mine, result=result, keep=self._odd(keep))
                assert said == self.model.complete(key, theirs, result=result, keep=self._odd(keep))

        @rule(key=keys, which=st.integers(0, 3))
        def release(self, key: ClaimKey, which: int) -> None:
            for mine, theirs in self._pair(key, which):
                assert self.store.release(key, mine) == self.model.release(key, theirs)

        @rule(key=keys, force=st.booleans())
        def forget(self, key: ClaimKey, force: bool) -> None:
            assert self.store.forget(key, force=force) == self.model.forget(key, force=force)

        @rule(key=keys)
        def show(self, key: ClaimKey) -> None:
            said, meant = self.store.show(key), self.model.show(key)
            assert (said is None) == (meant is None)
            if said is not None and meant is not None:
                assert (said.state, said.owner, said.result) == (meant.state, meant.owner, meant.result)
                assert said.fingerprint == meant.fingerprint

        @rule(name=st.sampled_from(NAMES), after=st.integers(0, 3), text=st.binary(max_size=3), keep=units)
        def write(self, name: str, after: int, text: bytes, keep: int) -> None:
            """After the latest version, an earlier one, or nothing."""
            versions = [(0, 0), *self.versions.get(name, [])]
            mine, theirs = versions[-after] if 0 < after <= len(versions) else versions[0]
            said = self.store.notes.write(name, text, after=mine, keep=self._odd(keep))
            meant = self.model.notes.write(name, text, after=theirs, keep=self._odd(keep))
            assert type(said) is type(meant)
            if isinstance(said, Written) and isinstance(meant, Written):
                self.versions.setdefault(name, []).append((said.version, meant.version))
            elif isinstance(said, Note) and isinstance(meant, Note):
                assert (said.text, (said.version, meant.version)) == (meant.text, self.versions[name][-1])

        @rule(name=st.sampled_from(NAMES))
        def read(self, name: str) -> None:
            said, meant = self.store.notes.read(name), self.model.notes.read(name)
            assert (said is None) == (meant is None)
            if said is not None and meant is not None:
                assert (said.text, (said.version, meant.version)) == (meant.text, self.versions[name][-1])
                assert abs(said.age - meant.age) < self.unit / 2
                assert abs(said.left - meant.left - self.harness.margin) < self.unit / 2

        @rule(count=units)
        def advance(self, count: int) -> None:
            self._pass(count * self.unit)

        @rule(hours=st.sampled_from([-30, -1, 1, 30]))
        def step(self, hours: int) -> None:
            """Somebody sets this machine's clock: no claim ends by it, and none lasts longer."""
            self.clock.step(timedelta(hours=hours))
            self.harness.step(timedelta(hours=hours))

        @property
        def store(self) -> Store:
            """One process's, and for the next call the other's."""
            self.calls += 1
            return self.stores[self.calls % 2]

        def _odd(self, count: int) -> timedelta:
            """Ends half a unit beside each moment at which something is asked: no two clocks disagree about that."""
            return (count - 0.5) * self.unit

        def _pass(self, span: timedelta) -> None:
            self.clock.advance(span)
            self.harness.advance(span)

        def _pair(self, key: ClaimKey, which: int) -> list[tuple[int, int]]:
            """One of the claims that there were, the latest first: the store's token and the model's."""
            known = [(mine, theirs) for (of, theirs), mine in self.tokens.items() if of == key]
            return sorted(known, reverse=True)[which : which + 1]

        def teardown(self) -> None:
            if hasattr(self, "stores"):
                for store in self.stores:
                    store.close()
                self.harness.close()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
            database=None,
        ),
    )
