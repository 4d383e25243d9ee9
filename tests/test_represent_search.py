"""Choosing views: planted agreement and planted scores are found, a search is part of the budget, and it resumes."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from augmint import api
from augmint.config import RepresentSettings
from augmint.data import load
from augmint.errors import Diverged
from augmint.report import write
from augmint.report.facts import collect
from augmint.represent import InRun, resolve_views, search
from augmint.represent import train as room
from augmint.represent.candidates import CANDIDATES, USUAL
from augmint.represent.rotation import PENALTY, chance, probe, turns_told
from augmint.represent.search import LEAST_STEPS, Choice, choose, decide, short
from augmint.represent.train import views_of
from augmint.train import Compute, RunDir

CPU = Compute(torch.device("cpu"), bf16=False)
SMALL = RepresentSettings(
    backbone="cnn", width=8, views="auto", images=19_200, batch=64, reconstruction=0.0, search=0.2, lr=1e-3
)


def pool(count: int = 240):
    table = load("digits").take(torch.arange(count))
    return table.with_labels(torch.full_like(table.labels, -1))


def test_every_candidate_is_a_policy_that_can_be_built() -> None:
    assert len(CANDIDATES) == 6
    for candidate in CANDIDATES.values():
        views_of(candidate.apply(SMALL))

    default = RepresentSettings()
    assert CANDIDATES[USUAL].apply(default) == default.model_copy(update={"view_options": {"simclr": {}}})


def planted(noise: float, turns: int = 4, count: int = 200) -> torch.Tensor:
    """Features of `count` images in all turns, in which the turn shows through noise."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(turns, 1, 12, generator=generator)
    return centres + noise * torch.randn(turns, count, 12, generator=generator)


def test_turns_are_told_as_by_least_squares_with_a_penalty() -> None:
    """The oracle: a ridge regression in numpy on what tells one turn from the others, penalty and scale of its own."""
    hidden = planted(2.0)
    found = probe(hidden)
    for judged in (0, 1):
        learn = hidden[:, 1 - judged :: 2].reshape(-1, 12).double().numpy()
        mean, scale = learn.mean(0), learn.std(0)
        x, wanted = (learn - mean) / scale, np.repeat(2 * np.eye(4) - 1, 100, 0)
        weights = np.linalg.solve(x.T @ x + PENALTY * len(x) * np.eye(12), x.T @ (wanted - wanted.mean(0)))
        answers = (((hidden[:, judged::2].double().numpy() - mean) / scale) @ weights).argmax(2)
        np.testing.assert_allclose(found[judged::2], (answers == np.arange(4)[:, None]).mean(0), atol=1e-6)
    assert 0.3 < float(found.mean()) < 0.95


def test_turns_that_show_are_told_and_where_none_shows_a_guess_remains() -> None:
    assert float(probe(planted(0.01)).mean()) == 1.0
    blind = torch.randn(1, 300, 12, generator=torch.Generator().manual_seed(1))
    assert abs(float(probe(blind.repeat(4, 1, 1)).mean()) - 0.25) < 1e-6


class Sees:
    """As an encoder whose features are the pixels of the left upper corner."""

    def hidden(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, 0, :3, :3].flatten(1).float()


