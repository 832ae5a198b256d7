"""What excites a channel: against a loop that holds everything, on a planted detector, in bounded memory."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.errors import ArtefactError, ShapeError, UnknownName, UsageError
from striate.look.excite.top import Ranking, top
from striate.look.trace import trace
from striate.models.registry import create_model, entry
from tests.look.planted import SIDE, planted, stripes

SIX = ("lenet5", "cifar_resnet20", "squeezenet1_1", "mobilenet_v2_0.35", "shufflenet_v2_x0_5", "densenet121")


def by_loop(maps: Tensor, most: int, per_image: int) -> list[list[tuple[float, int, int]]]:
    """All values of all images, sorted: the definition."""
    n, c = maps.shape[:2]
    flat = maps.reshape(n, c, -1).tolist()
    found = []
    for channel in range(c):
        every = []
        for image in range(n):
            here = sorted(((-v, image, p) for p, v in enumerate(flat[image][channel])))[:per_image]
            every += here
        found.append([(-v, image, p) for v, image, p in sorted(every)[:most]])
    return found


@given(
    st.integers(1, 7), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(1, 4),
    st.integers(0, 99),
)  # fmt: skip
def test_a_running_list_is_what_a_loop_over_everything_finds(
    n: int, c: int, side: int, most: int, per_image: int, batch: int, seed: int
) -> None:
    g = torch.Generator().manual_seed(seed)
    maps = torch.randint(0, 4, (n, c, side, side + 1), generator=g).float()  # few values, many ties
    ranking = Ranking(most, per_image)
    for first in range(0, n, batch):
        ranking.add(maps[first : first + batch], first)
    found = [
        list(zip(v, i, f, strict=True))
        for v, i, f in zip(ranking.values.tolist(), ranking.images.tolist(), ranking.flat.tolist(), strict=True)
    ]
    assert found == by_loop(maps, most, per_image)
    assert ranking.ties.tolist() == [(m.flatten(1).amax(1) == m.max()).sum() for m in maps.transpose(0, 1)]


@pytest.mark.parametrize("name", SIX)
def test_values_and_places_are_those_of_the_traced_maps(name: str) -> None:
    torch.manual_seed(0)
    model, known = create_model(name), entry(name)
    side = known.input[1] if known.fixed_size else max(known.smallest, 64)
    images = torch.randn(6, known.input[0], side, side)
    layers = [known.stem, known.head]
    found = top(model, images.split(4), layers, most=3)
    model.eval()
    with torch.no_grad(), trace(model, *layers) as seen:
        model(images)
    for layer in layers:
        maps = seen[layer]
        one = found[layer]
        wide = maps.reshape(*maps.shape[:2], -1)
        best = wide.amax(2).sort(dim=0, descending=True, stable=True).values
        torch.testing.assert_close(one.values, best[:3].T, rtol=1e-4, atol=1e-5)
        for row in (0, maps.shape[1] - 1):
            for value, image, (i, j) in zip(
                one.values[row].tolist(), one.images[row].tolist(), one.places[row].tolist(), strict=True
            ):
                there = maps[image, row, i, j] if maps.ndim == 4 else maps[image, row]
                assert value == pytest.approx(float(there), rel=1e-4, abs=1e-5)


def test_a_detector_finds_the_patch_that_was_planted() -> None:
    x, y, boxes = planted(60, seed=5)
    detector = nn.Sequential(nn.Conv2d(1, 2, SIDE), nn.ReLU())
    with torch.no_grad():
        for channel in (0, 1):  # stripes of two of the classes, of both phases that differ most
            detector[0].weight[channel, 0] = stripes(channel, 0.0)
        detector[0].bias.zero_()
    found = top(detector, x.split(16), ["1"], most=5)["1"]
    for channel in (0, 1):
        for image, box in zip(found.images[channel].tolist(), found.boxes(channel), strict=True):
            assert y[image] == channel
            assert box is not None
            assert abs(box.top - boxes[image].top) <= 2
            assert abs(box.left - boxes[image].left) <= 2
            assert (box.height, box.width) == (SIDE, SIDE)


def test_memory_does_not_grow_with_the_data() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3))
    alive: list[weakref.ref[Tensor]] = []

    def batches(count: int) -> Iterator[Tensor]:
        for _ in range(count):
            batch = torch.randn(4, 3, 12, 12)
            alive.append(weakref.ref(batch))
            yield batch

    made: list[weakref.ref[Tensor]] = []
    watch = model[0].register_forward_hook(lambda _, __, y: made.append(weakref.ref(y)))
    most: list[int] = []
    model[2].register_forward_hook(lambda *_: most.append(sum(r() is not None for r in made)))
    top(model, batches(12), ["0", "2"])
    watch.remove()
    gc.collect()
    assert max(most) <= 2
    assert sum(ref() is not None for ref in alive) == 0
    ranking = Ranking(9)
    for first in range(0, 400, 4):
        ranking.add(torch.randn(4, 7, 6, 6), first)
    assert [t.shape for t in (ranking.values, ranking.images, ranking.flat)] == [(7, 9)] * 3


class Reused(nn.Module):
    """One in-place module, run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.relu = nn.Conv2d(1, 2, 3), nn.Conv2d(2, 3, 3), nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.b(self.relu(self.a(x))))


