"""A recipe carried out, stored, read again, compared and judged."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from striate.blocks.wiring import Chain
from striate.data.loader import Loader
from striate.data.sources import open_dataset
from striate.errors import ArtefactError, DatasetError, UsageError
from striate.reproduce.carry_out import carry_out, hired
from striate.reproduce.experiment import Experiment
from striate.reproduce.fastest import networks
from striate.reproduce.fastest.way import Way
from striate.reproduce.ingredients import Ingredients
from striate.reproduce.page import PAGE, results_page
from striate.reproduce.reading import open_experiment
from striate.reproduce.result import Measured, Outcome, Result, store, stored
from striate.reproduce.runs import Means
from striate.reproduce.trained import build, gradients_over_depth, part, prepare, train_once
from striate.reproduce.verdict import beside_claim, judge
from striate.training.machine import survey
from striate.training.report import Report

MEANS = Means(threads=1, workers=0, together=1)


def once(experiment: Experiment, seed: int = 0, **settings: object) -> Measured:
    one = experiment.trained["without"]
    one = replace(one, recipe=one.recipe.model_copy(update=settings))
    dataset = open_dataset("digits", val_share=0.0)
    return train_once(one, experiment.work, dataset, seed, survey(1), 0, Report())


def made(experiment: Experiment, values: dict[str, list[float]], images: int = 100) -> Result:
    outcomes = tuple(Outcome(name, tuple(Measured(v) for v in row)) for name, row in values.items())
    return Result(experiment.name, experiment.quick, experiment.digest, "2026-11-21", "a machine", images, outcomes)


def test_a_recipe_is_carried_out_stored_and_reproduces(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small", quick=True)
    said: list[str] = []
    with hired(MEANS) as crew:
        result = carry_out(experiment, crew, tell=said.append)
        once_more = carry_out(experiment, crew)
    assert [line.rsplit(": ", 1)[0] for line in said] == [
        f"small --quick: {arm}, seed {seed}" for arm in ("without", "with") for seed in (0, 1)
    ]
    assert stored(experiment) is None
    path = store(result, experiment)
    again = stored(experiment)
    assert again is not None
    assert again.to_json(experiment.against) == json.loads(path.read_text()) == result.to_json(experiment.against)
    assert all(
        run.curve[-1]["test_accuracy"] * 100 == pytest.approx(run.value) for o in again.outcomes for run in o.runs
    )
    verdict = judge(experiment, again, once_more)
    assert verdict.reproduces
    assert "small --quick reproduces: all 2 arms" in verdict.sentence


def test_the_same_seed_gives_the_same_run_and_another_one_another(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small", quick=True)
    assert once(experiment) == once(experiment) != once(experiment, seed=1)


def test_a_fastest_road_is_carried_out_alone(recipes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(images: torch.Tensor, classes: int) -> Chain:
        return Chain(
            whiten=networks.whitened(images, 2), act=nn.Hardswish(), conv=networks.passing(8, 8), norm=networks.norm(8),
            pool=nn.AdaptiveMaxPool2d(1), flatten=nn.Flatten(), dense=nn.Linear(8, classes, bias=False))  # fmt: skip

    monkeypatch.setitem(networks.NETWORKS, "tiny", tiny)
    path = recipes / "small.toml"
    claim = path.read_text().partition("[work]")[0]
    settings = 'network = "tiny"\ndata = "digits"\nepochs = 2\nbatch = 64\nlr = 0.1\n'
    path.write_text(f'{claim}[work]\nkind = "fastest"\nseeds = 2\n[settings]\n{settings}')
    experiment = open_experiment(recipes, "small")
    assert [type(arm.does) for arm in experiment.arms] == [Way]
    with hired(replace(MEANS, together=2)) as crew:
        result = carry_out(experiment, crew)
        assert crew._members == {}
    assert (result.images, result.together) == (360, 1)
    values = result.outcomes[0].values
    assert all(value > 20 for value in values)  # a guess is right on 10 %
    assert values[0] != values[1]
    store(result, experiment)
    assert "all training images, 2 epochs, 360 test images, 2 seeds" in results_page(recipes)[PAGE]


def test_a_training_that_diverges_counts_as_guessing(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small", quick=True)
    found = once(experiment, lr=100.0)
    test = part(open_dataset("digits", val_share=0.0).split("test"), 100, 0, "digits")
    assert found.diverged
    assert found.value == max((test.labels == k).sum() for k in range(10))


def test_training_images_are_drawn_with_the_seed_and_test_images_are_not(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small")
    recipe = experiment.trained["without"].recipe
    dataset = open_dataset("digits", val_share=0.0)
    zero, one = (prepare(dataset, recipe, experiment.work, seed) for seed in (0, 1))
    assert zero.test.keys == one.test.keys
    assert len(set(zero.train.keys)) == 200
    assert set(zero.train.keys) != set(one.train.keys)
    assert not set(zero.train.keys) & set(zero.test.keys)


def test_more_images_than_there_are_is_said(recipes: Path) -> None:
    with pytest.raises(DatasetError, match="asks for 99,999 images; there are 360"):
        part(open_dataset("digits").split("test"), 99_999, 0, "digits")


def test_gradients_over_depth_are_those_that_a_hook_sees(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small")
    network = Ingredients(deep=2, activation="tanh", norm=True, dropout=0.5)
    arm = replace(experiment.trained["without"], network=network)
    prepared = prepare(open_dataset("digits", val_share=0.0), arm.recipe, experiment.work, 0)
    module = build(arm, prepared, 0).train()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    assert isinstance(module, Chain)
    found = gradients_over_depth(module, prepared, images=16)
    assert module.training
    assert all(part.training for part in module.modules())
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())

    dict(module.named_children())["drop1"].eval()
    dict(module.named_children())["drop2"].eval()
    seen: dict[str, torch.Tensor] = {}
    for name, step in module.named_children():
        if isinstance(step, nn.Conv2d):
            step.register_full_backward_hook(lambda _m, _i, g, name=name: seen.update({name: g[0]}))
    loader = Loader(prepared.train, prepared.preprocess, classes=10, batch=16, workers=0)
    batch = next(iter(loader.in_order()))
    nn.functional.cross_entropy(module(batch.images.requires_grad_()), batch.labels).backward()
    assert list(found) == ["conv1", "conv2", "conv3", "conv4"]
    for name, g in seen.items():
        assert found[name] == pytest.approx(g.pow(2).mean().sqrt().item(), rel=1e-3)


VALUES = {"without": [90.0, 91.0], "with": [93.0, 94.1]}


def test_a_result_outside_its_interval_does_not_reproduce_and_the_worst_arm_is_named(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small")
    now = made(experiment, {"without": [90.5, 90.6], "with": [60.0, 61.0]})
    verdict = judge(experiment, made(experiment, VALUES), now)
    assert not verdict.reproduces
    assert verdict.sentence.startswith("small does not reproduce: 'with': 60.50 (test accuracy, %), and ")
    assert "was expected from the stored 93.55; 1 of 2 arms lie outside" in verdict.sentence
    better = made(experiment, {"without": [98.5, 98.6], "with": [93.0, 94.0]})
    assert judge(experiment, made(experiment, VALUES), better).sentence.startswith(
        "small does not reproduce: 'without'"
    )


def test_without_a_stored_result_there_is_no_verdict(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small")
    with pytest.raises(UsageError, match="small has no stored result to compare with; --store"):
        judge(experiment, None, made(experiment, VALUES))


def test_a_result_older_than_its_recipe_is_refused(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small")
    store(made(experiment, VALUES), experiment)
    assert stored(experiment) is not None
    path = recipes / "small.toml"
    path.write_text(path.read_text().replace("dropout = 0.5", "dropout = 0.6"))
    with pytest.raises(ArtefactError, match=r"measured before small.toml was changed; measure it again: .* --store"):
        stored(open_experiment(recipes, "small"))


@pytest.mark.parametrize(
    ("was", "now"),
    [('"value": 90.0', '"value": "ninety"'), ('"striate result 1"', '"striate result 9"'), ('"runs": [', '"run": ['),
     ("{", ""), ('"without": {', '"witout": {')],
)  # fmt: skip
def test_a_damaged_result_is_an_artefact_error(recipes: Path, was: str, now: str) -> None:
    experiment = open_experiment(recipes, "small")
    path = store(made(experiment, VALUES), experiment)
    assert was in path.read_text()
    path.write_text(path.read_text().replace(was, now, 1))
    with pytest.raises(ArtefactError, match=r"small\.json"):
        stored(experiment)


def test_a_missing_run_is_noticed(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small")
    store(made(experiment, {"without": [90.0], "with": [93.0]}), experiment)
    with pytest.raises(ArtefactError, match="an arm has not 2 runs"):
        stored(experiment)


def test_the_gap_to_the_claim_is_said_for_a_single_arm_only(recipes: Path) -> None:
    experiment = open_experiment(recipes, "small")
    alone = beside_claim(experiment, made(experiment, {"without": [88.0, 89.0]}))
    assert alone == "Claimed are 90; ours is 88.50, 1.50 lower."
    assert beside_claim(experiment, made(experiment, VALUES)) == ""
