"""Networks with auxiliary heads: what their losses add up to, and a training of them from images to a run."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.blocks.wiring import Chain, Taps
from striate.models import registry
from striate.models.googlenet import GoogLeNetOutputs
from striate.models.inception_v3 import InceptionOutputs
from striate.models.registry import Entry, create_model, register
from striate.run.folder import Run
from striate.training.losses import make_loss, on_heads
from striate.training.monitor import culprit
from tests.training.runs import Listener, go, rows


class Two(NamedTuple):
    """Logits, and those of a head aside."""

    logits: Tensor
    aside: Tensor

    @property
    def share(self) -> float:
        return 0.25


def with_head(num_classes: int, in_chans: int) -> Taps:
    head = Chain(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(4, num_classes))
    return Taps(
        Two, {"early": "aside"}, conv=nn.Conv2d(in_chans, 4, 3), early=head, relu=nn.ReLU(),
        pool=nn.AdaptiveAvgPool2d(3), flatten=nn.Flatten(), fc=nn.Linear(36, num_classes))  # fmt: skip


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    registry.list_models()
    register(Entry("test_heads", with_head, year=2026, paper="none", about="For the tests.", input=(1, 12, 12),
                   classes=3, head="fc", stem="conv", look="relu", smallest=5))  # fmt: skip
    yield
    del registry._entries["test_heads"], registry._names["test_heads"]


def test_logits_alone_have_one_loss() -> None:
    z, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    judged = on_heads(make_loss("cross_entropy", 3), z, labels, None)
    assert judged.main is judged.whole
    assert torch.equal(judged.main, functional.cross_entropy(z, labels))


@pytest.mark.parametrize(("kind", "share"), [(GoogLeNetOutputs, 0.3), (InceptionOutputs, 0.4)])
def test_the_whole_is_the_main_loss_and_the_papers_share_of_each_head(kind: type, share: float) -> None:
    labels = torch.tensor([0, 3, 1])
    heads = [torch.randn(3, 4, dtype=torch.float64) for _ in kind._fields]  # type: ignore[attr-defined]
    judged = on_heads(make_loss("cross_entropy", 4), kind(*heads), labels, None)

    def by_hand(z: Tensor) -> float:
        each = [math.log(sum(map(math.exp, row))) - row[k] for row, k in zip(z.tolist(), (0, 3, 1), strict=True)]
        return sum(each) / 3

    assert torch.equal(judged.logits, heads[0].float())
    assert judged.main.item() == pytest.approx(by_hand(heads[0]), rel=1e-6)
    assert judged.whole.item() == pytest.approx(by_hand(heads[0]) + share * sum(map(by_hand, heads[1:])), rel=1e-6)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_network_with_a_head_aside_is_trained_and_written_like_any_other(
    images: Path, tmp_path: Path, precision: str
) -> None:
    listener = Listener()
    go(images, tmp_path / "run", listener=listener, model="test_heads", precision=precision, accumulate=2)
    assert float(rows(tmp_path / "run")[0]["train_loss"]) < 2  # of one head: ln 3 at the start, and with both 1.25 ln 3
    assert listener.warnings == []
    run = Run(tmp_path / "run")
    trained = run.load_module()
    assert trained(torch.zeros(2, 1, 12, 12)).shape == (2, 3)
    torch.manual_seed(0)
    first = run.identity.spec.build()
    moved = [n for n, p in trained.named_parameters() if not torch.equal(p, first.get_parameter(n))]
    assert {"early.fc.weight", "fc.weight", "conv.weight"} <= set(moved)


def test_the_head_aside_learns_only_from_its_share() -> None:
    model, x, labels = with_head(3, 1).train(), torch.randn(4, 1, 12, 12), torch.tensor([0, 1, 2, 0])
    loss = make_loss("cross_entropy", 3)
    on_heads(loss, model(x), labels, None).whole.backward()
    got = model.get_parameter("early.fc.weight").grad
    model.zero_grad()
    (0.25 * loss(model(x).aside, labels, None)).backward()
    assert got is not None
    assert torch.allclose(got, model.get_parameter("early.fc.weight").grad, atol=1e-7)


def test_a_head_that_overflows_is_named() -> None:
    model = with_head(3, 1).train()
    model.get_submodule("early.fc").register_forward_hook(lambda _, x, y: y * float("inf"))
    loss = make_loss("cross_entropy", 3)
    labels = torch.tensor([0, 1])
    said = culprit(model, torch.randn(2, 1, 12, 12), lambda out: on_heads(loss, out, labels, None).whole)
    assert said == "layer early.fc is the first whose output is not finite"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["googlenet_aux"])
def test_two_steps_of_a_papers_network_train_all_its_heads(images: Path, tmp_path: Path, name: str) -> None:
    go(images, tmp_path / "run", model=name, size=80, epochs=1, batch=13, lr=1e-4)
    trained = Run(tmp_path / "run").load_module()
    assert float(rows(tmp_path / "run")[0]["train_loss"]) == pytest.approx(math.log(3), abs=0.5)
    torch.manual_seed(0)
    first = create_model(name, num_classes=3, in_chans=1)
    still = [n for n, p in trained.named_parameters() if torch.equal(p, first.get_parameter(n))]
    assert still == []


@pytest.mark.parametrize("name", ["googlenet", "googlenet_bn", "inception_v3"])
def test_heads_are_on_request(name: str) -> None:
    with torch.device("meta"):
        plain, aided, ready = create_model(name), create_model(name, aux=True), torch.empty(2, 3, 299, 299)
    assert isinstance(plain.train()(ready), Tensor)
    out = aided.train()(ready)
    assert [logits.shape for logits in out] == [(2, 1000)] * len(out)
    assert isinstance(aided.eval()(ready), Tensor)
    assert set(plain.state_dict()) < set(aided.state_dict())
