"""`augmint mint RUN --count`: one stored judge for all calls, any number of cores, kills; caps that follow the wish."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from augmint import api, cli, minting
from augmint.config import MintSettings, resolve
from augmint.data.table import ImageTable
from augmint.errors import InputError, UsageError
from augmint.generate.image import ImageGenerator
from augmint.judge import situation
from augmint.mint import Stock, Wish, many, told, widened
from augmint.mint.distances import ReducedPool
from augmint.pipeline import Pipeline
from augmint.represent import Encoder, InRun
from augmint.train import RunDir, checkpoint
from fake_mint import Fake

ANY = {"mint": {"agreement": 0}}  # the preset's judge is sure of nothing


@pytest.fixture(scope="module", autouse=True)
def generator() -> Iterator[None]:
    """One whose children pass: so short a training leaves grey ones."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("generate", "look", "realness"):
            patch.setattr(ImageGenerator, name, lambda self, *given, name=name: getattr(Fake(30.0), name)(*given))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has minted once."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    tree = {"labels_per_class": 5, "generate": {"feature": {"enabled": False}}}
    api.execute("mint", api.settings_for("digits", preset="tiny", overrides=tree), folder)
    return folder


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(many, "PIECE", 256)
    yield
    torch.set_num_threads(1)


def mint(run: Path, count: int = 150, **more: object) -> dict[str, bytes]:
    """What is written, by file."""
    facts = api.mint(run, count, settings=ANY, **more)  # type: ignore[arg-type]
    folder = Path(facts["folder"])
    assert facts["kept"] == count
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copy(run: Path, to: Path) -> Path:
    return Path(shutil.copytree(run, to))


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("learnt or encoded again")


