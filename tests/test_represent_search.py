"""Choosing views: planted agreement and planted scores are found, a search is part of the budget, and it resumes."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.neighbors import KNeighborsClassifier

from augmint import api
from augmint.config import RepresentSettings
from augmint.data import load
from augmint.errors import Diverged
from augmint.report import write
from augmint.report.facts import collect
from augmint.represent import InRun, agreement, resolve_views, search
from augmint.represent import train as room
from augmint.represent.agreement import clusters, readable, votes
from augmint.represent.candidates import CANDIDATES, usual
from augmint.represent.search import LEAST_STEPS, Choice, choose, decide, short
from augmint.represent.train import views_of
from augmint.seeding import permutation
from augmint.train import Compute, RunDir

CPU = Compute(torch.device("cpu"), bf16=False)
SMALL = RepresentSettings(
    backbone="cnn", width=8, views="auto", images=19_200, batch=64, reconstruction=0.0, search=0.2, lr=1e-3
)


def blobs(noise: float, seed: int, count: int = 300, kinds: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % kinds
    centres = torch.randn(kinds, 8, generator=torch.Generator().manual_seed(9))
    return 4 * centres[labels] + noise * torch.randn(count, 8, generator=generator), labels


def pool(count: int = 240):
    table = load("digits").take(torch.arange(count))
    return table.with_labels(torch.full_like(table.labels, -1))


def test_every_candidate_is_a_policy_that_can_be_built() -> None:
    assert len(CANDIDATES) == 6
    for candidate in CANDIDATES.values():
        views_of(candidate.apply(SMALL))
    assert {usual(1), usual(3)} < set(CANDIDATES)


def test_clusters_are_those_of_scikit_learn_from_the_same_start() -> None:
    features, _ = blobs(3.0, seed=0)
    start = features[permutation(len(features), "clusters", "test", 4)[:6]]
    model = KMeans(6, init=start.numpy(), n_init=1, max_iter=20, tol=0.0).fit(features.numpy())
    assert torch.equal(clusters(features, 6, "test", 4), torch.from_numpy(model.labels_).long())


def test_votes_are_those_of_scikit_learn() -> None:
    features, labels = blobs(4.0, seed=1)
    model = KNeighborsClassifier(5).fit(features, labels)
    neighbours = torch.from_numpy(model.kneighbors(features, return_distance=False))
    assert torch.equal(votes(neighbours, labels, 6), torch.from_numpy(model.predict(features)))


def test_features_that_share_what_the_others_know_are_read_best() -> None:
    """Three see the same six kinds, the less the more noise; one sees noise alone."""
    features = {name: blobs(noise, seed)[0] for seed, (name, noise) in enumerate((("a", 2.0), ("b", 6.0), ("c", 12.0)))}
    features["none"] = torch.randn(300, 8, generator=torch.Generator().manual_seed(4))
    scores = {name: float(score.mean()) for name, score in readable(features, seed=0).items()}
    assert sorted(scores, key=lambda name: -scores[name]) == ["a", "b", "c", "none"]


def test_effects_are_those_of_least_squares_whatever_the_diagonal_hides() -> None:
    """The oracle solves the additive model over the cells off the diagonal."""
    hits = torch.rand(5, 5, 3, generator=torch.Generator().manual_seed(0))
    hits[range(5), range(5)] = 0
    cells = [(i, j) for i in range(5) for j in range(5) if i != j]
    design = np.zeros((len(cells), 10))
    for cell, (i, j) in enumerate(cells):
        design[cell, [i, 5 + j]] = 1
    for image in range(3):
        wanted = np.linalg.lstsq(design, np.array([hits[i, j, image] for i, j in cells]), rcond=None)[0][:5]
        found = agreement._effects(hits)[:, image].numpy()
        np.testing.assert_allclose(found - found.mean(), wanted - wanted.mean(), atol=1e-5)


@pytest.mark.parametrize(
    ("lead", "noise", "chosen"),
    [(0.05, 0.1, "simclr"), (0.05, 3.0, "gentle-upright"), (-0.05, 0.1, "gentle-upright")],
    ids=["clear", "within the noise", "behind"],
)
def test_only_a_clear_lead_moves_the_usual_views(lead: float, noise: float, chosen: str) -> None:
    """The oracle of the error is the standard error of the paired differences, planted exactly."""
    base = torch.rand(400, generator=torch.Generator().manual_seed(0))
    swing = noise * torch.tensor([1.0, -1.0]).repeat(200)
    choice = decide({"simclr": base + lead + swing, "gentle-upright": base}, "gentle-upright", images=7)
    assert choice.chosen == chosen
    assert choice.leads["simclr"] == pytest.approx(lead, abs=1e-6)
    assert choice.errors["simclr"] == pytest.approx(noise / 399**0.5, rel=1e-3)
    assert choice.images == 7 and f"views: {chosen} chosen" in choice.describe()


def test_a_candidate_that_diverges_is_out_and_all_others_may_win() -> None:
    features, _ = blobs(1.0, seed=0)

    def train(name: str, settings: RepresentSettings) -> SimpleNamespace:
        if name == "gentle-upright":
            raise Diverged("planted")
        return SimpleNamespace(features=lambda images: features[: len(images)])

    choice = choose(pool(), SMALL, train, seed=0)
    assert choice.chosen in set(CANDIDATES) - {"gentle-upright"} and "diverged" in choice.reason


def test_the_search_is_paid_for_and_too_little_keeps_the_usual_views_for_nothing() -> None:
    brief = short(SMALL)
    assert brief.images == 640 and brief.images * len(CANDIDATES) <= SMALL.search * SMALL.images
    left = Choice("simclr", "gentle-upright", {}, {}, {}, 3840, "").settings(SMALL)
    assert (left.views, left.images) == ("simclr", SMALL.images - 3840)

    def never(name: str, settings: RepresentSettings) -> None:
        raise AssertionError("nothing is to be trained")

    few = SMALL.model_copy(update={"images": LEAST_STEPS * 64 * len(CANDIDATES)})
    for table, settings in ((pool(), few), (pool(50), SMALL), (pool(), SMALL.model_copy(update={"search": 0.0}))):
        choice = choose(table, settings, never, seed=0)
        assert choice.chosen == "gentle-upright" and choice.images == 0
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
    choice = decide({"simclr": score, "gentle-upright": score + 1}, "gentle-upright", 1)
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
