"""Where pixels come from: against SciPy's resampling, and NumPy's padding where no pixel changes its value."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage, stats

from striate.data.augment import Augment
from striate.data.keyed import uniform
from striate.errors import ShapeError

SCIPY_MODE = {"nearest": "nearest", "constant": "grid-constant", "reflect": "reflect", "wrap": "grid-wrap"}
EVERYTHING = (
    "none", "hflip:1", "crop:2 hflip", "rotation:20 shift:0.2 zoom:0.2 vflip", "colour:0.5 hue:0.2",
    "cutout:0.5 erasing:1", "randaugment:3,9", "mixup:1 cutmix:1 rescale:2",
)  # fmt: skip
NUMPY_MODE = {"nearest": "edge", "constant": "constant", "reflect": "symmetric", "wrap": "wrap"}


def noise(n: int, c: int, h: int, w: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, c, h, w), dtype=np.uint8))


def varied(spec: str, images: torch.Tensor, seed: int = 5, epoch: int = 2, start: int = 100) -> NDArray[np.float32]:
    ids = np.arange(start, start + len(images))
    done = Augment.parse(spec)(images, ids * 0, ids, seed=seed, epoch=epoch, classes=1)
    assert done.targets is None
    assert done.images.dtype == torch.float32
    return done.images.numpy()


def drawn(stream: str, n: int, low: float, high: float, of: int = 1) -> NDArray[np.float64]:
    """The numbers that `varied` uses for n samples."""
    return low + (high - low) * uniform(5, 2, f"augment/{stream}", np.arange(100, 100 + n), of)


def keras(theta: float, tx: float, ty: float, shear: float, zx: float, zy: float) -> NDArray[np.float64]:
    """The 3x3 matrix of the documented composition, by matrix products; angles in degrees, x down, y to the right."""
    t, s = np.radians(theta), np.radians(shear)
    turn = np.array([[np.cos(t), -np.sin(t), 0], [np.sin(t), np.cos(t), 0], [0, 0, 1]])
    move = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    slant = np.array([[1, -np.sin(s), 0], [0, np.cos(s), 0], [0, 0, 1]])
    return turn @ move @ slant @ np.diag([zx, zy, 1])


def sampled(image: NDArray[np.uint8], matrix: NDArray[np.float64], mode: str, value: float = 0) -> NDArray[np.float64]:
    """SciPy's resampling of (C, H, W) about the centre."""
    h, w = image.shape[1:]
    there = np.array([[1, 0, (h - 1) / 2], [0, 1, (w - 1) / 2], [0, 0, 1]])
    whole = there @ matrix @ np.linalg.inv(there)
    return np.stack(
        [ndimage.affine_transform(plane, whole, order=1, mode=SCIPY_MODE[mode], cval=value) for plane in image / 1.0]
    )


@pytest.mark.parametrize("fill", ["nearest", "constant", "constant,77", "reflect", "wrap"])
@pytest.mark.parametrize(("h", "w"), [(20, 31), (33, 16)])
def test_the_decks_list_is_resampled_as_scipy_does_with_keras_matrix(fill: str, h: int, w: int) -> None:
    n = 12
    images = noise(n, 3, h, w)
    ours = varied(f"rotation:180 width_shift:0.7 height_shift:0.4 shear:30 zoom:0.6 hflip vflip fill:{fill}", images)
    theta, shear = drawn("rotation", n, -180, 180), drawn("shear", n, -30, 30)
    tx, ty = drawn("height_shift", n, -0.4 * h, 0.4 * h), drawn("width_shift", n, -0.7 * w, 0.7 * w)
    zoom = drawn("zoom", n, 0.4, 1.6, of=2)
    left, over = drawn("hflip", n, 0, 1) < 0.5, drawn("vflip", n, 0, 1) < 0.5
    assert 0 < left.sum() < n
    assert 0 < over.sum() < n
    mode, _, value = fill.partition(",")
    for i in range(n):
        matrix = keras(theta[i, 0], tx[i, 0], ty[i, 0], shear[i, 0], *zoom[i])
        expected = sampled(images[i].numpy(), matrix, mode, float(value or 0))
        expected = expected[:, :, ::-1] if left[i, 0] else expected
        expected = expected[:, ::-1] if over[i, 0] else expected
        np.testing.assert_allclose(ours[i], expected, atol=0.02)