def test_a_second_call_trains_and_encodes_nothing(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mint(run, 20)
    for place, name in ((situation, "fit_scratch"), (situation, "agreeing"), (Encoder, "hidden")):
        monkeypatch.setattr(place, name, refuse)
    assert mint(run, 30, seed=3)


def test_cores_and_kills_change_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mint(copy(run, tmp_path / "one"))
    torch.set_num_threads(2)
    monkeypatch.setattr(minting, "cores", lambda: 2)
    assert mint(copy(run, tmp_path / "two")) == whole
    torch.set_num_threads(1)
    monkeypatch.setattr(minting, "cores", lambda: 1)
    killed, save, saved = copy(run, tmp_path / "killed"), checkpoint.save, []
    child = os.fork()
    if child == 0:  # pragma: no cover

        def deadly(path: Path, state: dict[str, object]) -> None:
            save(path, state)
            saved.append(path)
            os.kill(os.getpid(), signal.SIGKILL) if "pieces" in str(path) else None

        checkpoint.save = deadly
        api.mint(killed, 150, settings=ANY)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(list(killed.glob("stages/mint-more/*/pieces/*.safetensors"))) == 1
    assert mint(killed) == whole


def test_the_judge_is_the_same_whatever_the_number_of_threads(run: Path, tmp_path: Path) -> None:
    (stored,) = run.glob("stages/ground/*/result.safetensors")
    other = copy(run, tmp_path / "other")
    shutil.rmtree(other / "stages" / "ground")
    torch.set_num_threads(2)
    mint(other, 10)
    one, two = load_file(stored), load_file(other / stored.relative_to(run))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_settings_of_minting_can_be_set_and_show(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["mint", str(run), "--count", "60", "--set", "mint.agreement=0", "--set", "mint.per_parent=1"]
    said = called([*words, "--json", "--quiet"], capsys)
    assert '"per_parent": 1,' in said and "minted-60-seed0-agreement=0.0-per_parent=1" in said
    kept = pq.read_table(run / "minted-60-seed0-agreement=0.0-per_parent=1" / "minted" / "metadata.parquet")
    assert kept.num_rows == 60 and len(set(kept["parent"].to_pylist())) == 60
    few = called([*words, "--set", "mint.parents_per_class=1", "--quiet"], capsys)
    assert "60 were asked for, 60 allowed by the caps" in few or "60 images kept" in few


def called(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    before, sys.argv = sys.argv, ["augmint", *words]
    try:
        cli.main()
    except SystemExit as stop:
        assert not stop.code
    finally:
        sys.argv = before
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"represent": {"width": 3}}, "represent"),
        ({"mint": {"children": 3}}, "children.*choose from mint.agreement"),
        ({"mint": {"per_parent": 0}}, "mint.per_parent"),
        ({"mint": 3}, "mint"),
    ],
)
def test_other_settings_are_refused(run: Path, tree: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        api.mint(run, 5, settings=tree)


def test_a_run_is_no_place_to_mint_to(run: Path) -> None:
    before = (run / "minted" / "metadata.parquet").read_bytes()
    with pytest.raises(UsageError, match="that is a run"):
        api.mint(run, 5, to=run)
    assert (run / "minted" / "metadata.parquet").read_bytes() == before


def test_a_folder_that_another_minting_has_taken_is_minted_anew(run: Path, tmp_path: Path) -> None:
    first = mint(run, 20, to=tmp_path / "x")
    other = copy(run, tmp_path / "other")
    for place, count in ((run, 10), (other, 15)):
        assert mint(place, count, to=tmp_path / "x") != first
        assert mint(run, 20, to=tmp_path / "x") == first


def test_what_lies_in_the_folder_is_not_made_again(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = mint(run, 20, to=Path("x"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "x").rename("moved")
    monkeypatch.setattr(minting, "mint_wish", refuse)
    assert mint(run, 20, to=Path("moved")) == first
    with pytest.raises(AssertionError, match="again"):
        mint(run, 20, to=Path("x"))


def test_the_pool_is_reduced_once_and_before_the_workers(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, calls, of = copy(run, tmp_path / "other"), [], ReducedPool.of
    shutil.rmtree(other / "stages" / "thresholds")

    def counted(pool: ImageTable) -> ReducedPool:
        calls.append(pool)
        return of(pool)

    monkeypatch.setattr(ReducedPool, "of", counted)
    stored = api.stored_settings(other)
    with RunDir.open(other, stored.model_dump(mode="json")) as opened:
        pipeline = Pipeline(opened, stored)
        assert pipeline.material.small is pipeline.small  # of what all workers see
        minted = pipeline.final_situation.minted
        assert len(minted.table) and len(calls) == 1
    mint(other, 10)
    assert len(calls) == 2


SWITCHED_OFF = {"generate": {"image": {"enabled": False}}}
EARLY = [
    ("mint", SWITCHED_OFF, "image generator"),
    ("measure", SWITCHED_OFF, "image generator"),
    ("measure", {"target": "digits"}, "with a target"),
    ("classify", {"judge": {"arms": ["encoder", "nonsense"]}}, "no arm 'nonsense'"),
    ("mint", {"mint": {"post": "nonsense"}}, "policy nonsense"),
    ("mint", {"mint": {"post": "mixup"}}, "mint.post=mixup"),
    ("generate", {"classify": {"extra_policy": "nonsense"}}, "policy nonsense"),
    ("run", {"classify": {"finetune": {"policy": "nonsense"}}}, "policy nonsense"),
    ("run", {"classify": {"network": "nonsense"}}, "backbone nonsense"),
    ("run", {"measure": {"backbone": "nonsense"}}, "backbone nonsense"),
    ("run", {"generate": {"image": {"contrast": {"views": "nonsense"}}}}, "policy nonsense"),
]


@pytest.mark.parametrize(("stage", "tree", "message"), EARLY)
def test_what_cannot_end_well_is_refused_before_anything_is_learnt(
    stage: str, tree: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InRun, "encoder", refuse)
    settings = api.settings_for("digits", preset="tiny", overrides={"labels_per_class": 5, **tree})
    with pytest.raises(UsageError, match=message):
        api.execute(stage, settings, tmp_path / "r")


def test_without_labels_nothing_is_learnt_to_measure(user_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = user_folder.parent / "bare"
    for number, file in enumerate(sorted(user_folder.rglob("*.png"))[:30]):
        bare.mkdir(exist_ok=True)
        shutil.copy(file, bare / f"{number}.png")
    monkeypatch.setattr(InRun, "encoder", refuse)
    for stage in ("measure", "mint"):
        with pytest.raises(InputError, match="no labelled training image"):
            api.execute(stage, api.settings_for(bare, preset="tiny"), bare.parent / stage)


def test_a_post_processing_that_there_is_not_needs_no_judge(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minting.Ground, "load", refuse)
    with pytest.raises(UsageError, match="policy nonsense"):
        api.mint(run, 5, settings={"mint": {"post": "nonsense"}})


# --- caps --------------------------------------------------------------------------------------------

DEMO = Stock(torch.full((10,), 10), torch.full((10,), 119))
OWN = resolve("demo").mint


def test_ten_thousand_of_a_demo_run_are_allowed() -> None:
    wish = Wish(10_000, False, 0)
    assert DEMO.limit(wish, OWN) == 2_800
    chosen = widened(wish, DEMO, OWN)
    assert (chosen.parents_per_class, chosen.per_parent) == (119, 16) and DEMO.limit(wish, chosen) == 10_000
    assert told(wish, DEMO, OWN, chosen) == "10,000 images: at most 16 of each of 1,290 parents are kept"
    assert widened(Wish(1_000, False, 0), DEMO, OWN) == OWN and told(Wish(1_000, False, 0), DEMO, OWN, OWN) == ""


def test_what_is_set_stays_and_the_limit_is_told() -> None:
    wish, own = Wish(1_000, True, 0), OWN.model_copy(update={"per_parent": 3})
    chosen = widened(wish, DEMO, own, {"per_parent"})
    assert (chosen.parents_per_class, chosen.per_parent) == (119, 3)
    assert told(wish, DEMO, OWN, chosen).startswith("at most 3,870 of 10,000 images can be kept: 3 of each of 1,290")
    assert widened(wish, DEMO, OWN, {"per_parent", "parents_per_class"}) == OWN
    most = widened(Wish(10**6, False, 0), DEMO, OWN)
    assert most.per_parent == 50 and DEMO.limit(Wish(10**6, False, 0), most) == 64_500


def test_classes_without_parents_are_not_asked_for() -> None:
    stock = Stock(torch.tensor([2, 0, 3]), torch.tensor([0, 0, 40]))
    wish = Wish(10, True, 0)
    chosen = widened(wish, stock, MintSettings())
    assert wish.target(stock.classes) == 20 == stock.limit(wish, chosen) and chosen.per_parent == 10
