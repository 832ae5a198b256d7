"""Colour: against formulas recomputed in float64, Pillow's enhancers, the standard library's hue."""

import colorsys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats

from striate.data.augment import Augment, colour, randaugment
from striate.data.augment.draw import Draw
from striate.data.augment.operations import Fill
from striate.data.keyed import uniform


def photograph(n: int = 4, side: int = 24, channels: int = 3) -> torch.Tensor:
    """Smooth coloured images with all values in them."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:side, :side] / side
    waves = rng.uniform(-6, 6, (n, channels, 3))
    planes = [[np.sin(a * x + b * y + c) for a, b, c in image] for image in waves]
    return torch.from_numpy((np.array(planes) * 127.5 + 127.5).round().astype(np.uint8))


def varied(spec: str, images: torch.Tensor) -> NDArray[np.float32]:
    ids = np.arange(len(images))
    return Augment.parse(spec)(images, ids * 0, ids, seed=1, epoch=0, classes=1).images.numpy()


def picture(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def planes(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image).astype(np.float64).transpose(2, 0, 1)


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7])
@pytest.mark.parametrize(
    ("ours", "pillows"),
    [
        (colour.brightness, ImageEnhance.Brightness),
        (colour.contrast, ImageEnhance.Contrast),
        (colour.saturation, ImageEnhance.Color),
        (randaugment.sharpness, ImageEnhance.Sharpness),
    ],
)
def test_enhancements_are_pillows_up_to_its_rounding(ours, pillows, factor: float) -> None:  # type: ignore[no-untyped-def]
    images = photograph()
    result = ours(images.float(), np.full(4, factor)).numpy()
    for image, got in zip(images, result, strict=True):
        np.testing.assert_allclose(got, planes(pillows(picture(image)).enhance(factor)), atol=2.01)


def test_jitter_is_the_formula_with_the_drawn_factors_one_after_the_other() -> None:
    images = photograph(6)
    ours = varied("brightness:0.6 contrast:2 saturation:0.7", images)
    u = {
        name: uniform(1, 0, f"augment/{name}", np.arange(6))[:, 0] for name in ("brightness", "contrast", "saturation")
    }
    weights = np.array([0.299, 0.587, 0.114])[:, None, None]
    for i in range(6):
        x = images[i].numpy().astype(np.float64)
        x = np.clip(x * (0.4 + 1.2 * u["brightness"][i]), 0, 255)
        f = 3 * u["contrast"][i]
        x = np.clip(f * x + (1 - f) * np.round((x * weights).sum(0)).mean(), 0, 255)
        f = 0.3 + 1.4 * u["saturation"][i]
        x = np.clip(f * x + (1 - f) * (x * weights).sum(0), 0, 255)
        np.testing.assert_allclose(ours[i], x, atol=0.02)


@pytest.mark.parametrize("turn", [-0.5, -0.13, 0.0, 0.08, 0.5])
def test_hue_turns_as_in_the_standard_library(turn: float) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, 12, 12)).astype(np.float32)
    pixels[:, 0] = pixels[0, 0]  # gray ones
    pixels[:, 1, :6], pixels[0, 1, :6] = 0, 255  # pure ones
    got = colour.hue(torch.from_numpy(pixels)[None], np.array([turn]))[0].numpy()
    for r, g, b, *mine in np.concatenate([pixels, got]).reshape(6, -1).T:
        h, s, v = colorsys.rgb_to_hsv(r / 255, g / 255, b / 255)
        np.testing.assert_allclose(np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v)) * 255, mine, atol=0.01)


@pytest.mark.parametrize(("f", "low", "high"), [(0.4, 0.6, 1.4), (1.5, 0.0, 2.5)])
def test_factors_are_spread_evenly_and_never_below_zero(f: float, low: float, high: float) -> None:
    factor = varied(f"brightness:{f}", torch.full((4000, 1, 1, 1), 100, dtype=torch.uint8)).ravel() / 100
    assert stats.kstest(factor, stats.uniform(low, high - low).cdf).pvalue > 1e-4


def test_saturation_and_hue_leave_gray_images_alone() -> None:
    images = photograph(channels=1)
    np.testing.assert_array_equal(varied("saturation:0.9 hue:0.5", images), images.numpy())


def test_a_mean_is_exact_however_large_the_image() -> None:
    """Whole numbers above 2^24 have gaps in float32, and sums of them depend on the order; sums of rows do not."""
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 1, 900, 700)))
    exact = images.sum(dim=(1, 2, 3)).numpy() / (900 * 700)
    np.testing.assert_array_equal(colour.whole_mean(images.float())[:, 0, 0, 0].numpy(), exact.astype(np.float32))


def test_rescale_multiplies_and_leaves_a_255th_to_the_preprocessing() -> None:
    images = photograph()
    np.testing.assert_array_equal(varied("rescale:2", images), images.numpy().astype(np.float32) * 2)
    np.testing.assert_array_equal(varied("rescale:1/255", images), images.numpy())
    assert "preprocessing" in Augment.parse("rescale:1/255").describe()


@pytest.mark.parametrize(
    ("name", "pillows"),
    [
        ("identity", lambda image: image),
        ("autocontrast", ImageOps.autocontrast),
        ("equalize", ImageOps.equalize),
        ("posterize", lambda image: ImageOps.posterize(image, 8 - 2)),
        ("solarize", lambda image: ImageOps.solarize(image, 128)),
    ],
)
def test_randaugments_pointwise_operations_are_pillows(name: str, pillows) -> None:  # type: ignore[no-untyped-def]
    dull, even = photograph(1) // 3 + 60, torch.full((1, 3, 24, 24), 9, dtype=torch.uint8)
    images = torch.cat([photograph(), dull, even])
    got = randaugment.perform(name, images.float(), np.ones(len(images)), 0.5, Fill("constant"))
    for image, mine in zip(images, got.numpy(), strict=True):
        np.testing.assert_allclose(mine, planes(pillows(picture(image))), atol=1.0 if name == "autocontrast" else 0)


def test_randaugment_picks_every_operation_and_sign_evenly() -> None:
    rounds = randaugment.Rounds.draw(Draw(0, 0, np.arange(20_000)), 2, 9, Fill("constant"))
    assert len(randaugment.NAMES) == 14
    for r in range(2):
        assert stats.chisquare(np.bincount(rounds.picks[:, r], minlength=14)).pvalue > 1e-4
    table = np.zeros((14, 14))
    np.add.at(table, (rounds.picks[:, 0], rounds.picks[:, 1]), 1)
    assert stats.chi2_contingency(table).pvalue > 1e-4
    for r in range(2):
        signs = np.bincount(rounds.picks[:, r] * 2 + (rounds.signs[:, r] > 0), minlength=28)
        assert stats.chisquare(signs).pvalue > 1e-4


def test_randaugment_does_the_drawn_operations_in_their_order() -> None:
    images = photograph(40)
    rounds = randaugment.Rounds.draw(Draw(1, 0, np.arange(40)), 3, 12, Fill("constant"))
    assert set(np.unique(rounds.picks)) == set(range(14))
    got = varied("randaugment:3,12", images)
    for i in range(40):
        x = images[i : i + 1].float()
        for pick, sign in zip(rounds.picks[i], rounds.signs[i], strict=True):
            x = randaugment.perform(randaugment.NAMES[pick], x, np.array([sign]), 12 / 30, Fill("constant"))
        np.testing.assert_array_equal(got[i], x[0].numpy())


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("name", ["shear_x", "shear_y", "translate_x", "translate_y", "rotate"])
def test_randaugments_geometry_is_pillows_affine(name: str, sign: float) -> None:
    """Away from the border, where Pillow does not blend with the fill; its coefficients map results to the source."""
    side, m = 40, sign * 0.5
    cos, sin, c = np.cos(np.radians(30 * m)), np.sin(np.radians(30 * m)), side / 2
    matrix = {
        "shear_x": (1, 0.3 * m, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, 0.3 * m, 1, 0),
        "translate_x": (1, 0, int(150 / 331 * side * m), 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, int(150 / 331 * side * m)),
        "rotate": (cos, sin, c - c * cos - c * sin, -sin, cos, c + c * sin - c * cos),
    }[name]  # fmt: skip
    images = photograph(2, side)
    got = randaugment.perform(name, images.float(), np.full(2, sign), 0.5, Fill("constant")).numpy()
    # the inside: what comes from whole pixels all around, seen on an image that is 255 everywhere
    white = torch.full((1, 1, side, side), 255.0)
    inside = randaugment.perform(name, white, np.array([sign]), 0.5, Fill("constant"))[0, 0] > 254.9
    assert inside.sum() > 500
    for image, mine in zip(images, got, strict=True):
        theirs = planes(
            picture(image).transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        )
        np.testing.assert_allclose(mine[:, inside], theirs[:, inside], atol=1.5)