@pytest.mark.parametrize("fill", ["nearest", "reflect", "wrap"])
def test_zooming_far_out_repeats_the_image_as_often_as_needed(fill: str) -> None:
    images = noise(4, 1, 9, 7)
    zoom = drawn("zoom", 4, 8, 10, of=2)
    ours = varied(f"zoom:8,10 fill:{fill}", images)
    for i in range(4):
        np.testing.assert_allclose(ours[i], sampled(images[i].numpy(), keras(0, 0, 0, 0, *zoom[i]), fill), atol=0.02)


def test_shifts_from_one_on_are_pixels() -> None:
    images = noise(6, 1, 20, 20)
    ty = drawn("width_shift", 6, -3, 3)
    ours = varied("width_shift:3 fill:wrap", images)
    for i in range(6):
        np.testing.assert_allclose(
            ours[i], sampled(images[i].numpy(), keras(0, 0, ty[i, 0], 0, 1, 1), "wrap"), atol=0.02
        )


def test_a_fifth_of_a_degree_of_shear_moves_no_pixel_by_one() -> None:
    """Why the much copied shear_range=0.2 is said to do nothing: a ramp shows each pixel's displacement."""
    ramp = torch.arange(150, dtype=torch.uint8).repeat(1, 1, 150, 1).expand(32, 1, 150, 150)
    for image in (ramp, ramp.transpose(2, 3)):
        assert np.abs(varied("shear:0.2", image) - image.numpy())[:, :, 2:-2, 2:-2].max() < 0.3
    assert np.abs(varied("shear:11.5", ramp.transpose(2, 3)) - ramp.transpose(2, 3).numpy()).max() > 10


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["nearest", "constant", "constant,9", "reflect", "wrap"]), st.integers(0, 12), st.booleans(),
    st.booleans(), st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3]),
)  # fmt: skip
def test_crops_and_flips_are_slices_of_numpys_padding(
    fill: str, pad: int, left_right: bool, top_bottom: bool, h: int, w: int, c: int
) -> None:
    n = 8
    images = noise(n, c, h, w)
    words = [f"crop:{pad}", "hflip" * left_right, "vflip" * top_bottom, f"fill:{fill}"]
    ours = varied(" ".join(words), images)
    mode, _, value = fill.partition(",")
    extra = {"constant_values": int(value or 0)} if mode == "constant" else {}
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)), mode=NUMPY_MODE[mode], **extra)  # type: ignore[call-overload]
    top, left = (np.floor(drawn(f"crop/{axis}", n, 0, 2 * pad + 1)).astype(int) for axis in ("vflip", "hflip"))
    for i in range(n):
        expected = padded[i, :, top[i, 0] : top[i, 0] + h, left[i, 0] : left[i, 0] + w]
        if left_right and drawn("hflip", n, 0, 1)[i, 0] < 0.5:
            expected = expected[:, :, ::-1]
        if top_bottom and drawn("vflip", n, 0, 1)[i, 0] < 0.5:
            expected = expected[:, ::-1]
        np.testing.assert_array_equal(ours[i], expected)


def test_a_certain_flip_mirrors_every_image_exactly() -> None:
    images = noise(5, 3, 6, 9)
    np.testing.assert_array_equal(varied("hflip:1", images), images.numpy()[:, :, :, ::-1])
    np.testing.assert_array_equal(varied("vflip:1", images), images.numpy()[:, :, ::-1])
    np.testing.assert_array_equal(varied("none", images), images.numpy())


def test_the_input_is_left_alone() -> None:
    images = noise(5, 3, 16, 16)
    before = images.clone()
    for spec in EVERYTHING:
        ids = np.arange(5)
        Augment.parse(spec)(images, ids, ids, seed=0, epoch=0, classes=5)
    assert torch.equal(images, before)


