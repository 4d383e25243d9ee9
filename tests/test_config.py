from pathlib import Path

import pytest
import yaml

from augmint.config import PRESETS, Settings, assignments, explained, merge, resolve
from augmint.errors import UsageError


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_are_valid_and_survive_a_file(name: str, tmp_path: Path) -> None:
    settings = resolve(name)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    assert resolve(name, tmp_path / "c.yaml") == settings
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings


def test_another_optimiser_is_given_its_rate_and_its_decay(tmp_path: Path) -> None:
    own = ["represent.optimiser=sgd", "represent.lr=0.06", "represent.weight_decay=5e-4"]
    settings = resolve("fast", None, assignments(own)).represent
    assert (settings.optimiser, settings.lr, settings.weight_decay) == ("sgd", 0.06, 5e-4)
    usual = resolve().represent
    assert (usual.optimiser, usual.lr, usual.weight_decay) == ("adamw", 2e-3, 0.05)


def test_layers(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("represent: {width: 48, batch: 64}")
    settings = resolve("fast", tmp_path / "c.yaml", assignments(["represent.batch=32"]))
    assert (settings.represent.width, settings.represent.batch) == (48, 32)
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: resolve("quick"), "choose one of"),
        (lambda: resolve(overrides={"seed": 2**63}), "seed: Input should be less than"),
        (lambda: resolve(overrides={"represent": {"width": 10**30}}), r"represent\.width: Input should be less than"),
        (lambda: resolve(overrides={"represent": {"widht": 3}}), r"represent\.widht"),
        (lambda: resolve(overrides={"represent": {"width": "wide"}}), r"represent\.width"),
        (lambda: resolve(overrides={"classify": {"minted_share": 0.9}}), "minted_share"),
        (
            lambda: resolve(overrides=assignments(["represent.optimiser=lars"])),
            "represent: optimiser lars needs lr and",
        ),
        (lambda: resolve(overrides=assignments(["represent.optimiser=sgd", "represent.lr=0.1"])), "set both"),
        (lambda: assignments(["represent.width"]), "name=value"),
        (lambda: assignments(["a=[1"]), "is not a value"),
        (lambda: resolve(file=Path("/nonexistent.yaml")), "not a readable YAML"),
    ],
)
def test_what_does_not_fit_is_named(call: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image": {"condition": "class"}}, "image.condition=class needs labels.*condition=cluster"),
        ({"feature": {"condition": "class"}}, "feature.condition=class needs labels"),
        ({"image": {"delta": 0.2}}, "image.delta=0.2 counts with loss=margin"),
        ({"feature": {"delta": 0.2}}, "feature.delta=0.2 counts with loss=margin"),
        ({"image": {"beta": 1.0, "constraint": "none"}}, "image.beta=1 weighs"),
        ({"feature": {"beta": 1.0, "constraint": "none"}}, "feature.beta=1 weighs"),
        ({"image": {"farthest": "uniform", "discriminators": ["image"]}}, "image.farthest=uniform counts for pairs"),
        ({"image": {"discriminators": ["image", "siamese"]}}, "image.discriminators=siamese learns to see by itself"),
        ({"image": {"trunk": "own", "perception": 0.3}}, "image.perception=0.3 counts with trunk=encoder"),
        ({"feature": {"farthest": "other", "form": "noise"}}, "feature.farthest=other counts for pairs"),
        ({"feature": {"hops": 2, "form": "noise"}}, "feature.hops counts with form=residual"),
    ],
)
def test_generators_refuse_what_cannot_work_or_does_nothing(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=f"^setting generate: {message}"):
        resolve(overrides={"generate": given})
    (name, values), *_ = given.items()
    resolve(overrides={"generate": {name: {**values, "enabled": False}}})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "given",
    [
        {
            "image": {"condition": "cluster"},
            "feature": {"condition": "cluster", "form": "noise", "farthest": "uniform"},
        },
        {"image": {"delta": 0.2, "loss": "margin"}, "feature": {"constraint": "none"}},  # whose beta was not set
        {"image": {"discriminators": ["contrastive"], "farthest": "generated", "trunk": "own"}},
        {"image": {"discriminators": ["projection"]}, "feature": {"form": "noise"}},  # semi_hard was not set
        {"image": {"farthest": "uniform", "discriminators": ["siamese", "image"], "trunk": "own"}},
    ],
)
def test_generators_take_what_fits(given: dict[str, dict[str, object]]) -> None:
    settings = resolve(overrides={"generate": given}).generate.model_dump(mode="json")
    assert all(settings[form][name] == value for form, of in given.items() for name, value in of.items())


def test_a_condition_with_a_target_is_refused() -> None:
    given = {"target": "ward", "generate": {"image": {"condition": "cluster"}}}
    with pytest.raises(UsageError, match=r"^setting generate\.image\.condition=cluster knows no target"):
        resolve(overrides=given)
    resolve(overrides={**given, "target": None})


@pytest.mark.parametrize("name", ["realness", "feature_realness"])
@pytest.mark.parametrize("given", [[5, 9], [0.9, 0.1], [0.5, 0.5], [-0.1, 0.5], [0.5, 1.1]])
def test_quantiles_that_leave_nothing_between_them_are_refused(name: str, given: list[float]) -> None:
    with pytest.raises(UsageError, match=rf"^setting mint\.{name}"):
        resolve(overrides={"mint": {name: given}})
    assert getattr(resolve(overrides={"mint": {name: [0, 1]}}).mint, name) == (0, 1)


def test_a_config_that_tries_to_execute_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("!!python/object/apply:os.system ['touch /tmp/owned']")
    with pytest.raises(UsageError, match="not a readable YAML"):
        resolve(file=tmp_path / "c.yaml")


@pytest.mark.parametrize("name", PRESETS)
def test_printed_settings_are_yaml_that_says_what_they_mean(name: str, tmp_path: Path) -> None:
    settings = resolve(name, overrides={"classify": {"prior": [0.4, 0.6]}})
    text = explained(settings)
    (tmp_path / "c.yaml").write_text(text)
    assert resolve(name, tmp_path / "c.yaml") == settings
    assert explained(settings, ["seed"]) == text.replace("\nseed: 0", "\n# seed: 0")
    silent = {line.partition(":")[0].strip() for line in text.splitlines() if "  # " not in line}
    assert silent <= {"arms", "batch", "temperature", "weight_decay", "width"}
    assert "    loss: hinge  # adversarial, margin, hinge, relativistic\n" in text
    assert "represent:  # Unlabelled images → encoder\n" in text
    assert "    agreement:" not in text and "  agreement: 0.5  # the independent classifier gives" in text


def test_settings_without_their_source_are_printed_without_comments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspect.getsource", lambda _: (_ for _ in ()).throw(OSError))
    assert yaml.safe_load(explained(resolve())) == resolve().model_dump(mode="json")
