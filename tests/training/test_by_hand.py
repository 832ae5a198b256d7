"""Training by hand: the same weights as torch, in the same loop, with the same checkpoints."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from striate.blocks.wiring import Chain
from striate.data import idx
from striate.errors import RecipeError, UnknownName
from striate.look.by_hand.training import loss_by_hand, outputs_by_hand
from striate.math import conv2d
from striate.models import registry
from striate.models.registry import Entry, create_model, register
from striate.training.engine import SLOW
from striate.training.losses import Kind, make_loss, on_heads
from tests.training.runs import Listener, chain, files, go, rows
from tests.training.test_heads import with_head

LOSSES: list[tuple[Kind, int, dict[str, Any]]] = [
    ("cross_entropy", 4, {}), ("cross_entropy", 4, {"smoothing": 0.2}), ("bce", 2, {}), ("mse", 4, {}), ("mse", 2, {}),
    ("cross_entropy", 4, {"weights": torch.tensor([1.0, 2.0, 0.5, 3.0])}), 
    ("bce", 2, {"weights": torch.tensor([1.0, 2.5])}),
    ("mse", 4, {"smoothing": 0.1, "weights": torch.tensor([1.0, 2.0, 0.5, 3.0])}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "classes", "more"), LOSSES)
@pytest.mark.parametrize("mixed", [False, True])
def test_every_loss_and_its_gradient_is_that_of_torch(
    kind: Kind, classes: int, more: dict[str, Any], mixed: bool
) -> None:
    torch.manual_seed(0)
    one = classes == 2
    z = torch.randn(5, 1 if one else classes, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, classes, (5,))
    shares = torch.rand(5, classes, dtype=torch.float64).softmax(1) if mixed else None
    values = []
    for make in (make_loss, loss_by_hand):
        z.grad = None
        value = make(kind, classes, **more)(z, labels, shares)
        (3 * value).backward()
        assert z.grad is not None
        values.append((value.item(), z.grad.clone()))
    (theirs, g), (ours, h) = values
    assert ours == pytest.approx(theirs, rel=1e-12)
    torch.testing.assert_close(h, g, rtol=1e-10, atol=1e-15)


def both_ways(model: nn.Module, x: Tensor, labels: Tensor, classes: int) -> None:
    """Two steps of SGD by hand and by torch: the same weights and running averages (losses are judged in float32)."""
    twin = copy.deepcopy(model)
    for net, forward, make in ((model, outputs_by_hand, loss_by_hand), (twin, nn.Module.__call__, make_loss)):
        rule = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        for seed in (1, 2):
            rule.zero_grad()
            torch.manual_seed(seed)
            on_heads(make("cross_entropy", classes), forward(net, x), labels, None).whole.backward()
            rule.step()
    for (name, ours), theirs in zip(model.state_dict().items(), twin.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7, msg=lambda text, name=name: f"{name}: {text}")


def test_norms_dropout_and_auxiliary_heads_learn_as_with_torch() -> None:
    torch.manual_seed(0)
    x, labels = torch.rand(6, 1, 12, 12).double(), torch.tensor([0, 1, 2, 2, 1, 0])
    norm = Chain(
        conv=nn.Conv2d(1, 4, 3, bias=False), bn=nn.BatchNorm2d(4), relu=nn.ReLU(), drop=nn.Dropout(0.4),
        flatten=nn.Flatten(), fc=nn.Linear(400, 3))  # fmt: skip
    both_ways(norm.double().train(), x, labels, 3)
    both_ways(with_head(3, 1).double().train(), x, labels, 3)


def test_gradients_of_several_batches_add_up() -> None:
    torch.manual_seed(0)
    net, x, labels = create_model("lenet5").double(), torch.rand(4, 1, 32, 32).double(), torch.tensor([1, 2, 3, 4])
    loss = loss_by_hand("cross_entropy", 10)
    loss(outputs_by_hand(net, x), labels, None).backward()
    whole = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    for half in (slice(0, 2), slice(2, 4)):
        (loss(outputs_by_hand(net, x[half]), labels[half], None) * 0.5).backward()
    for name, p in net.named_parameters():
        torch.testing.assert_close(p.grad, whole[name], rtol=1e-10, atol=1e-15)


def epoch(images: Tensor, labels: Tensor, by_hand: bool) -> nn.Module:
    """LeNet-5 after one pass over the images in float64."""
    torch.manual_seed(0)
    net = create_model("lenet5").double().train()
    forward, make = (outputs_by_hand, loss_by_hand) if by_hand else (nn.Module.__call__, make_loss)
    rule, loss = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9), make("cross_entropy", 10)
    for x, right in zip(images.split(20), labels.split(20), strict=True):
        rule.zero_grad()
        loss(forward(net, x), right, None).backward()
        rule.step()
    return net


def largest_difference(a: nn.Module, b: nn.Module) -> float:
    """Of any weight, relative to the largest weight of its parameter."""
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max(((p - q).abs().max() / q.abs().max()).item() for p, q in pairs)


def test_lenet_trained_by_hand_for_an_epoch_ends_with_the_weights_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    images, labels = torch.rand(200, 1, 32, 32).double(), torch.randint(0, 10, (200,))
    theirs = epoch(images, labels, by_hand=False)
    assert largest_difference(epoch(images, labels, by_hand=True), theirs) <= 1e-9
    real = conv2d.backward
    monkeypatch.setattr(conv2d, "backward", lambda g, *rest: real(g[:, :, ::-1], *rest))  # a planted fault
    assert largest_difference(epoch(images, labels, by_hand=True), theirs) > 1e-4


@pytest.mark.slow
def test_so_does_an_epoch_of_1000_images_of_mnist(shared: Path) -> None:
    files = (shared / "data" / "mnist" / f"train-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    pixels, right = (torch.from_numpy(idx.read(file)[:1000].copy()) for file in files)
    images, labels = functional.pad(pixels[:, None].double() / 255, (2, 2, 2, 2)), right.long()
    off = largest_difference(epoch(images, labels, by_hand=True), epoch(images, labels, by_hand=False))
    print(f"\nlargest difference of a weight, relative to the largest of its parameter: {off:.1e}")
    assert off <= 1e-9


def test_a_run_by_hand_comes_out_as_the_one_by_torch_and_says_that_it_is_slow(images: Path, tmp_path: Path) -> None:
    listener = Listener()
    go(images, tmp_path / "hand", engine="by-hand", listener=listener)
    go(images, tmp_path / "torch", precision="float32", channels_last=False)
    assert SLOW in listener.notes
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("hand", "torch"))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        np.testing.assert_allclose(tensor.numpy(), theirs[name].numpy(), rtol=2e-3, atol=2e-4, err_msg=name)
    assert [row["train_accuracy"] for row in rows(tmp_path / "hand")] == [
        row["train_accuracy"] for row in rows(tmp_path / "torch")
    ]
    assert 'engine = "by-hand"' in (tmp_path / "hand" / "recipe.toml").read_text()
    assert listener.plans[0].precision == "float32, channels-first"


def test_a_run_by_hand_that_is_stopped_and_resumed_is_the_same_to_the_last_bit(images: Path, tmp_path: Path) -> None:
    go(images, tmp_path / "whole", engine="by-hand")
    assert chain(images, tmp_path / "stopped", iter([3, 5]), engine="by-hand") == 2
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


def test_bf16_by_hand_is_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="NumPy, which has no bf16; expected precision = 'float32'"):
        go(images, tmp_path / "run", engine="by-hand", precision="bf16")


def test_a_network_with_a_layer_that_has_no_formula_is_refused_before_the_first_step(
    images: Path, tmp_path: Path
) -> None:
    def build(num_classes: int, in_chans: int) -> Chain:
        pool = nn.AdaptiveAvgPool2d(1)
        return Chain(
            conv=nn.Conv2d(in_chans, 4, 3), gelu=nn.GELU(), pool=pool, flat=nn.Flatten(), fc=nn.Linear(4, num_classes)
        )

    register(Entry("test_gelu", build, year=2026, paper="none", about="For the tests.", input=(1, 12, 12), classes=3,
                   head="fc", stem="conv", look="conv", smallest=5))  # fmt: skip
    try:
        listener = Listener()
        with pytest.raises(UnknownName, match="gelu is a GELU"):
            go(images, tmp_path / "run", model="test_gelu", engine="by-hand", listener=listener)
        assert listener.steps == []
    finally:
        del registry._entries["test_gelu"], registry._names["test_gelu"]