def test_in_place_and_reused_steps_are_told_apart() -> None:
    torch.manual_seed(1)
    model, x = Reused(), torch.randn(5, 1, 9, 9)
    found = top(model, [x], ["a", "relu", "relu:2"], most=2)
    with torch.no_grad():
        a = model.a(x)
        second = model.b(a.relu()).relu()
    assert found["a"].values[:, 0].tolist() == a.amax((0, 2, 3)).tolist()  # before the next step overwrote it
    assert found["relu"].values[:, 0].tolist() == a.relu().amax((0, 2, 3)).tolist()
    assert found["relu:2"].values[:, 0].tolist() == second.amax((0, 2, 3)).tolist()
    assert found["relu"].seen.field is not None
    assert found["relu:2"].seen.field is not None
    assert (found["relu"].seen.field.size, found["relu:2"].seen.field.size) == ((3, 3), (5, 5))
    with pytest.raises(ShapeError, match="'relu:3': it ran 2 times"):
        top(model, [x], ["relu:3"])


def state(model: nn.Module) -> Any:
    return (
        [m.training for m in model.modules()],
        [(p.requires_grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        {k: v.clone() for k, v in model.state_dict().items()},
    )


def same(a: Any, b: Any) -> bool:
    return a[:1] == b[:1] and a[2] == b[2] and all(torch.equal(a[3][k], b[3][k]) for k in a[3])


def test_the_model_is_afterwards_as_it_was_also_after_an_error() -> None:
    model = create_model("cifar_resnet20").train()
    model.layer1.eval()
    for p in list(model.parameters())[:3]:
        p.requires_grad_(False)
    before = state(model)
    top(model, [torch.randn(2, 3, 32, 32)], ["layer2"])
    assert same(before, state(model))

    def broken() -> Iterator[Tensor]:
        yield torch.randn(2, 3, 32, 32)
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        top(model, broken(), ["layer2"])
    with pytest.raises(UsageError, match="no channel 99"):
        top(model, [torch.randn(2, 3, 32, 32)], ["layer2"], channels=[99])
    assert same(before, state(model))
    assert all(p.grad is None for p in model.parameters())


def test_mistakes_are_told() -> None:
    model = create_model("lenet5")
    x = torch.randn(2, 1, 32, 32)
    with pytest.raises(UnknownName, match=r"has no step 'tanh9'; did you mean"):
        top(model, [x], ["tanh9"])
    with pytest.raises(UsageError, match="no images"):
        top(model, [], ["tanh1"])
    with pytest.raises(UsageError, match="must be at least 1"):
        top(model, [x], ["tanh1"], most=0)
    x[1] = torch.nan
    with pytest.raises(ArtefactError, match="image 1 makes a value that is not finite"):
        top(model, [x], ["tanh1"])


def test_half_precision_and_single_values() -> None:
    ranking = Ranking(2)
    ranking.add(torch.tensor([[1.0], [3.0]], dtype=torch.bfloat16), 0)
    ranking.add(torch.tensor([[2.0]], dtype=torch.bfloat16), 2)
    assert (ranking.values.tolist(), ranking.images.tolist()) == ([[3.0, 2.0]], [[1, 2]])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_same_is_found_on_a_gpu() -> None:
    torch.manual_seed(0)
    model, x = Reused(), torch.randn(8, 1, 9, 9)
    here = top(model, [x], ["relu:2"])["relu:2"]
    there = top(model.cuda(), [x], ["relu:2"])["relu:2"]
    torch.testing.assert_close(here.values, there.values, rtol=1e-4, atol=1e-5)
