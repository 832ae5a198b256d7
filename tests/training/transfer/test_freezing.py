"""Frozen means parameters, running statistics and mode, whatever a user calls; and a receipt that notices if not."""

import copy
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from striate.errors import TrainingError
from striate.models.registry import create_model
from striate.training.transfer import conductor
from striate.training.transfer.freezing import freeze, release
from striate.training.transfer.places import frozen_steps
from striate.training.transfer.receipt import Receipt, digest, digests
from tests.training.runs import go


def norm_net() -> nn.Module:
    torch.manual_seed(0)
    return create_model("test_norm", num_classes=3, in_chans=1)


def test_a_users_own_loop_changes_nothing_that_is_frozen_and_all_that_is_not() -> None:
    net = norm_net()
    names = freeze(net, frozen_steps(net, "head", "fc"))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    hashes = digests(net, names)
    rule = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(20):
        net.train()
        net.get_submodule("bn").train()
        loss = nn.functional.cross_entropy(net(torch.randn(8, 1, 12, 12)), torch.randint(3, (8,)))
        rule.zero_grad()
        loss.backward()
        rule.step()
    assert digests(net, names) == hashes
    assert {"bn.running_mean", "bn.running_var", "bn.num_batches_tracked", "bn.weight", "conv.weight"} <= set(names)
    changed = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"fc.weight", "fc.bias"} == set(before) - set(names)


PARTS = ["", "conv", "bn", "relu", "conv2", "relu2", "pool", "flatten", "drop", "fc"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PARTS), st.booleans()), max_size=8), st.sampled_from(PARTS[1:-1]))
def test_frozen_parts_stay_in_evaluation_whoever_calls_train(calls: list[tuple[str, bool]], where: str) -> None:
    net, free = norm_net(), norm_net()
    frozen = frozen_steps(net, where, "fc")
    freeze(net, frozen)
    for part, mode in calls:
        assert net.get_submodule(part).train(mode) is net.get_submodule(part)
        free.get_submodule(part).train(mode)
    for name in PARTS[1:]:
        assert net.get_submodule(name).training == (free.get_submodule(name).training and name not in frozen), name


def test_frozen_dropout_does_nothing() -> None:
    net = norm_net()
    freeze(net, frozen_steps(net, "drop", "fc"))
    net.train()
    x = torch.randn(4, 1, 12, 12)
    assert torch.equal(net(x), net(x))
    release(net)
    net.train()
    assert not torch.equal(net(x), net(x))


def test_a_second_freeze_lets_go_what_it_does_not_name() -> None:
    net = norm_net().train()
    freeze(net, frozen_steps(net, "head", "fc"))
    assert freeze(net, ("conv",)) == ("conv.weight",)
    assert net.get_submodule("bn").training
    assert [n for n, p in net.named_parameters() if not p.requires_grad] == ["conv.weight"]
    release(net)
    assert all(p.requires_grad for p in net.parameters())
    assert all("train" not in vars(part) for part in net.modules())


def test_heads_aside_are_trained_wherever_they_stand() -> None:
    net = create_model("googlenet_aux", num_classes=3)
    heads = ("aux1.fc2", "aux2.fc2", "fc")
    names = freeze(net, frozen_steps(net, "head", "fc"), heads)
    assert {n.rpartition(".")[0] for n, p in net.named_parameters() if p.requires_grad} == set(heads)
    assert not any(name.startswith(heads) for name in names)


def test_a_copy_of_a_frozen_network_is_frozen_by_itself() -> None:
    net = norm_net()
    freeze(net, frozen_steps(net, "bn", "fc"))
    copied = copy.deepcopy(net)
    release(net)
    copied.train()
    net.train()
    assert net.get_submodule("bn").training
    assert not copied.get_submodule("bn").training


# -- the receipt -------------------------------------------------------------------------------------------------------


def test_a_digest_sees_every_bit_type_and_shape_and_no_layout() -> None:
    x = torch.randn(2, 3, 4, 4)
    y = x.clone()
    y.view(torch.int32)[1, 2, 3, 3] ^= 1
    assert digest(x) == digest(x.to(memory_format=torch.channels_last)) == digest(x.clone())
    others = [y, x.double(), x.reshape(6, 4, 4), -x, torch.zeros(0), torch.zeros(0, 1)]
    assert len({digest(x), *map(digest, others)}) == 7


def test_a_receipt_names_what_has_changed(tmp_path: Path) -> None:
    net = norm_net()
    receipt = Receipt({})
    receipt.hold(net, ["conv.weight", "bn.running_mean"])
    assert "every SHA-256 is the same" in receipt.check(net, tmp_path / "freeze.json", "conv to bn")
    with torch.no_grad():
        net.get_buffer("bn.running_mean")[0] += 1e-3
    with pytest.raises(TrainingError, match=r"frozen tensors have changed: bn\.running_mean"):
        receipt.check(net, tmp_path / "freeze.json", "conv to bn")
    written = json.loads((tmp_path / "freeze.json").read_text())
    assert (written["verified"], written["changed"]) == (False, ["bn.running_mean"])
    rows = written["tensors"]
    assert rows["conv.weight"]["before"] == rows["conv.weight"]["after"] == digest(net.get_parameter("conv.weight"))
    assert rows["bn.running_mean"]["before"] != rows["bn.running_mean"]["after"]


def test_a_tensor_that_is_let_go_is_compared_before(tmp_path: Path) -> None:
    net = norm_net()
    receipt = Receipt({})
    receipt.hold(net, ["conv.weight", "bn.bias"])
    receipt.let_go(net, ["bn.bias"], 3)
    with torch.no_grad():
        net.get_parameter("bn.bias").add_(1)  # it is trained now
    assert "until the training of 1 began (after epoch 3)" in receipt.check(net, tmp_path / "freeze.json", "")
    with torch.no_grad():
        net.get_parameter("conv.weight").add_(1)
    with pytest.raises(TrainingError, match=r"conv\.weight"):
        receipt.let_go(net, ["conv.weight"], 4)


def test_a_frozen_norm_in_training_mode_is_found_by_the_receipt_and_nothing_is_saved(
    finished: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted fault: as many scripts do it, with requires_grad alone."""

    def only_gradients(module: nn.Module, *which: tuple[str, ...]) -> tuple[str, ...]:
        names = freeze(module, *which)
        for part in module.modules():
            part.__dict__.pop("train", None)
        return names

    monkeypatch.setattr(conductor, "freeze", only_gradients)
    with pytest.raises(TrainingError, match=r"bn\.running_mean, bn\.running_var, bn\.num_batches_tracked"):
        go(images, tmp_path / "run", weights=str(finished), freeze="head", features="live")
    written = json.loads((tmp_path / "run" / "freeze.json").read_text())
    assert written["changed"] == ["bn.running_mean", "bn.running_var", "bn.num_batches_tracked"]
    assert not list((tmp_path / "run" / "last").glob("*"))