def test_images_are_turned_as_far_as_their_shape_stays() -> None:
    images = torch.randint(0, 50, (60, 1, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    assert abs(float(turns_told(Sees(), images).mean()) - chance(images)) < 0.1 and chance(images) == 0.25
    images[:, :, :3, :3] += 100  # lit from the left upper corner, which tells one turn from the three others
    assert float(turns_told(Sees(), images).mean()) > 0.45
    wide = torch.cat([images, images.flip(3)[..., :2]], 3)
    assert chance(wide) == 0.5
    assert float(turns_told(Sees(), wide).mean()) > 0.9


@pytest.mark.parametrize(
    ("lead", "noise", "chosen"),
    [(0.05, 0.1, "simclr"), (0.05, 3.0, "gentle-upright"), (-0.05, 0.1, "gentle-upright")],
    ids=["clear", "within the noise", "behind"],
)
def test_only_a_clear_lead_moves_the_usual_views(lead: float, noise: float, chosen: str) -> None:
    """The oracle of the error is the standard error of the paired differences, planted exactly, and two trainings'."""
    base = 0.4 + 0.5 * torch.rand(400, generator=torch.Generator().manual_seed(0))
    swing = noise * torch.tensor([1.0, -1.0]).repeat(200)
    choice = decide({"simclr": base + lead + swing, "gentle-upright": base}, "gentle-upright", images=7, chance=0.25)
    assert choice.chosen == chosen
    assert choice.leads["simclr"] == pytest.approx(lead, abs=1e-6)
    assert choice.errors["simclr"] == pytest.approx((noise**2 / 399 + 2 * 0.006**2) ** 0.5, rel=1e-3)
    assert choice.images == 7 and f"views: {chosen} chosen" in choice.describe()


def test_a_candidate_that_diverges_is_out_and_all_others_may_win() -> None:
    def train(name: str, settings: RepresentSettings) -> SimpleNamespace:
        if name == "simclr":
            raise Diverged("planted")
        return SimpleNamespace(hidden=lambda images: images.flatten(1).float())

    choice = choose(pool(), SMALL, train)
    assert choice.chosen in set(CANDIDATES) - {"simclr"} and "diverged" in choice.reason


def test_where_turns_cannot_be_told_the_usual_views_stay() -> None:
    generator = torch.Generator().manual_seed(0)
    guesses = {name: 0.25 + 0.1 * (torch.rand(400, generator=generator) - 0.5) for name in CANDIDATES}
    guesses["any-way-up"] += 0.03  # a clear lead, of noise
    choice = decide(guesses, "simclr-mild", 7, chance=0.25)
    assert choice.chosen == "simclr-mild" and "no way up" in choice.reason
    assert decide(guesses, "simclr-mild", 7, chance=0.2).chosen == "any-way-up"
    assert decide({}, "simclr-mild", 7, chance=0.25).chosen == "simclr-mild"


def test_the_search_is_paid_for_and_too_little_keeps_the_usual_views_for_nothing() -> None:
    brief = short(SMALL)
    assert brief.images == 640 and brief.images * len(CANDIDATES) <= SMALL.search * SMALL.images
    left = Choice("simclr", "gentle-upright", {}, {}, {}, 3840, "").settings(SMALL)
    assert (left.views, left.images) == ("simclr", SMALL.images - 3840)

    def never(name: str, settings: RepresentSettings) -> None:
        raise AssertionError("nothing is to be trained")

    few = SMALL.model_copy(update={"images": LEAST_STEPS * 64 * len(CANDIDATES)})
    for table, settings in ((pool(), few), (pool(50), SMALL), (pool(), SMALL.model_copy(update={"search": 0.0}))):
        choice = choose(table, settings, never)
        assert choice.chosen == "simclr" and choice.images == 0
        assert choice.settings(settings).images == settings.images


def test_candidates_start_alike_and_see_the_same_rows(tmp_path) -> None:
    """So that a difference between two is one of their views."""
    seen = []
    trainers = [room.prepare(pool(), c.apply(short(SMALL)), CPU, seed=3) for c in CANDIDATES.values()]
    for trainer in trainers:
        seen.append(torch.cat([p.detach().flatten() for p in trainer.joint.parameters()]))
        assert (trainer.plan.seed, trainer.plan.stream, trainer.plan.batch) == (3, room.STREAM, 64)
    assert all(torch.equal(seen[0], other) for other in seen)


class Killed(Exception):
    pass


def test_killed_in_the_third_candidate_and_resumed_is_uninterrupted(tmp_path, monkeypatch) -> None:
    with RunDir.open(tmp_path / "straight", {}) as run:
        straight = resolve_views(InRun(run, pool(), CPU, 5), SMALL)
        assert resolve_views(InRun(run, pool(), CPU, 5), SMALL) == straight  # loaded, not chosen again
    trained, step = [], room.Trainer.step

    def killed(self, rows, draws, progress):
        if draws.step == 0:
            trained.append(self.settings.views)
        if len(trained) == 3 and draws.step == 4:
            raise Killed
        return step(self, rows, draws, progress)

    monkeypatch.setattr(room.Trainer, "step", killed)
    with RunDir.open(tmp_path / "resumed", {}) as run, pytest.raises(Killed):
        resolve_views(InRun(run, pool(), CPU, 5), SMALL)
    with RunDir.open(tmp_path / "resumed", {}) as run:
        assert resolve_views(InRun(run, pool(), CPU, 5), SMALL) == straight
    assert len(trained) == 3 + 4  # the two that were finished are not repeated
    first, second = (choice_of(tmp_path / name) for name in ("straight", "resumed"))
    assert first == second
    assert straight.images == SMALL.images - first["images"]
    said = (tmp_path / "straight" / "run.log").read_text()
    assert said.count(f"views: {first['chosen']} chosen") == 1


def choice_of(folder):
    (path,) = (folder / "stages" / "views" / "choice").glob("*/done.json")
    return json.loads(path.read_text())["choice"]


def test_named_views_are_left_alone(tmp_path) -> None:
    named = SMALL.model_copy(update={"views": "simclr"})
    with RunDir.open(tmp_path / "run", {}) as run:
        assert resolve_views(InRun(run, pool(), CPU, 0), named) is named
        assert not (tmp_path / "run" / "stages" / "views").exists()


def test_the_choice_does_not_look_at_labels(tmp_path, monkeypatch) -> None:
    labelled = load("digits").take(torch.arange(240))
    with RunDir.open(tmp_path / "a", {}) as run:
        resolve_views(InRun(run, labelled, CPU, 1), SMALL)
    with RunDir.open(tmp_path / "b", {}) as run:
        resolve_views(InRun(run, replace(labelled, labels=labelled.labels.flip(0)), CPU, 1), SMALL)
    assert choice_of(tmp_path / "a") == choice_of(tmp_path / "b")


def test_all_processes_take_the_choice_of_the_first(monkeypatch) -> None:
    monkeypatch.setattr(search.parallel, "from_first", lambda number: list(CANDIDATES).index("any-way-up"))
    score = torch.rand(50, generator=torch.Generator().manual_seed(0))
    choice = decide({"simclr": score, "gentle-upright": score + 1}, "gentle-upright", 1, 0.25)
    assert choice.chosen == "any-way-up"


def test_from_the_command_to_the_report(tmp_path) -> None:
    """The whole of it at its smallest: six candidates, the choice, the encoder on the rest of the budget, the page."""
    budget = 3_500
    over = {"represent": {"views": "auto", "search": 0.9, "images": budget, "reconstruction": 0.0}}
    settings = api.settings_for("digits", preset="tiny", overrides=over)
    api.execute("represent", settings, tmp_path / "run")
    chosen = choice_of(tmp_path / "run")
    assert set(chosen["scores"]) == set(CANDIDATES) and chosen["images"] == 6 * LEAST_STEPS * 64
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    ends = {line["stage"]: line["images"] for line in lines if "images" in line}
    assert set(ends) == {"represent", *(f"views/{name}" for name in CANDIDATES)}
    assert budget <= sum(ends.values()) < budget + 64  # in whole batches
    page = write(tmp_path / "run").read_text()
    facts = collect(tmp_path / "run")
    assert facts["views"] == chosen
    assert {"views", "represent"} <= {stage["stage"] for stage in facts["stages"]}
    assert all(f'<th scope="row">{name}</th>' in page for name in CANDIDATES)
    assert f"under the views <strong>{chosen['chosen']}</strong>" in page
