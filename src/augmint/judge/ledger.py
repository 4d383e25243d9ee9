"""What an arm costs when arms share work: every arm pays for all that it uses, whoever asked for it first.

class Situation:
    ledger: Ledger = field(default_factory=Ledger)

    @shared
    def graph(self): ...                     # computed once, as with functools.cached_property

model, seconds = situation.ledger.charged(lambda: arm(situation))
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, overload

Value = TypeVar("Value")


@dataclass
class Entry:
    """Seconds of the work itself, and the names of the shared parts that it used."""

    seconds: float = 0.0
    used: set[str] = field(default_factory=set)


@dataclass
class Ledger:
    """The shared parts there are, and what each of them took."""

    values: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, Entry] = field(default_factory=dict)
    _open: list[Entry] = field(default_factory=list)

    def ask(self, name: str, make: Callable[[], Any]) -> Any:
        """The part of this name, made if it is not there."""
        if self._open:
            self._open[-1].used.add(name)
        if name not in self.values:
            self.values[name], self.entries[name] = self._timed(make)
        return self.values[name]

    def give(self, name: str, value: Any, seconds: float = 0.0) -> None:
        """A part that was made elsewhere, in so many seconds."""
        self.values[name], self.entries[name] = value, Entry(seconds)

    def charged(self, work: Callable[[], Value]) -> tuple[Value, float]:
        """What `work` returns, and its seconds together with those of all shared parts that it used."""
        value, entry = self._timed(work)
        parts, ahead = set(entry.used), list(entry.used)
        while ahead:
            new = self.entries[ahead.pop()].used - parts
            parts |= new
            ahead += new
        return value, entry.seconds + sum(self.entries[name].seconds for name in parts)

    def _timed(self, work: Callable[[], Value]) -> tuple[Value, Entry]:
        """Parts made meanwhile are not counted: they have entries of their own."""
        entry, start = Entry(), time.monotonic()
        self._open.append(entry)
        try:
            value = work()
        finally:
            self._open.pop()
        took = time.monotonic() - start
        entry.seconds += took
        if self._open:
            self._open[-1].seconds -= took
        return value, entry


class Keeps(Protocol):
    """Whatever has a ledger."""

    ledger: Ledger


class shared(Generic[Value]):  # noqa: N801 (used as a decorator, like functools.cached_property)
    """A property that is computed once and whose seconds count for every arm that uses it."""

    def __init__(self, make: Callable[[Any], Value]) -> None:
        self.make, self.name, self.__doc__ = make, make.__name__, make.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> "shared[Value]": ...
    @overload
    def __get__(self, owner: Keeps, kind: type) -> Value: ...
    def __get__(self, owner: Keeps | None, kind: type) -> "shared[Value] | Value":
        if owner is None:
            return self
        value: Value = owner.ledger.ask(self.name, lambda: self.make(owner))
        return value

    def __set__(self, owner: Keeps, value: Value) -> None:
        owner.ledger.give(self.name, value)
