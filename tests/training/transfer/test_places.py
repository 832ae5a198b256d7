"""Where a network can be cut: its steps in their order, the head by the number of classes, blocks for the rates."""

import copy
from pathlib import Path

import pytest
import torch

from striate.errors import RecipeError, UnknownName
from striate.models.registry import create_model, entry
from striate.models.shapes import without_numbers
from striate.training import job
from striate.training.transfer.cached_features import Shortcut, cut_at, feature_shape
from striate.training.transfer.places import blocks, frozen_steps, head_layers, span, steps
from tests.training.runs import Listener, go

NETS = ["lenet5", "resnet18", "mobilenet_v2", "squeezenet1_0", "vgg11", "densenet121", "efficientnet_b0", "alexnet"]


@pytest.mark.parametrize("name", [name for name in NETS if name != "vgg11"])
def test_the_steps_one_after_the_other_are_the_network(name: str) -> None:
    torch.manual_seed(0)
    net = create_model(name, num_classes=3).eval()
    c, h, w = entry(name).input
    x = y = torch.randn(1, c, h, w)
    with torch.no_grad():
        for step in steps(net):
            y = net.get_submodule(step)(y)
        assert torch.equal(y, net(x))


@pytest.mark.parametrize("name", [*NETS, "googlenet_aux", "capsnet_mnist", "nasnet_a_cifar"])
def test_the_head_is_what_depends_on_the_number_of_classes_and_nothing_else(name: str) -> None:
    with without_numbers():
        few, many = create_model(name, num_classes=4), create_model(name, num_classes=9)
    heads = head_layers(name, {"num_classes": 4})
    assert entry(name).head in heads or name == "capsnet_mnist"
    there = dict(many.state_dict())
    for key, tensor in few.state_dict().items():
        if not any(key.startswith(f"{head}.") for head in heads):
            assert tensor.shape == there[key].shape, key


@pytest.mark.parametrize(
    ("name", "where", "last", "behind"),
    [
        ("resnet18", "head", "layer4.1", "flatten"),
        ("resnet18", "layer2", "layer2.1", "layer2.1"),
        ("resnet18", "layer2.0", "layer2.0", "layer2.0"),
        ("resnet18", "bn1", "bn1", "maxpool"),
        ("mobilenet_v2", "head", "features.18.1", "flatten"),  # dropout belongs to the head
        ("mobilenet_v2", "features.3", "features.3", "features.3"),
        ("squeezenet1_0", "head", "features.12", "features.12"),
        ("vgg11", "head", "classifier.3", "classifier.4"),
        ("lenet5", "head", "F6", "tanh6"),
    ],
)
def test_a_place_freezes_all_up_to_it_and_the_cut_is_behind_what_never_changes(
    name: str, where: str, last: str, behind: str
) -> None:
    with without_numbers():
        net = create_model(name)
    frozen = frozen_steps(net, where, entry(name).head)
    assert frozen == steps(net)[: len(frozen)]
    assert frozen[-1] == last
    assert cut_at(net, frozen)[-1] == behind


@pytest.mark.parametrize("where", ["head", 0.3, 0.7])
@pytest.mark.parametrize("name", ["lenet5", "resnet18", "mobilenet_v2", "squeezenet1_0"])
def test_behind_the_cut_features_give_what_images_gave(name: str, where: str | float) -> None:
    torch.manual_seed(0)
    net = create_model(name, num_classes=3).eval()
    c, h, w = entry(name).input
    x = features = torch.randn(2, c, h, w)
    known = steps(net)
    frozen = frozen_steps(net, "head" if isinstance(where, str) else known[int(where * len(known))], entry(name).head)
    cut = cut_at(net, frozen)
    with torch.no_grad():
        whole = net(x)
        for step in cut:
            features = net.get_submodule(step)(features)
        assert feature_shape(net, cut, (c, h, w)) == features.shape[1:]
        shortcut = Shortcut(net, cut, features.shape[1:])
        packed = features if features.dim() == 4 else features[:, :, None, None]
        assert torch.equal(net(packed), whole)
        again = x
        for step in cut:  # as features are computed while the shortcut is in place
            again = net.get_submodule(step)(again)
        assert torch.equal(again, features)
        assert torch.equal(copy.deepcopy(net)(packed), whole)
        with pytest.raises(RuntimeError):
            net(torch.randn(2, c, h + 1, w))
        shortcut.end()
        assert torch.equal(net(x), whole)


def test_nothing_is_cut_where_steps_do_not_follow_one_another() -> None:
    with without_numbers():
        net = create_model("nasnet_a_cifar")
    assert frozen_steps(net, "head", entry("nasnet_a_cifar").head)
    assert cut_at(net, frozen_steps(net, "head", entry("nasnet_a_cifar").head)) == ()


def test_a_step_that_is_not_there_is_told_with_the_nearest() -> None:
    with without_numbers():
        known = steps(create_model("resnet18"))
    with pytest.raises(UnknownName, match=r"freeze = 'layer9'.*did you mean.*'layer"):
        span(known, "layer9", "freeze")
    with pytest.raises(UnknownName, match=r"its steps are conv1, bn1"):
        span(known, "", "freeze")
    with pytest.raises(RecipeError, match=r"inside of layer3.0.*name 'layer3.0'"):
        span(known, "layer3.0.conv1", "freeze")


@pytest.mark.parametrize("name", [*NETS, "mobilenet_v1_0.25_128", "googlenet"])
def test_every_parameter_is_in_one_block(name: str) -> None:
    with without_numbers():
        net = create_model(name)
    grouped = [step for group in blocks(net) for step in group]
    assert len(set(grouped)) == len(grouped)
    for key in net.state_dict():
        assert sum(key.startswith(f"{step}.") for step in grouped) == 1, key


def test_a_mistyped_step_is_told_before_any_image_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(job, "read_data", lambda *_: pytest.fail("images were read"))
    with pytest.raises(UnknownName, match=r"layer9.*did you mean"):
        job.train("digits", "cifar_resnet20", out=tmp_path / "run", freeze="layer9")


def test_freezing_what_has_learnt_nothing_is_said(images: Path, tmp_path: Path) -> None:
    for given in ({"freeze": "head"}, {}):
        listener = Listener()
        go(images, tmp_path / f"run{len(given)}", listener=listener, epochs=1, **given)
        assert any("no weights were given" in said for said in listener.warnings) == bool(given)
