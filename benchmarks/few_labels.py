"""How accurate with few labels a class? The head on a frozen encoder, what propagation makes of it, and fine-tuning.

    python benchmarks/few_labels.py DATA [--preset fast] [--config FILE] [--labels 1 4 10 40] [--draws 10] [--final]

The encoder learns from the training images without labels; labels are drawn among them. The validation slice judges: up
to 5,000 training images that nothing learns from. With --final everything is judged on the test split instead, when
nothing is left to choose. A finished encoder is kept in --work and every finished trial in --out, so the same command
goes on where it was stopped, and the table says how many draws there are. Prints it and writes --out, by default
benchmarks/results/few_labels.json (not in the repository yet; the numbers in docs/log.md are of an earlier state).
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from augmint.config import Settings, resolve
from augmint.data.draws import nested_draw
from augmint.judge import arms
from augmint.judge.protocol import Split
from augmint.judge.situation import Situation
from augmint.pipeline import Pipeline
from augmint.report.words import label
from augmint.seeding import key
from augmint.train import RunDir
from augmint.train.checkpoint import atomic_write

ARMS = ("encoder", "encoder-propagate", "encoder-finetune")
WANTED = {"fashion-mnist": {1: 70, 4: 79, 10: 83, 40: 87}}  # of the best arm, on the test split, over ten draws
Trial = dict[str, Any]


def one(pipeline: Pipeline, judged: Tensor, arm: str, each: int, draw: int) -> Trial:
    """Accuracy of one arm under one draw on these rows, the recall of every class, and its seconds."""
    table, given, seed = pipeline.table, pipeline.parts.given, pipeline.settings.seed
    rows = given[nested_draw(table.labels[given], each, seed, draw, table.classes)]
    start = time.monotonic()
    model = arms.find(arm)(Situation(pipeline.material, Split("draw", draw, rows, judged, key(seed, "draw", draw))))
    seconds, truth = time.monotonic() - start, table.labels[judged]
    shown = pipeline.hidden_of(judged) if isinstance(model, arms.Head) else table.take(judged)
    right = model.logits(shown).argmax(1) == truth  # type: ignore[arg-type]
    recall = [float(right[truth == c].double().mean()) for c in range(len(table.classes))]
    return {"arm": arm, "each": each, "draw": draw, "accuracy": float(right.double().mean()), "recall": recall,
            "seconds": seconds}  # fmt: skip


def rows_of(trials: list[Trial], labels: list[int], wanted: dict[int, int]) -> list[str]:
    """The table: mean ± standard deviation over draws; last the gain of fine-tuning with its standard error."""
    lines = [f"{'':36}" + "".join(f"{each:>16}" for each in labels)]
    by = {(t["arm"], t["each"], t["draw"]): 100 * t["accuracy"] for t in trials}

    def row(name: str, cell: Callable[[int], str]) -> str:
        return f"{name:36}" + "".join(f"{cell(each):>16}" for each in labels)

    def of(arm: str, each: int) -> np.ndarray[Any, Any]:
        draws = sorted({d for (_, e, d) in by if e == each and all((a, e, d) in by for a in ARMS)})
        return np.array([by[arm, each, d] for d in draws])

    def spread(values: np.ndarray[Any, Any], root: bool = False) -> str:
        if len(values) < 2:
            return f"{values.mean():.1f}" if len(values) else "–"
        wide = values.std(ddof=1) / (len(values) ** 0.5 if root else 1)
        return f"{values.mean():.1f} ± {wide:.1f}"

    lines += [row(f"{a} ({label(a)})", lambda each, a=a: spread(of(a, each))) for a in ARMS]  # type: ignore[misc]
    gain = row("gain of fine-tuning ± its error", lambda each: spread(of(ARMS[2], each) - of(ARMS[1], each), True))
    aims = [row("wanted (test split, ten draws)", lambda each: str(wanted.get(each, "–")))] if wanted else []
    spent = {key: [t["seconds"] for t in trials if (t["arm"], t["each"]) == key] for key in {k[:2] for k in by}}

    def paid(arm: str, each: int) -> str:
        times = spent.get((arm, each), [])
        return f"{sum(times) / len(times):.1f}" if times else "–"

    lines += [row(f"seconds a draw: {a}", lambda each, a=a: paid(a, each)) for a in ARMS]  # type: ignore[misc]
    return [*lines, gain, *aims, row("draws", lambda each: str(len(of(ARMS[0], each))))]


def settings_of(o: argparse.Namespace) -> Settings:
    """Those of the run: no generators, and enough labels left to draw from."""
    without = {"image": {"enabled": False}, "feature": {"enabled": False}}
    most = {"labels_per_class": max(o.labels), "data": {"val_images": 5000}}
    return resolve(o.preset, o.config, {"data_source": o.data, "seed": o.seed, "generate": without, **most})


def known(path: Path, facts: dict[str, Any]) -> list[Trial]:
    """The trials that were finished under the same facts."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    same = all(kept.get(name) == json.loads(json.dumps(value)) for name, value in facts.items())
    return list(kept["trials"]) if kept and same else []


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="digits, fashion-mnist, a Parquet file, … with labels and a test split")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--config", type=Path, help="settings over those of the preset, as for `augmint run`")
    parser.add_argument("--labels", type=int, nargs="+", default=[1, 4, 10, 40], help="labels a class")
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--final", action="store_true", help="judge on the test split; else on held-out training images"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/few_labels"), help="where the encoder is kept")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "few_labels.json")
    o = parser.parse_args(arguments)
    settings = settings_of(o)
    facts = {"settings": settings.model_dump(mode="json"), "final": o.final}
    trials, wanted = known(o.out, facts), WANTED.get(o.data, {})
    done = {(t["arm"], t["each"], t["draw"]) for t in trials}
    with RunDir.open(o.work, facts["settings"]) as run:
        pipeline = Pipeline(run, settings)
        judged = pipeline.parts.test if o.final else pipeline.parts.val
        for draw in range(o.draws):
            for each in o.labels:
                for arm in ARMS:
                    if (arm, each, draw) not in done:
                        trials.append(one(pipeline, judged, arm, each, draw))
                        atomic_write(o.out, json.dumps({**facts, "trials": trials}, indent=1) + "\n")
            print(f"encoder, shared by all draws: {pipeline.encoder.seconds:.0f} s")
            print(*rows_of(trials, o.labels, wanted), sep="\n", flush=True)


if __name__ == "__main__":
    main()
