"""The loop of the fastest roads, and what is measured after it."""

import copy
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from striate.blocks.wiring import Chain
from striate.data.dataset import ArrayImages, Dataset, Split
from striate.errors import RecipeError, TrainingError
from striate.reproduce.fastest import networks, run
from striate.reproduce.fastest.measuring import accuracy, logits
from striate.reproduce.fastest.pixels import Pixels
from striate.reproduce.fastest.training import Average, build, make_optimiser, train
from striate.reproduce.fastest.way import Way
from striate.training.machine import Machine
from striate.training.report import Report
from tests import simulated

CPU = torch.device("cpu")
WAY = Way(network="tiny", data="bars", epochs=6, batch=16, lr=0.1, bias_factor=4, shift=1, mirror=True)


def tiny(images: torch.Tensor, classes: int) -> Chain:
    return Chain(
        whiten=networks.whitened(images, 2), act=nn.Hardswish(),
        conv=networks.passing(8, 8), norm=networks.norm(8), act2=nn.Hardswish(), pool=nn.AdaptiveMaxPool2d(1),
        flatten=nn.Flatten(), dense=nn.Linear(8, classes, bias=False))  # fmt: skip


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(networks.NETWORKS, "tiny", tiny)


def bars(n: int, seed: int) -> Split:
    """Class 0: a horizontal bar; class 1: a vertical one; noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    images = rng.integers(0, 60, (n, 8, 8, 1), dtype=np.uint8)
    for image, label, place in zip(images, labels, rng.integers(1, 7, n), strict=True):
        image[(place, slice(None)) if label == 0 else (slice(None), place)] += 180
    return Split(ArrayImages(images), labels.astype(np.int64), tuple(f"{seed}/{i}" for i in range(n)))


def quiet(_epoch: int, _loss: float) -> None:
    pass


def trained(way: Way, seed: int, precision: torch.dtype = torch.float32) -> nn.Module:
    data = Pixels.of(bars(160, 0), CPU)
    network = build(way, data, 2, seed)
    train(network, data, way, seed, precision, quiet)
    return network


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_it_learns_and_measures(precision: torch.dtype) -> None:
    data = Pixels.of(bars(160, 0), CPU)
    test = Pixels.of(bars(200, 1), CPU, like=data)
    network = build(WAY, data, 2, 0)
    train(network, data, WAY, 0, precision, quiet)
    assert accuracy(network, test, 1, precision) > 95


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not() -> None:
    first, again, other = (trained(WAY, seed).state_dict() for seed in (4, 4, 5))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv.weight"], other["conv.weight"])


def test_the_first_filters_stay_and_their_bias_moves_only_in_the_first_epochs() -> None:
    data = Pixels.of(bars(160, 0), CPU)
    fixed = build(WAY, data, 2, 0).state_dict()["whiten.weight"].clone()
    early, never = WAY.model_copy(update={"first_until": 1.0}), WAY.model_copy(update={"first_until": 0.0})
    begun = build(WAY, data, 2, 0).state_dict()["whiten.bias"]
    assert torch.equal(trained(WAY, 0).state_dict()["whiten.weight"], fixed)
    assert torch.equal(trained(never, 0).state_dict()["whiten.bias"], begun)
    assert not torch.equal(trained(early, 0).state_dict()["whiten.bias"], begun)
    assert not torch.equal(trained(early, 0).state_dict()["whiten.bias"], trained(WAY, 0).state_dict()["whiten.bias"])


def test_the_rate_begins_rises_and_ends_as_it_should() -> None:
    assert (WAY.rate(0), WAY.rate(WAY.peak)) == (0.2, 1.0)
    assert WAY.rate(1) == pytest.approx(0.07)
    rates = [WAY.rate(i / 100) for i in range(101)]
    assert all(a < b for a, b in pairwise(rates[:23]))
    assert all(a > b for a, b in pairwise(rates[24:]))


def test_decay_takes_the_same_share_of_biases_and_weights() -> None:
    network = tiny(torch.randn(20, 1, 8, 8), 2)
    before = copy.deepcopy(network.state_dict())
    optimiser = make_optimiser(network, WAY.model_copy(update={"momentum": 0.0}))
    for p in network.parameters():
        p.grad = torch.zeros_like(p)
    optimiser.step()
    for name, p in network.named_parameters():
        share = 1 - WAY.decay if p.requires_grad else 1.0
        assert torch.allclose(p, before[name] * share, atol=1e-7), name


def test_the_average_goes_a_share_of_the_way_and_becomes_the_weights() -> None:
    layer = nn.Linear(2, 1)
    begun = layer.weight.detach().clone()
    average = Average(layer)
    with torch.no_grad():
        layer.weight += 1.0
    average.follow(0.25)
    assert torch.allclose(layer.weight, begun + 0.25)
    with torch.no_grad():
        layer.weight += 5.0
    average.follow(0.0)
    assert torch.allclose(layer.weight, begun + 0.25)


def test_views_are_the_mean_over_mirror_and_moved_images() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 6, 4)).eval()
    x = torch.randn(5, 3, 6, 6)
    with torch.inference_mode():
        plain, both, six = (logits(network, x, views) for views in (1, 2, 6))
        assert torch.allclose(plain, network(x))
        assert torch.allclose(both, (network(x) + network(x.flip(3))) / 2, atol=1e-6)
        wider = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect"))
        moved = [wider[:, :, :6, :6], wider[:, :, 2:, 2:]]
        corners = sum((network(m) + network(m.flip(3))) / 2 for m in moved) / 2
        assert torch.allclose(six, (both + corners) / 2, atol=1e-5)


def test_a_broken_last_epoch_and_every_whole_one_are_told() -> None:
    data = Pixels.of(bars(160, 0), CPU)
    told: list[int] = []
    way = WAY.model_copy(update={"epochs": 1.5})
    train(build(way, data, 2, 0), data, way, 0, torch.float32, lambda epoch, _: told.append(epoch))
    assert told == [1, 2]


def test_a_batch_larger_than_the_data_set_is_refused() -> None:
    data = Pixels.of(bars(10, 0), CPU)
    with pytest.raises(RecipeError, match="batch of 16 is larger than the data set of 10 images"):
        train(build(WAY, data, 2, 0), data, WAY, 0, torch.float32, quiet)


def test_a_loss_that_is_not_finite_ends_it() -> None:
    data = Pixels.of(bars(160, 0), CPU)
    way = WAY.model_copy(update={"lr": 1e30})
    with pytest.raises(TrainingError, match=r"epoch \d: the loss is (nan|inf); try a lower lr"):
        train(build(way, data, 2, 0), data, way, 0, torch.float32, quiet)


def test_a_run_measures_the_test_images_once_and_says_what_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Dataset("bars", ("flat", "upright"), {"train": bars(160, 0), "test": bars(100, 1)}, 1)
    machine = Machine("cpu", "here", 1, "default", bf16=False, torch=torch.__version__, python="3")
    calls: list[int] = []

    def counted(*given: Any) -> float:
        calls.append(1)
        return accuracy(*given)

    monkeypatch.setattr(run, "accuracy", counted)
    measured = run.run_once(WAY, dataset, 0, machine, Report())
    assert calls == [1]
    assert measured.value > 90
    assert measured.details["seconds"] > 0
    assert len(measured.details["train_losses"]) == 6


def test_on_a_device_the_loop_waits_once_an_epoch_and_learns_the_same() -> None:
    here = trained(WAY, 5).state_dict()
    with simulated.plugged_in() as device:
        data = Pixels.of(bars(160, 0), device)
        network = build(WAY, data, 2, 5)
        simulated.looks.clear()
        waited: list[int] = []
        train(network, data, WAY, 5, torch.float32, lambda _epoch, _loss: waited.append(len(simulated.looks)))
        assert waited == [1, 2, 3, 4, 5, 6]
        for name, value in network.state_dict().items():  # the rule is fused there
            torch.testing.assert_close(value.cpu(), here[name], rtol=1e-5, atol=1e-6)
