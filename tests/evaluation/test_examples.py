"""The images on the card: the right ones, as the network saw them, with the evidence where it is."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from striate.data.dataset import ArrayImages, Split
from striate.data.preprocess import Preprocess
from striate.evaluation.examples import explained, least_sure, most_wrong
from striate.evaluation.pictures import SIDE, as_seen, encoded, with_evidence
from striate.evaluation.predictions import Predictions

GRAY = Preprocess(size=(16, 16), order="gray", mean=(0.5,), std=(0.5,))


def opened(data: bytes | None) -> Image.Image:
    assert data is not None
    return Image.open(io.BytesIO(data), formats=["PNG", "JPEG"])


def answers() -> Predictions:
    rows = [
        [0.9, 0.05, 0.05],
        [0.1, 0.7, 0.2],
        [0.05, 0.05, 0.9],
        [0.4, 0.35, 0.25],
        [0.3, 0.6, 0.1],
        [0.45, 0.5, 0.05],
    ]
    return Predictions(tuple("abcdef"), np.array([0, 0, 1, 0, 2, 1]), np.array(rows), ("x", "y", "z"), "test")


def test_the_worst_mistakes_come_first_and_the_closest_right_answers() -> None:
    p = answers()
    assert [p.keys[i] for i in most_wrong(p, 10)] == ["c", "b", "e"]  # truth got 0.05, 0.1 and 0.1: the surer one first
    assert [p.keys[i] for i in most_wrong(p, 1)] == ["c"]
    assert [p.keys[i] for i in least_sure(p, 2)] == ["d", "f"]
    assert len(least_sure(p, 10)) == 3
    assert len(most_wrong(p, 0)) == 0


def planted() -> tuple[nn.Module, Split]:
    """Class 1 is brightness on the left, class 0 on the right; the images are bright on one side."""
    module = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(512, 2, bias=False))
    weight = torch.zeros(2, 2, 16, 16)
    weight[1, 1, :, :8], weight[0, 0, :, 8:] = 1, 1
    with torch.no_grad():
        module[0].weight.fill_(1)
        module[3].weight.copy_(weight.flatten(1))
    pixels = np.full((2, 16, 16, 1), 0, np.uint8)
    pixels[0, 4:8, 2:6], pixels[1, 4:8, 10:14] = 255, 255
    return module, Split(ArrayImages(pixels), np.array([0, 1]), ("left", "right"))


def test_the_evidence_glows_where_it_was_planted_and_nowhere_else() -> None:
    module, split = planted()
    p = Predictions(split.keys, split.labels, np.array([[0.1, 0.9], [0.8, 0.2]]), ("r", "l"), "test")
    found = explained(p, most_wrong(p, 5), split, module, GRAY, layer="1")
    assert [one.key for one in found] == ["left", "right"]
    assert (found[0].truth, found[0].predicted, found[0].runner_up) == ("r", "l", "r")
    assert (found[0].probability, found[0].truth_probability) == pytest.approx((0.9, 0.1))
    for one, left in zip(found, (True, False), strict=True):
        assert one.layer == "1"
        assert one.nothing_positive is False
        picture = np.asarray(opened(one.evidence).convert("RGB")).astype(int)
        colour = picture.max(axis=2) - picture.min(axis=2)
        middle = colour.shape[1] // 2
        assert bool(colour[:, :middle].max() > 60) is left
        assert bool(colour[:, middle:].max() > 60) is not left


def test_a_network_without_positions_is_shown_without_evidence() -> None:
    _, split = planted()
    p = Predictions(split.keys, split.labels, np.array([[0.1, 0.9], [0.8, 0.2]]), ("r", "l"), "test")
    flat = nn.Sequential(nn.Flatten(), nn.Linear(256, 2)).train()
    found = explained(p, most_wrong(p, 5), split, flat, GRAY)
    assert [(one.layer, one.evidence, one.nothing_positive) for one in found] == [(None, None, None)] * 2
    assert all(one.image for one in found)
    assert flat.training
    assert explained(p, most_wrong(p, 0), split, flat, GRAY) == ()


@pytest.mark.parametrize(("h", "w"), [(1, 1), (8, 8), (28, 28), (100, 150), (600, 300), (2, 900)])
@pytest.mark.parametrize("order", ["gray", "rgb", "bgr"])
def test_thumbnails_are_small_and_keep_shape_and_colour(h: int, w: int, order: str) -> None:
    red = np.zeros((3, h, w), np.uint8)
    red[0 if order == "rgb" else 2] = 200
    picture = as_seen(red[:1] + 90 if order == "gray" else red, order)  # type: ignore[arg-type]
    assert max(picture.size) <= SIDE
    assert picture.width / picture.height == pytest.approx(w / h, rel=0.5) or min(picture.size) == 1
    assert picture.getpixel((0, 0)) == ((200, 0, 0) if order != "gray" else 90)
    data = encoded(with_evidence(picture, np.zeros((7, 7), np.float32)))
    assert opened(data).size == picture.size


def test_small_images_are_enlarged_with_their_pixels_visible() -> None:
    board = (np.indices((8, 8)).sum(0) % 2 * 255).astype(np.uint8)[None]
    big = np.asarray(as_seen(board, "gray"))
    assert big.shape == (176, 176)
    assert set(np.unique(big)) == {0, 255}
    assert (big[:22, :22] == 0).all()
    assert (big[:22, 22:44] == 255).all()


def test_no_evidence_leaves_no_colour_and_photographs_are_stored_as_jpeg() -> None:
    rng = np.random.default_rng(0)
    picture = as_seen(rng.integers(0, 256, (3, 90, 90), dtype=np.uint8), "rgb")
    plain = np.asarray(with_evidence(picture, np.zeros((3, 3), np.float32)))
    assert (plain.max(axis=2) == plain.min(axis=2)).all()
    assert encoded(picture).startswith(b"\xff\xd8")
    assert encoded(as_seen(np.zeros((1, 8, 8), np.uint8), "gray")).startswith(b"\x89PNG")
