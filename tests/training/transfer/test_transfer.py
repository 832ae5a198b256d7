"""Training from weights: what is taken, what begins anew, what is frozen when, and that no stop or cache shows."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from striate.data.loader import Loader
from striate.data.preprocess import Preprocess
from striate.data.sources import open_dataset
from striate.errors import ArtefactError, Interrupted, RecipeError, UnknownName, UsageError
from striate.evaluation.job import evaluate
from striate.models.registry import create_model
from striate.run.classifier import load
from striate.run.folder import Identity, ModelSpec, Run, read_json, read_model, write_identity, write_model
from striate.training.job import train
from striate.training.recipe import Recipe, read
from striate.training.schedule import Schedule
from striate.training.transfer.layer_rates import rate_factors
from striate.training.transfer.receipt import digest
from striate.training.transfer.source import open_source, preprocess_of
from tests.training.runs import Killed, Listener, chain, files, go, options, rows

TWO_PHASES: dict[str, Any] = {
    "freeze": "head", "epochs": 5, "optimizer": "sgd", "lr": 0.05,
    "unfreeze": [{"epoch": 3, "down_to": "conv2", "lr": 0.01}, {"epoch": 5, "down_to": "all"}],
}  # fmt: skip


def weights(run: Path) -> dict[str, Tensor]:
    return read_model(run / "model.safetensors")[0]


def receipt(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "freeze.json").read_text()))


# -- what is taken -----------------------------------------------------------------------------------------------------


def test_all_but_the_head_is_the_sources_to_the_last_bit(finished: Path, two_classes: Path, tmp_path: Path) -> None:
    go(two_classes, tmp_path / "run", weights=str(finished), freeze="head")
    before, after = weights(finished), weights(tmp_path / "run")
    for name in before:
        if not name.startswith("fc."):
            assert torch.equal(before[name], after[name]), name
    assert after["fc.weight"].shape == (2, 54)
    said = receipt(tmp_path / "run")
    assert said["verified"]
    assert {n: row["after"] for n, row in said["tensors"].items()} == {
        n: digest(t) for n, t in before.items() if not n.startswith("fc.")
    }
    assert all(row["before"] == row["after"] for row in said["tensors"].values())


def test_the_model_of_a_run_need_not_be_named(finished: Path, two_classes: Path, tmp_path: Path) -> None:
    train(two_classes, out=tmp_path / "r", options=options(), weights=finished, freeze="head", epochs=1)
    assert Run(tmp_path / "r").identity.spec.name == "test_norm"


def test_the_head_of_a_run_stays_where_the_classes_are_the_same(
    finished: Path, images: Path, two_classes: Path, tmp_path: Path
) -> None:
    listener = Listener()
    more = {"weights": str(finished), "freeze": "relu2", "lr": 1e-9, "weight_decay": 0.0, "epochs": 1}
    go(images, tmp_path / "same", listener=listener, **more)
    assert torch.allclose(weights(tmp_path / "same")["fc.weight"], weights(finished)["fc.weight"], atol=1e-6)
    assert "head and all" in listener.plans[0].weights
    source = go(two_classes, tmp_path / "two").folder
    two = two_classes.parent / "other"  # as many classes, of other names
    if not two.exists():
        shutil.copytree(two_classes, two)
        for role in ("train", "val"):
            (two / role / "bee").rename(two / role / "dog")
    go(two, tmp_path / "other", listener=listener, **more | {"weights": str(source)})
    assert not torch.allclose(weights(tmp_path / "other")["fc.weight"], weights(source)["fc.weight"], atol=1e-3)
    assert "fc begins anew" in listener.plans[1].weights


def test_what_is_behind_a_step_begins_anew(finished: Path, images: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"weights_to": "bn", "freeze": "bn", "epochs": 1, "lr": 1e-9, "weight_decay": 0.0, "seed": 5}
    go(images, tmp_path / "run", weights=str(finished), **more)
    before, after = weights(finished), weights(tmp_path / "run")
    torch.manual_seed(5)
    fresh = create_model("test_norm", num_classes=3, in_chans=1).state_dict()
    for name in before:
        expected = before if name.startswith(("conv.", "bn.")) else fresh
        assert torch.allclose(after[name].float(), expected[name].float(), atol=1e-6), name


def gray(n: int) -> Tensor:
    return torch.randint(0, 256, (n, 1, 12, 12), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def test_a_first_convolution_for_other_channels_gives_the_same_answer(
    finished: Path, images: Path, tmp_path: Path
) -> None:
    """Gray weights see three equal colours as the gray image, and colour weights gray as three equal colours."""
    more: dict[str, Any] = {"freeze": "drop", "lr": 1e-9, "weight_decay": 0.0, "epochs": 1}
    rgb = go(images, tmp_path / "rgb", weights=str(finished), channels="rgb", **more).folder
    back = go(images, tmp_path / "back", weights=str(rgb), channels="gray", **more).folder
    outputs = []
    for run in (finished, rgb, back):
        module, pre = Run(run).load_module(), Run(run).preprocess
        with torch.no_grad():
            outputs.append(module(pre.normalise(gray(5).expand(-1, pre.channels, -1, -1))))
    assert Run(rgb).preprocess.order == "rgb"
    assert Run(back).preprocess == Run(finished).preprocess
    assert torch.allclose(outputs[0], outputs[1], atol=1e-4)
    assert torch.allclose(outputs[0], outputs[2], atol=1e-4)


def test_images_are_prepared_as_for_the_weights(finished: Path, two_classes: Path, tmp_path: Path) -> None:
    listener = Listener()
    go(two_classes, tmp_path / "r", listener=listener, weights=str(finished), freeze="head", epochs=1)
    assert Run(tmp_path / "r").preprocess == Run(finished).preprocess
    assert listener.plans[0].preprocess_why == "as the weights of finished were trained"
    config = read_json(tmp_path / "r" / "config.json")
    assert config["weights"]["from"] == "finished"
    assert len(config["weights"]["sha256"]) == 64


@pytest.mark.parametrize(
    ("given", "changed"),
    [
        ({}, {}),
        ({"size": 224}, {}),
        ({"size": 160}, {"size": (160, 160), "short_side": 183}),
        ({"resize": "crop"}, {}),
        ({"resize": "stretch"}, {"resize": "stretch", "short_side": None}),
        ({"interpolation": "bilinear"}, {"interpolation": "bilinear"}),
        ({"interpolation": "bicubic"}, {}),
        ({"channels": "gray"}, {"order": "gray", "mean": (0.449,), "std": (0.226,)}),
    ],
)
def test_what_is_set_goes_before_what_the_weights_say(
    finished: Path, given: dict[str, Any], changed: dict[str, Any]
) -> None:
    own = Preprocess(size=(224, 224), short_side=256, interpolation="bicubic")
    source = open_source("test_norm", str(finished))
    object.__setattr__(source, "preprocess", own)
    found, _ = preprocess_of(source, Recipe.make({"model": "test_norm", "data": "d"} | given))
    assert found.to_json() == own.to_json() | changed


def test_constants_of_layers_travel_with_the_run(finished: Path, images: Path, tmp_path: Path) -> None:
    spec = ModelSpec("test_norm", {"num_classes": 3, "in_chans": 1}, {"bn.eps": 0.25, "conv.padding": (2, 2)})
    net = spec.build()
    assert (net.get_submodule("bn").eps, net.get_submodule("conv").padding) == (0.25, (2, 2))
    identity = Identity(spec, ("ant", "bee", "cat"), Run(finished).preprocess)
    (tmp_path / "source").mkdir()
    write_identity(tmp_path / "source", identity, {})
    write_model(tmp_path / "source" / "model.safetensors", net.state_dict(), identity, {})
    assert Run(tmp_path / "source").load_module().get_submodule("bn").eps == 0.25
    go(images, tmp_path / "r", weights=str(tmp_path / "source"), freeze="head", epochs=1)
    assert Run(tmp_path / "r").identity.spec.constants == spec.constants
    with pytest.raises(UsageError, match=r"no constant 'bn\.forward'"):
        ModelSpec("test_norm", {}, {"bn.forward": 1}).build()


# -- cached and live ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    "more",
    [
        {"augment": "none", "freeze": "head"},
        {"augment": "hflip shift:0.2", "views": 2, "freeze": "bn"},
        {"augment": "none", **TWO_PHASES},
        {"augment": "none", "freeze": "head", "accumulate": 2, "ema": 0.5, "model": "test_sigmoid"},
        {"augment": "none", "freeze": "stage.1", "model": "test_blocks"},
        {"augment": "none", "freeze": "head", "model": "test_blocks"},
    ],
    ids=["head", "views", "phases", "sigmoid", "within a chain", "blocks"],
)
def test_cached_and_live_give_the_same_accuracy_to_the_sample(
    finished: Path, images: Path, two_classes: Path, tmp_path: Path, precision: str, more: dict[str, Any]
) -> None:
    data, source = (two_classes, None) if "model" in more else (images, str(finished))
    more = {"epochs": 4, "precision": precision} | more | ({"weights": source} if source else {})
    ways = {way: go(data, tmp_path / way, features=way, **more).folder for way in ("cached", "live")}
    cached, live = rows(ways["cached"]), rows(ways["live"])
    for one, other in zip(cached, live, strict=True):
        for key in ("epoch", "step", "lr", "train_accuracy", "val_accuracy", "best"):
            assert one[key] == other[key], key
        for key in ("train_loss", "val_loss"):
            assert float(one[key]) == pytest.approx(float(other[key]), rel=1e-4 if precision == "float32" else 1e-2)
    first, second = weights(ways["cached"]), weights(ways["live"])
    for name, tensor in first.items():
        assert torch.allclose(tensor.float(), second[name].float(), atol=1e-4 if precision == "float32" else 1e-2), name


def test_the_frozen_part_runs_once_an_image_and_view(
    finished: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = 0
    whole = torch.nn.Conv2d.forward

    def counted(layer: torch.nn.Conv2d, x: Tensor) -> Tensor:
        nonlocal seen
        seen += len(x) * (layer.in_channels == 1)
        return whole(layer, x)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", counted)
    counts = {}
    for epochs in (2, 9):
        seen = 0
        more: dict[str, Any] = {"views": 2, "augment": "hflip", "freeze": "conv", "epochs": epochs}
        go(images, tmp_path / str(epochs), weights=str(finished), **more)
        counts[epochs] = seen
    assert counts[9] == counts[2]
    assert counts[2] >= 2 * 25 + 7


def test_it_is_chosen_by_itself_and_said(finished: Path, images: Path, tmp_path: Path) -> None:
    listener = Listener()
    common = {"weights": str(finished), "epochs": 1, "listener": listener}
    go(images, tmp_path / "head", **common, freeze="head")
    go(images, tmp_path / "some", **common, freeze="bn")
    go(images, tmp_path / "views", **common, freeze="bn", views=3)
    go(images, tmp_path / "none", **common)
    said = [plan.features for plan in listener.plans]
    assert said[0] == "cached: computed once, behind flatten"
    assert said[1].startswith("live: every epoch sees other forms")
    assert said[2] == "cached: computed once, behind relu"
    assert said[3] == ""
    assert listener.plans[0].augment == "Images are left as they are."
    assert listener.plans[0].frozen == "conv to conv2 (31.0% of the parameters)"
    assert "freeze.json" in listener.plans[0].files
    assert "freeze.json" in listener.plans[3].files
    assert listener.plans[3].frozen == "nothing; batch norms keep their statistics"
    for run in ("head", "some", "views"):
        assert read(tmp_path / run / "recipe.toml").features in ("cached", "live")


def test_a_views_augmentation_is_used_in_turn(finished: Path, images: Path, tmp_path: Path) -> None:
    """With as many views as epochs it is what training without views sees."""
    more: dict[str, Any] = {"weights": str(finished), "freeze": "conv", "augment": "shift:0.2", "epochs": 3}
    a = go(images, tmp_path / "a", views=3, features="live", **more).rows
    b = go(images, tmp_path / "b", features="live", **more).rows
    c = go(images, tmp_path / "c", views=1, features="live", **more).rows
    assert a == b != c


# -- phases ------------------------------------------------------------------------------------------------------------


def test_phases_unfreeze_what_they_say_when_they_say_it(finished: Path, images: Path, tmp_path: Path) -> None:
    listener = Listener()
    go(images, tmp_path / "run", weights=str(finished), listener=listener, **TWO_PHASES)
    said = receipt(tmp_path / "run")
    until = {name: row.get("until") for name, row in said["tensors"].items()}
    assert {n for n, epoch in until.items() if epoch == 2} == {"conv2.weight", "conv2.bias"}
    assert {n for n, epoch in until.items() if epoch == 4} == {"conv.weight", "bn.weight", "bn.bias"}
    assert {n for n, epoch in until.items() if epoch is None} == {
        "bn.running_mean", "bn.running_var", "bn.num_batches_tracked",
    }  # fmt: skip
    assert listener.plans[0].frozen.startswith("epochs 1 to 2: conv to conv2")
    assert listener.plans[0].frozen.endswith("epochs 5 to 5: nothing; batch norms keep their statistics")
    first = {"epochs": 4, "unfreeze": [{"epoch": 3, "down_to": "conv2", "lr": 0.01}]}
    short = go(images, tmp_path / "short", weights=str(finished), **TWO_PHASES | first).folder
    before, after = weights(finished), weights(short)
    assert torch.equal(before["conv.weight"], after["conv.weight"])
    assert torch.equal(before["bn.running_mean"], after["bn.running_mean"])


def test_norms_that_came_with_weights_keep_their_statistics_unless_told_to_train_them(
    finished: Path, images: Path, tmp_path: Path
) -> None:
    keep = go(images, tmp_path / "keep", weights=str(finished)).folder
    train_ = go(images, tmp_path / "train", weights=str(finished), norms="train").folder
    fresh = go(images, tmp_path / "fresh", weights=str(finished), weights_to="conv").folder
    before = weights(finished)
    for run, same in ((keep, True), (train_, False), (fresh, False)):
        after = weights(run)
        for name in ("bn.running_mean", "bn.running_var"):
            assert torch.equal(before[name], after[name]) == same, (run, name)
        assert not torch.equal(before["bn.weight"], after["bn.weight"])
    assert set(receipt(keep)["tensors"]) == {"bn.running_mean", "bn.running_var", "bn.num_batches_tracked"}
    assert not (train_ / "freeze.json").exists()
    assert not (fresh / "freeze.json").exists()


def test_a_training_begins_with_what_the_source_says(finished: Path, images: Path, tmp_path: Path) -> None:
    """With its norms as they are, the first loss is that of the source; dropout is the one thing that differs."""
    listener = Listener(1, "kill")
    with pytest.raises(Killed):
        go(images, tmp_path / "r", weights=str(finished), freeze="drop", batch=25, augment="none", listener=listener,
           features="live", norms="keep", precision="float32")  # fmt: skip
    loader = Loader(open_dataset(images).split("train"), Run(finished).preprocess, classes=3, batch=25)
    (batch,) = loader.in_order()
    with torch.no_grad():
        z = Run(finished).load_module()(batch.images)
    assert listener.steps[0].loss == pytest.approx(torch.nn.functional.cross_entropy(z, batch.labels).item(), rel=1e-4)


def test_each_phase_has_a_schedule_of_its_own() -> None:
    recipe = Recipe.make({"model": "m", "data": "d", "schedule": "cosine", "warmup": 0.0} | TWO_PHASES)
    whole = Schedule.of(recipe, 10, 5)
    parts = [(0.05, 20), (0.01, 20), (0.05, 10)]
    rates = [whole.at(step) for step in range(50)]
    expected = [lr * 0.5 * (1 + np.cos(np.pi * s / n)) for lr, n in parts for s in range(n)]
    assert np.allclose(rates, expected)


def test_rates_fall_from_block_to_block_and_the_head_has_its_own(finished: Path, images: Path, tmp_path: Path) -> None:
    net = create_model("test_norm", num_classes=3)
    factors = rate_factors(net, ["fc"], 0.5, 4.0)
    assert {n: f for n, f in factors.items() if n.startswith("fc")} == {"fc.weight": 4.0, "fc.bias": 4.0}
    assert {f for n, f in factors.items() if not n.startswith("fc")} == {0.5}
    resnet = rate_factors(create_model("cifar_resnet20"), ["linear"], 0.5, 1.0)
    assert [resnet[n] for n in ("conv1.weight", "layer1.0.conv1.weight", "layer3.2.conv2.weight", "linear.weight")] == [
        0.5**10, 0.5**9, 0.5, 1.0,
    ]  # fmt: skip
    moved = {}  # one step of plain SGD moves a parameter by rate times gradient
    for layer_decay, head_factor in ((1.0, 1.0), (0.25, 8.0)):
        out = tmp_path / str(layer_decay)
        go(images, out, weights=str(finished), layer_decay=layer_decay, head_factor=head_factor, epochs=1, batch=25,
           augment="none", optimizer="sgd", momentum=0.0, weight_decay=0.0, warmup=0.0, lr=0.001)  # fmt: skip
        after = weights(out)
        moved[layer_decay] = {n: after[n] - t for n, t in weights(finished).items() if "running" not in n}
    for name, factor in (("conv2.weight", 0.25), ("fc.weight", 8.0)):
        assert torch.allclose(moved[0.25][name], factor * moved[1.0][name], rtol=1e-2, atol=1e-6), name


# -- stopped and resumed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["signal", "kill"])
@pytest.mark.parametrize(
    "more",
    [{"freeze": "head", "epochs": 3}, {"freeze": "bn", "views": 2, "epochs": 3}, TWO_PHASES | {"augment": "none"}],
    ids=["head", "views", "phases"],
)
def test_a_run_that_was_stopped_comes_out_the_same(
    finished: Path, images: Path, tmp_path: Path, how: str, more: dict[str, Any]
) -> None:
    more = more | {"weights": str(finished)}
    go(images, tmp_path / "whole", **more)
    stops = iter([1, 5, 6, 7]) if how == "signal" else iter([2, 3])
    assert chain(images, tmp_path / "parts", stops, how, save_every=0.0, **more) > 1
    assert files(tmp_path / "parts") == files(tmp_path / "whole")
    assert "freeze.json" in files(tmp_path / "parts")


def test_the_recipe_of_a_run_repeats_it(finished: Path, images: Path, tmp_path: Path) -> None:
    go(images, tmp_path / "a", weights=str(finished), **TWO_PHASES)
    recipe = read(tmp_path / "a" / "recipe.toml")
    train(out=tmp_path / "b", options=options(), **recipe.model_dump())
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_other_weights_than_at_the_start_are_refused(finished: Path, images: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(finished, tmp_path / "source"))
    with pytest.raises(Killed):  # before anything was stored
        go(images, tmp_path / "r", weights=str(source), freeze="head", listener=Listener(1, "kill"), save_every=1e9)
    tensors, identity = read_model(source / "model.safetensors")
    write_model(source / "model.safetensors", {n: t * 2 for n, t in tensors.items()}, identity, {})
    with pytest.raises(ArtefactError, match=r"not the weights that .* began with"):
        go(images, tmp_path / "r", resume=True)


def test_a_stopped_run_goes_on_without_its_source(finished: Path, images: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(finished, tmp_path / "source"))
    go(images, tmp_path / "whole", weights=str(source), freeze="head")
    with pytest.raises(Interrupted):
        go(images, tmp_path / "r", weights=str(source), freeze="head", listener=Listener(3))
    shutil.rmtree(source)
    go(images, tmp_path / "r", resume=True)
    assert files(tmp_path / "r") == files(tmp_path / "whole")


# -- together with the rest --------------------------------------------------------------------------------------------


def test_gradients_by_hand_stay_out_of_what_is_frozen(finished: Path, images: Path, tmp_path: Path) -> None:
    more: dict[str, Any] = {"weights": str(finished), "freeze": "bn", "epochs": 1, "augment": "none"}
    by_hand = go(images, tmp_path / "hand", engine="by-hand", **more).folder
    plain = go(images, tmp_path / "torch", precision="float32", **more).folder
    assert receipt(by_hand)["verified"]
    assert read(by_hand / "recipe.toml").features == "live"
    after = weights(plain)
    assert all(torch.allclose(t.float(), after[n].float(), atol=1e-3) for n, t in weights(by_hand).items())


def test_such_a_run_is_evaluated_and_asked_as_any_other(finished: Path, two_classes: Path, tmp_path: Path) -> None:
    trained = go(two_classes, tmp_path / "r", weights=str(finished), freeze="head", epochs=3)
    card = evaluate(tmp_path / "r", images=0)
    assert card.metrics.right / card.metrics.images == pytest.approx(trained.best["val_accuracy"])
    assert load(tmp_path / "r").classes == ("ant", "bee")


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ({"freeze": "conv3"}, UnknownName, "freeze = 'conv3'.*did you mean 'conv' or 'conv2'"),
        ({"freeze": "fc"}, RecipeError, "leaves nothing to train"),
        ({"weights_to": "convv"}, UnknownName, "weights_to = 'convv'.*did you mean"),
        ({"unfreeze": [{"epoch": 2, "down_to": "bn"}]}, RecipeError, "is nothing new: everything is trained"),
        ({"freeze": "head", "unfreeze": [{"epoch": 9, "down_to": "bn"}]}, RecipeError, "epoch = 9 never comes"),
        ({"freeze": "head", "unfreeze": [{"epoch": 2, "down_to": "bm"}]}, UnknownName, "down_to = 'bm'"),
        ({"freeze": "bn", "features": "cached"}, RecipeError, "every epoch sees other forms"),
        ({"features": "cached"}, RecipeError, "nothing is frozen"),
        ({"freeze": "bn", "features": "cached", "views": 2, "augment": "mixup:0.2"}, RecipeError, "mixed with others"),
        ({"model": "test_plain"}, ArtefactError, "holds a trained test_norm, not a test_plain"),
        ({"weights": "imagenett"}, UnknownName, "neither a file nor published ones"),
        ({"weights": "none.pth"}, ArtefactError, "none.pth"),
        ({"weights": "."}, ArtefactError, "not a run"),
        ({"weights": "imagenet"}, UnknownName, "no imagenet weights are published for test_norm"),
    ],
)  # fmt: skip
def test_what_can_not_be_done_is_refused_before_anything_is_trained(
    finished: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    more: dict[str, Any], kind: type[Exception], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=said):
        go(images, tmp_path / "r", **{"weights": str(finished)} | more)
    assert not (tmp_path / "r" / "recipe.toml").exists()


def test_a_run_without_weights_yet_is_no_source(images: Path, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        go(images, tmp_path / "early", listener=Listener(1, "kill"))
    with pytest.raises(ArtefactError, match="stopped before its first epoch ended"):
        go(images, tmp_path / "r", weights=str(tmp_path / "early"))


def test_freezing_without_weights_is_allowed(images: Path, tmp_path: Path) -> None:
    """Random features are a control that experiments want."""
    go(images, tmp_path / "r", freeze="head", epochs=1)
    assert receipt(tmp_path / "r")["verified"]
