"""A verdict as a condition: `augmint run … --fail-unless helped` ends with exit code 4 if it is not met.

    wish = Wish.read("helped:minted-over-pseudo")     # before anything is trained: UsageError for a slip
    wish.check(facts["verdict"], equivalence=0.005)   # GateFailed says why

helped       the contrast was decided, and in the arm's favour
equivalent   the arms were shown to differ by less than the zone of equivalence
not-hurt     the interval was shown to end above minus that zone: the arm is at most negligibly worse

Without a name the first declared contrast counts: minted images over the best traditional policy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from augmint.errors import AugmintError, UsageError
from augmint.judge.decision import LEAST_DRAWS
from augmint.judge.verdict import CONTRASTS

WORDS = ("helped", "equivalent", "not-hurt")


class GateFailed(AugmintError):
    """The run is finished, its verdict is not the one that was asked for."""

    exit_code = 4


@dataclass(frozen=True)
class Wish:
    """One of WORDS about one declared contrast."""

    word: str
    contrast: str

    @staticmethod
    def read(text: str) -> "Wish":
        """'helped' or 'helped:NAME'. UsageError lists what there is."""
        word, _, name = text.partition(":")
        names = [contrast.name for contrast in CONTRASTS]
        if word not in WORDS:
            raise UsageError(f"--fail-unless {text}: choose one of {', '.join(WORDS)}, e.g. --fail-unless helped")
        if name and name not in names:
            raise UsageError(f"--fail-unless {text}: there is no contrast {name!r}; choose from {', '.join(names)}")
        return Wish(word, name or names[0])

    def check(self, outcomes: Sequence[dict[str, Any]], equivalence: float) -> None:
        """GateFailed, in one line, unless every outcome of the contrast is as wished."""
        mine = [o for o in outcomes if o["contrast"] == self.contrast]
        missed = [o for o in mine if not self._met(o, equivalence)]
        if missed or not mine:
            why = missed[0]["sentence"] if missed else "the run has no such contrast"
            raise GateFailed(f"--fail-unless {self.word}:{self.contrast} is not met: {why}")

    def _met(self, o: dict[str, Any], equivalence: float) -> bool:
        if self.word != "not-hurt":
            return bool(o["verdict"] == self.word)
        return o["draws"] >= LEAST_DRAWS and o["low"] is not None and bool(o["low"] >= -equivalence)
