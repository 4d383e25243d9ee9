"""The table of benchmarks/views.py: gaps are between cells of the same seeds."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import views  # isort: skip


def auto(knn: float, chosen: str) -> dict[str, object]:
    return {"knn": knn, "choice": {"chosen": chosen, "usual": "simclr"}}


def test_what_stays_behind_is_counted_on_the_seeds_that_both_have() -> None:
    found = {"simclr/0": {"knn": 0.50}, "simclr/1": {"knn": 0.60}, "simclr-mild/0": {"knn": 0.58}}
    found |= {"auto/1": auto(0.57, "simclr"), "auto/2": auto(0.10, "gentle-upright")}
    head, line = views.table({"digits": found}).splitlines()
    assert head.split()[3:6] == ["simclr", "simclr-mild", "gentle-upright"]
    assert line.split()[:4] == ["digits", "55.0", "58.0", "–"]
    # the best is simclr-mild, of seed 0 alone: auto has no seed in common with it
    assert line.endswith("simclr (usual) 8.0 on seeds 0")
    del found["simclr-mild/0"]
    assert views.table({"digits": found}).endswith("auto (gentle-upright, simclr) 3.0 on seeds 1")


def test_without_auto_there_is_no_gap() -> None:
    assert views.table({"digits": {"simclr/0": {"knn": 0.5}}}).splitlines()[1].split() == ["digits", "50.0", *"–" * 6]
