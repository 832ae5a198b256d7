"""What becomes of a sample depends on seed, epoch and its id, and on nothing else, to the last bit."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from striate.data.augment import Augment, pipeline
from striate.data.augment.boxes import cutout_boxes, erased_boxes, source_boxes
from striate.data.augment.colour import factors
from striate.data.augment.draw import Draw
from striate.data.augment.geometry import affine_maps, moves
from striate.data.augment.mix import Mixture
from striate.data.augment.operations import OPERATIONS
from striate.data.augment.randaugment import Rounds

SPECS = [
    "crop:4 hflip",
    "crop:3 hflip vflip fill:wrap",
    "rotation:40 shift:0.2 shear:0.2 zoom:0.2 hflip fill:nearest",
    "rotation:180 width_shift:0.3 height_shift:3 shear:20 zoom:0.5,2 crop:2 hflip vflip fill:constant,99",
    "rotation:40 zoom:0.3 fill:reflect",
    "rotation:40 zoom:0.3 fill:wrap",
    "colour:0.5 hue:0.3",
    "cutout:0.4 erasing:0.7 rescale:1.7",
    "randaugment:3,14",
    "rotation:10 randaugment:2,9 hflip brightness:0.3 contrast:0.3 saturation:0.3 hue:0.1 cutout:5 erasing:0.5",
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Several threads on small tensors only wait for each other; the test that wants them asks for them."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def batch(n: int, c: int, h: int, w: int) -> tuple[torch.Tensor, np.ndarray]:
    rng = np.random.default_rng(8)
    return torch.from_numpy(rng.integers(0, 256, (n, c, h, w), dtype=np.uint8)), rng.permutation(10_000)[:n]


def varied(spec: str, images: torch.Tensor, ids: np.ndarray, seed: int = 3, epoch: int = 4) -> torch.Tensor:
    return Augment.parse(spec)(images, ids * 0, ids, seed=seed, epoch=epoch, classes=2).images


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize(("c", "h", "w"), [(3, 19, 27), (1, 28, 28)])
def test_a_sample_comes_out_the_same_alone_in_a_batch_and_in_any_order(spec: str, c: int, h: int, w: int) -> None:
    images, ids = batch(64, c, h, w)
    together = varied(spec, images, ids)
    order = np.random.default_rng(1).permutation(64)
    assert torch.equal(varied(spec, images[torch.from_numpy(order)], ids[order]), together[torch.from_numpy(order)])
    for i in range(0, 64, 5):
        assert torch.equal(varied(spec, images[i : i + 1], ids[i : i + 1])[0], together[i])
    part = slice(5, 22)
    assert torch.equal(varied(spec, images[part], ids[part]), together[part])


@pytest.mark.parametrize("spec", SPECS)
def test_threads_and_the_size_of_pieces_change_no_bit(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images, ids = batch(12, 3, 50, 41)
    together = varied(spec, images, ids)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        assert torch.equal(varied(spec, images, ids), together)
    torch.set_num_threads(1)
    for values in (1, 20_000):
        monkeypatch.setattr(pipeline, "CHUNK", values)
        assert torch.equal(varied(spec, images, ids), together)


@pytest.mark.parametrize("spec", ["mixup:0.4", "cutmix:1", "mixup:1 cutmix:1 rotation:20 hflip"])
def test_a_mixture_depends_on_the_sample_and_the_next_one_only(spec: str) -> None:
    images, ids = batch(30, 3, 20, 20)
    augment = Augment.parse(spec)
    labels = ids % 7
    whole = augment(images, labels, ids, seed=0, epoch=0, classes=7)
    pair = augment(images[11:13], labels[11:13], ids[11:13], seed=0, epoch=0, classes=7)
    assert torch.equal(pair.images[0], whole.images[11])
    assert pair.targets is not None
    assert whole.targets is not None
    assert torch.equal(pair.targets[0], whole.targets[11])


@pytest.mark.parametrize("spec", SPECS)
def test_another_epoch_seed_or_sample_is_another_variation(spec: str) -> None:
    images, ids = batch(1, 3, 24, 24)
    images, ids = images.expand(40, 3, 24, 24), np.arange(40)
    first = varied(spec, images, ids)
    for other in (
        varied(spec, images, ids, epoch=5),
        varied(spec, images, ids, seed=4),
        varied(spec, images, ids + 40),
    ):
        same = (first == other).flatten(1).all(1).float().mean()
        assert same < 0.5
    assert len({image.numpy().tobytes() for image in first}) > 20


def test_each_operation_has_random_numbers_of_its_own() -> None:
    """Two operations drawing from one stream would move together: flipped images would all be turned the same way."""
    seen: list[str] = []

    class Spy(Draw):
        def uniform(self, stream, n=1):  # type: ignore[no-untyped-def]
            seen.append(stream)
            return super().uniform(stream, n)

    draw = Spy(0, 0, np.arange(3))
    augment = Augment.parse(
        "rotation:9 shift:0.2 shear:9 zoom:0.2 hflip vflip crop:2 colour:0.3 hue:0.2 mixup:1 cutmix:1 randaugment:2,9"
    )
    affine_maps(augment, draw, 9, 9)
    moves(augment, draw)
    factors(augment, draw)
    cutout_boxes(draw, 4, 9, 9)
    erased_boxes(draw, 0.5, 9, 9)
    source_boxes(draw, [[9, 9]] * 3, 0.1, (1, 1))
    Mixture.draw(augment, draw, 9, 9)
    Rounds.draw(draw, 2, 9, augment.outside)
    assert len(seen) == len(set(seen)) >= len(OPERATIONS) - 4
