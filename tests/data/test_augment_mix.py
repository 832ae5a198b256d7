"""Rectangles and mixtures: sizes, places and shares as promised, and nothing changed outside of them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from striate.data.augment import Augment
from striate.data.augment.mix import beta


def noise(n: int, c: int, h: int, w: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(1, 255, (n, c, h, w), dtype=np.uint8))


def varied(spec: str, images: torch.Tensor, labels: NDArray[np.int64] | None = None, classes: int = 5):  # type: ignore[no-untyped-def]
    ids = np.arange(len(images))
    done = Augment.parse(spec)(
        images, ids % classes if labels is None else labels, ids, seed=0, epoch=0, classes=classes
    )
    return done.images.numpy(), None if done.targets is None else done.targets.numpy()


def rectangle(changed: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """(H, W) -> top, left, height, width of what changed; fails where that is not one filled rectangle."""
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    top, left, height, width = rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert changed[top : top + height, left : left + width].all()
    return int(top), int(left), int(height), int(width)


@pytest.mark.parametrize(("side", "pixels"), [("8", 8), ("0.5", 10), ("5", 5)])
def test_cutout_covers_a_square_about_any_pixel_with_the_mean_colour(side: str, pixels: int) -> None:
    images = noise(3000, 3, 20, 30)
    got, _ = varied(f"cutout:{side}", images)
    before = images.numpy().astype(np.float32)
    full, middles = 0, []
    for x, y in zip(before, got, strict=True):
        value = x.mean((1, 2), dtype=np.float64)
        covered = np.isclose(y, value[:, None, None], atol=1e-3).all(0)
        top, left, height, width = rectangle(covered)
        np.testing.assert_array_equal(y[:, ~covered], x[:, ~covered])
        assert height == pixels or top == 0 or top + height == 20
        assert width == pixels or left == 0 or left + width == 30
        full += (height, width) == (pixels, pixels)
        middles.append([top + height / 2, left + width / 2])
    assert stats.binomtest(full, 3000, (20 - pixels + 1) / 20 * (30 - pixels + 1) / 30).pvalue > 1e-4


def test_erasing_puts_noise_into_a_rectangle_of_the_papers_size_as_often_as_asked() -> None:
    images = torch.full((2000, 3, 40, 30), 7, dtype=torch.uint8)
    got, _ = varied("erasing:0.3", images)
    erased, values = 0, []
    for y in got:
        changed = (y != 7).any(0)
        if changed.any():
            erased += 1
            rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
            # a pixel of the noise may by chance be 7 in all channels: 1 in 16 million
            assert changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            # sides are rounded to whole pixels: half a pixel either way
            assert (height - 0.5) * (width - 0.5) <= 0.33 * 1200
            assert (height + 0.5) * (width + 0.5) >= 0.02 * 1200
            assert (width + 0.5) / (height - 0.5) >= 0.3
            assert (width - 0.5) / (height + 0.5) <= 3.3
            values.append(y[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].ravel())
    assert stats.binomtest(erased, 2000, 0.3).pvalue > 1e-4
    assert stats.chisquare(np.bincount(np.concatenate(values).astype(int), minlength=256)).pvalue > 1e-4


def test_mixup_blends_image_and_label_with_the_next_by_the_same_share() -> None:
    images = noise(64, 3, 6, 5)
    labels = np.arange(64) % 4
    got, shares = varied("mixup:0.4", images, labels, classes=4)
    before = images.numpy().astype(np.float64)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)
    for i in range(64):
        keep = shares[i, labels[i]]
        assert shares[i, labels[(i + 1) % 64]] == pytest.approx(1 - keep, abs=1e-6)
        np.testing.assert_allclose(got[i], keep * before[i] + (1 - keep) * before[(i + 1) % 64], atol=1e-3)


def test_partners_of_one_class_keep_the_whole_label() -> None:
    for spec in ("mixup:1", "cutmix:1", "mixup:1 cutmix:1"):
        _, shares = varied(spec, noise(8, 1, 6, 6), np.full(8, 2), classes=3)
        np.testing.assert_array_equal(shares, np.eye(3)[np.full(8, 2)])


def test_cutmix_pastes_one_rectangle_whose_area_is_the_share_of_the_label() -> None:
    n, h, w = 500, 21, 17
    images = (torch.arange(n) % 2 * 200).to(torch.uint8).view(n, 1, 1, 1).expand(n, 3, h, w)
    got, shares = varied("cutmix:1", images, np.arange(n) % 2, classes=2)
    pasted = 0
    for i in range(n):
        changed = (got[i] != images[i].numpy()).all(0)
        assert shares[i, 1 - i % 2] == pytest.approx(changed.sum() / (h * w), abs=1e-6)
        assert shares[i].sum() == pytest.approx(1, abs=1e-6)
        if changed.any():
            rectangle(changed)
            pasted += 1
    assert pasted > 400


def test_with_both_each_sample_is_either_blended_or_cut_half_and_half() -> None:
    n = 2000
    images = (torch.arange(n) % 2 * 250).to(torch.uint8).view(n, 1, 1, 1).expand(n, 1, 16, 16)
    got, shares = varied("mixup:1 cutmix:1", images, np.arange(n) % 2, classes=2)
    even = (got == got[:, :, :1, :1]).all((1, 2, 3)) & ~np.isin(got[:, 0, 0, 0], (0, 250))
    assert stats.binomtest(int(even.sum()), n).pvalue > 1e-4
    # either way the label is what the pixels are
    np.testing.assert_allclose(got.mean((1, 2, 3)) / 250, shares[:, 1], atol=1e-4)


def test_a_batch_of_one_is_mixed_with_itself() -> None:
    images = noise(1, 3, 8, 8)
    for spec in ("mixup:1", "cutmix:1"):
        got, shares = varied(spec, images, np.array([1]), classes=2)
        np.testing.assert_allclose(got, images.numpy(), atol=1e-4)
        np.testing.assert_array_equal(shares, [[0, 1]])


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.5, 1.0, 1.7, 8.0, 100.0])
def test_shares_are_distributed_as_beta(alpha: float) -> None:
    u = (np.arange(20_000) + 0.5) / 20_000
    got = beta(alpha, u)
    # below one half, where a share near 0 has digits enough for the steep function; above it is the mirror image
    np.testing.assert_allclose(stats.beta(alpha, alpha).cdf(got[:10_000]), u[:10_000], atol=1e-5)
    np.testing.assert_allclose(got[10_000:], 1 - got[9_999::-1], atol=1e-12)


@given(
    st.integers(1, 3000), st.integers(1, 3000), st.floats(0.001, 1), st.floats(0.05, 1), st.floats(1, 20),
    st.integers(0, 99),
)  # fmt: skip
def test_source_boxes_lie_inside_and_keep_to_area_and_ratio(
    h: int, w: int, scale: float, low: float, high: float, seed: int
) -> None:
    augment = Augment(resized_crop=(scale, low, high))
    assert augment.source_crop
    boxes = augment.boxes(np.arange(20), np.tile([h, w], (20, 1)), seed=seed, epoch=0)
    top, left, height, width = boxes.T
    assert (boxes == np.rint(boxes)).all()
    assert (np.minimum(top, left) >= 0).all()
    assert (np.minimum(height, width) >= 1).all()
    assert (top + height <= h).all()
    assert (left + width <= w).all()
    # with sides rounded to whole pixels, and 1 pixel at the least
    assert ((width + 0.5) / np.maximum(height - 0.5, 0.5) >= low * (1 - 1e-9)).all() or w == 1
    assert (np.maximum(width - 0.5, 0.5) / (height + 0.5) <= high * (1 + 1e-9)).all() or h == 1


def test_source_boxes_are_spread_evenly_over_area_ratio_and_place() -> None:
    n = 4000
    boxes = Augment.parse("resized_crop:0.2,1,1").boxes(
        np.arange(n), np.tile([10_000, 10_000], (n, 1)), seed=1, epoch=1
    )
    top, left, height, width = boxes.T
    assert stats.kstest(height * width / 1e8, stats.uniform(0.2, 0.8).cdf).pvalue > 1e-4
    for start, side in ((top, height), (left, width)):
        room = side < 9_999
        assert stats.kstest((start / np.maximum(10_000 - side, 1))[room], "uniform").pvalue > 1e-4
    wide = Augment.parse("resized_crop:0.01,0.5,2").boxes(
        np.arange(n), np.tile([10_000, 10_000], (n, 1)), seed=1, epoch=1
    )
    small = wide[:, 2] * wide[:, 3] < 0.5e8  # a larger one may have been refused for its shape
    assert stats.kstest(np.log2(wide[small, 3] / wide[small, 2]), stats.uniform(-1, 2).cdf).pvalue > 1e-4


def test_where_no_box_fits_the_middle_is_taken() -> None:
    boxes = Augment.parse("resized_crop:0.9,3/4,4/3").boxes(np.arange(5), np.tile([100, 1000], (5, 1)), seed=0, epoch=0)
    np.testing.assert_array_equal(boxes, np.tile([0, 433, 100, 133], (5, 1)))


def test_without_a_resized_crop_the_box_is_the_whole_source() -> None:
    augment = Augment.parse("hflip")
    assert not augment.source_crop
    np.testing.assert_array_equal(augment.boxes(np.arange(1), [[48, 64]], seed=0, epoch=0), [[0, 0, 48, 64]])
