"""Recompute the report's table from the stored trials alone and compare: .ci/recompute.py RUN."""

import json
import sys
from pathlib import Path

from augmint.report import recompute

run = Path(sys.argv[1])
stored = {row["arm"]: row for row in json.loads((run / "report" / "report.json").read_text())["arms"]}
again = {row["arm"]: row for row in recompute(run)}
assert set(stored) == set(again), f"arms differ: {sorted(stored)} and {sorted(again)}"
for arm, row in again.items():
    for name in ("mean", "std", "n"):
        a, b = stored[arm][name], row[name]
        assert (a is None and b is None) or abs(a - b) < 1e-9, f"{arm} {name}: report {a}, trials {b}"
print(f"recomputed {len(again)} arms from the trials: the report's table holds")
