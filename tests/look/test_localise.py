"""Boxes and outlines of maps, against counting pixels and against scipy's labels."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from striate.errors import ShapeError, UsageError
from striate.look.explain.localise import Box, enlarged, iou, locate, points_into

maps = arrays(
    np.float64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0.0, 0.2, 0.6, 1.0])
)
boxes = st.builds(Box, st.integers(0, 8), st.integers(0, 8), st.integers(1, 6), st.integers(1, 6))


def covered(box: Box) -> NDArray[np.bool_]:
    page = np.zeros((16, 16), bool)
    page[box.top : box.top + box.height, box.left : box.left + box.width] = True
    return page


@settings(max_examples=200, deadline=None)
@given(maps)
def test_the_place_is_the_largest_part_that_scipy_labels(one: NDArray[np.float64]) -> None:
    found = locate(one, 0.5)
    if one.max() == 0:
        assert found is None
        return
    assert found is not None
    labels, count = ndimage.label(one >= 0.5 * one.max())
    sizes = np.bincount(labels.ravel())[1:]
    assert count
    assert found.pixels == sizes.max()
    slices = [ndimage.find_objects(labels)[i] for i in np.flatnonzero(sizes == sizes.max())]
    assert found.box in [Box(r.start, c.start, r.stop - r.start, c.stop - c.start) for r, c in slices]
    assert one[found.peak] == one.max()


@settings(max_examples=200, deadline=None)
@given(maps)
def test_the_outline_goes_around_the_part_and_its_holes(one: NDArray[np.float64]) -> None:
    found = locate(one, 0.5)
    if found is None:
        return
    corners = np.array(found.outline)
    x, y = corners[:, 0], corners[:, 1]
    area = 0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))  # the shoelace formula; above 0: clockwise on a screen
    labels, _ = ndimage.label(one >= 0.5 * one.max())
    areas = [ndimage.binary_fill_holes(labels == k, np.ones((3, 3))).sum() for k in range(1, labels.max() + 1)]
    assert area in areas
    assert (x.min(), x.max()) == (found.box.left, found.box.left + found.box.width)
    assert (y.min(), y.max()) == (found.box.top, found.box.top + found.box.height)
    steps = np.abs(np.diff(corners, axis=0, append=corners[:1]))
    assert ((steps == 0).sum(axis=1) == 1).all()  # every side is upright or level, and none has length 0


def test_a_higher_share_never_gives_more_pixels() -> None:
    one = np.exp(-((np.indices((20, 30)) - np.array([8, 12])[:, None, None]) ** 2).sum(0) / 40)
    sizes = [locate(one, share).pixels for share in (0.1, 0.3, 0.5, 0.8, 1.0)]  # type: ignore[union-attr]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1
    assert locate(one, 1.0).peak == (8, 12)  # type: ignore[union-attr]


@given(boxes, boxes)
def test_iou_is_what_counting_pixels_gives(a: Box, b: Box) -> None:
    both, either = (covered(a) & covered(b)).sum(), (covered(a) | covered(b)).sum()
    assert iou(a, b) == pytest.approx(both / either)
    assert iou(a, b) == iou(b, a)


@given(maps, boxes, st.integers(0, 2))
def test_the_pointing_game_asks_whether_the_peak_is_in_the_box(
    one: NDArray[np.float64], box: Box, tolerance: int
) -> None:
    row, column = divmod(int(one.argmax()), one.shape[1])
    grown = np.pad(covered(box), 3)
    for _ in range(tolerance):
        grown = ndimage.binary_dilation(grown, np.ones((3, 3)))
    assert points_into(one, box, tolerance) == bool(one.max() > 0 and grown[row + 3, column + 3])


def test_a_map_is_enlarged_without_moving_its_middle() -> None:
    one = torch.zeros(1, 3, 3)
    one[0, 1, 1] = 1.0
    large = enlarged(one, (9, 9))[0]
    assert divmod(int(large.argmax()), 9) == (4, 4)
    torch.testing.assert_close(large, large.flip(0).flip(1))


def test_what_is_no_map_and_no_share_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"shape \(2, 3, 4\); expected \(H, W\)"):
        locate(np.zeros((2, 3, 4)))
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(UsageError, match="above 0 and at most 1"):
            locate(np.ones((2, 2)), share)