def test_flips_happen_as_often_as_asked() -> None:
    images = torch.tensor([[[[0, 1]]]], dtype=torch.uint8).expand(20_000, 1, 1, 2)
    for spec, share in (("hflip", 0.5), ("hflip:0.1", 0.1)):
        flipped = int((varied(spec, images)[:, 0, 0, 0] == 1).sum())
        assert stats.binomtest(flipped, 20_000, share).pvalue > 1e-4


def test_every_place_of_a_crop_is_equally_likely() -> None:
    places = torch.arange(49, dtype=torch.uint8).view(1, 1, 7, 7).expand(30_000, 1, 7, 7)
    corner = varied("crop:2 fill:wrap", places)[:, 0, 0, 0].astype(int)
    row, column = (corner // 7 + 2) % 7, (corner % 7 + 2) % 7
    assert row.max() == 4
    assert stats.chisquare(np.bincount(row * 5 + column, minlength=25)).pvalue > 1e-4


@pytest.mark.parametrize(
    ("spec", "low", "high"),
    [("width_shift:0.25", -16, 16), ("width_shift:5", -5, 5)],
)
def test_shifts_are_spread_evenly_over_their_range(spec: str, low: float, high: float) -> None:
    ramp = torch.arange(64, dtype=torch.uint8).view(1, 1, 1, 64).expand(4000, 1, 1, 64)
    moved = varied(spec, ramp)[:, 0, 0, 32] - 32
    assert stats.kstest(moved, stats.uniform(low, high - low).cdf).pvalue > 1e-4


def test_angles_are_spread_evenly_over_their_range() -> None:
    """Read off the picture of a horizontal ramp: its slope down the image is the sine, along it the cosine."""
    ramp = (torch.arange(33) * 4).to(torch.uint8).view(1, 1, 1, 33).expand(2000, 1, 33, 33)
    turned = varied("rotation:40", ramp)[:, 0].astype(np.float64)
    angle = np.degrees(np.arctan2(turned[:, 20, 16] - turned[:, 12, 16], turned[:, 16, 20] - turned[:, 16, 12]))
    assert stats.kstest(angle, stats.uniform(-40, 80).cdf).pvalue > 1e-4


def test_height_and_width_are_zoomed_on_their_own() -> None:
    ramp = torch.arange(33, dtype=torch.uint8) * 4
    across = varied("zoom:0.2", ramp.view(1, 1, 1, 33).expand(2000, 1, 33, 33))[:, 0].astype(np.float64)
    down = varied("zoom:0.2", ramp.view(1, 1, 33, 1).expand(2000, 1, 33, 33))[:, 0].astype(np.float64)
    wide, tall = (across[:, 16, 20] - across[:, 16, 12]) / 32, (down[:, 20, 16] - down[:, 12, 16]) / 32
    for factor in (wide, tall):
        assert stats.kstest(factor, stats.uniform(0.8, 0.4).cdf).pvalue > 1e-4
    assert abs(np.corrcoef(wide, tall)[0, 1]) < 0.1


def test_images_of_the_wrong_kind_are_refused() -> None:
    ids = np.arange(2)
    augment = Augment.parse("hflip")
    good = noise(2, 3, 4, 4)
    for images in (good.float(), good[0], good.permute(0, 2, 3, 1)):
        with pytest.raises(ShapeError, match="uint8"):
            augment(images, ids, ids, seed=0, epoch=0, classes=2)
    with pytest.raises(ShapeError, match="2 images, but 1 labels"):
        augment(good, ids[:1], ids, seed=0, epoch=0, classes=2)


def test_an_empty_batch_stays_empty() -> None:
    ids = np.arange(0)
    for spec in EVERYTHING:
        done = Augment.parse(spec)(noise(0, 3, 8, 8), ids, ids, seed=0, epoch=0, classes=4)
        assert done.images.shape == (0, 3, 8, 8)
