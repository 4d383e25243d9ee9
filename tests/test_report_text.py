"""The verdict in the terminal, and numbers in words."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from augmint import output
from augmint.data import leaks
from augmint.report import collect
from augmint.report.page import html
from augmint.report.text import render
from augmint.report.words import duration, label, memory
from fake_run import make_run


def printed(folder: Path, width: int = 110) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(render(collect(folder)))
    return capture.get()


def test_table_and_sentences_for_the_terminal(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    text = printed(folder)
    facts = collect(folder)
    for arm in facts["arms"]:
        line = next(line for line in text.splitlines() if arm["arm"] + " " in line)
        assert f"{100 * arm['mean']:.1f} ± {100 * arm['std']:.1f}" in line
    flat = " ".join(text.split())
    assert all(outcome["sentence"] in flat for outcome in facts["verdict"])
    assert "10 labels per class, 10 label draws, 360 test images" in flat


def test_without_a_test_split_it_says_so(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "folds", "folds")
    assert "There is no test split, so the arms were compared by cross-validation" in " ".join(printed(folder).split())
    assert "There is no test split" in html(collect(folder))
    drawn = make_run(tmp_path / "draws")
    assert "no test split" not in printed(drawn) and "There is no test split" not in html(collect(drawn))


@pytest.mark.parametrize("kind", ["draws", "folds"])
def test_where_nothing_minted_passed_the_numbers_of_minting_are_said_to_be_none(tmp_path: Path, kind: str) -> None:
    """Without minted images the arm is RandAugment alone: 'equivalent' would be read as a word on minting."""
    folder = make_run(tmp_path / "run", kind)
    note = "trials of scratch-minted the judges let nothing minted pass"
    rows = [t for t in pq.read_table(folder / "trials.parquet").to_pylist() if t["arm"] == "scratch-minted"]

    def kept(counts: list[int]) -> None:
        for row, count in zip(rows, counts, strict=True):
            stage = folder / "stages" / "trials" / Path(row["logits"]).stem / row["config_hash"]
            stage.mkdir(parents=True, exist_ok=True)
            (stage / "done.json").write_text(json.dumps({"seconds": 1.0, "minted": count}))

    kept([0, 0] + [7] * 8)
    assert f"In 2 of 10 {note}" in " ".join(printed(folder).split()) and f"In 2 of 10 {note}" in html(collect(folder))
    assert {o["verdict"] for o in collect(folder)["verdict"] if o["arm"] == "scratch-minted"} <= {"helped", "undecided"}
    assert note not in " ".join(printed(make_run(tmp_path / "other", kind)).split())
    for path in (folder / "stages" / "trials").glob("*-scratch-minted/*/done.json"):
        path.write_text('{"minted"')  # damaged: the report does without
    assert collect(folder)["evaluation"]["unminted"] == {}
    kept([0] * 10)
    told = [o for o in collect(folder)["verdict"] if o["arm"] == "scratch-minted"]
    assert {o["verdict"] for o in told} == {"left out"}
    assert "in no trial of scratch-minted did the judges let anything minted pass" in " ".join(printed(folder).split())


def test_leaks_are_told_before_the_verdict(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    assert 'class="leaks"' not in html(collect(folder))
    leaks.keep(["3 exact duplicates lie in different splits <here>"], folder / "leaks.json")
    facts = collect(folder)
    text, page = printed(folder), html(facts)
    assert text.index("! 3 exact duplicates") < text.index(facts["verdict"][0]["sentence"][:20])
    assert page.index("different splits &lt;here&gt;") < page.index('aria-label="Verdict"')


def test_a_run_without_trials_prints_too(tmp_path: Path) -> None:
    assert "no finished trials" in printed(make_run(tmp_path / "bare", "bare"))


def test_narrow_terminals_keep_the_numbers(tmp_path: Path) -> None:
    assert "±" in printed(make_run(tmp_path / "run"), width=60)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.42, "0.4 s"), (59.4, "59 s"), (59.8, "1 min 00 s"), (431, "7 min 11 s"), (7500, "2 h 05 min"), (None, "–")],
)
def test_durations(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_memory() -> None:
    assert (memory(740 * 2**20), memory(int(1.25 * 2**30)), memory(0)) == ("740 MiB", "1.2 GiB", "–")


def test_arms_say_how_much_of_it() -> None:
    assert label("scratch-cutmix@0.5") == "weak, then CutMix, × 0.5"
    assert label("scratch-minted@0.25") == "+ minted images, 0.25 of a batch"
    assert label("scratch-none") == "no augmentation" and label("mine") == "mine"


def test_a_run_folder_is_named_as_it_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Brackets and colons in a path are no markup."""
    monkeypatch.setattr(output.api.Run, "facts", {})
    monkeypatch.setattr("augmint.report.text.render", lambda facts: "")
    output.show(Path("runs/photos[old]:dog:"), as_json=False)
    assert "report: runs/photos[old]:dog:/report/index.html" in capsys.readouterr().out
