"""How much of the image can be read off maps: nothing, all, and in between; against a fit written out."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from striate.look.activations.retained import INTERCEPT, STRENGTHS, Thumbnail


def picture(seed: int = 0, side: int = 56) -> Tensor:
    """Smooth, as photographs are."""
    noise = torch.randn(3, 9, 9, generator=torch.Generator().manual_seed(seed))
    return functional.interpolate(noise[None], (side, side), mode="bicubic")[0]


def test_all_of_the_image_is_read_off_the_image() -> None:
    image = picture()
    assert Thumbnail(image).retained(image) > 0.99
    assert Thumbnail(image).retained(functional.avg_pool2d(image, 4)) > 0.99


@pytest.mark.parametrize("side", [2, 4, 5, 7, 8, 11, 14, 20, 28])
def test_nothing_is_read_off_noise_however_many_channels_it_has(side: int) -> None:
    g = torch.Generator().manual_seed(side)
    told = [Thumbnail(picture()).retained(torch.randn(200, side, side, generator=g)) for _ in range(3)]
    assert np.mean(told) < 0.05


def test_a_layer_that_mixes_and_scales_channels_loses_nothing_of_it() -> None:
    image = picture(1)
    mixed = torch.einsum("oc,chw->ohw", torch.tensor([[1.0, 2, -1], [0, 1, 1], [3, 0, 1]]), image) + 7
    assert Thumbnail(image).retained(mixed * torch.tensor([1.0, 1e-3, 1e3]).view(3, 1, 1)) > 0.99


def test_what_is_lost_is_missing() -> None:
    image = picture(2)
    red_alone = Thumbnail(image).retained(image[:1])
    assert 0.2 < red_alone < 0.8  # a third of the variance, and what of the others goes with it
    coarse = [Thumbnail(image).retained(functional.adaptive_avg_pool2d(image, side)) for side in (14, 7, 4, 2)]
    assert coarse == sorted(coarse, reverse=True)
    assert coarse[-1] < 0.7


def test_a_layer_that_knows_the_place_alone_does_as_well_as_is_said() -> None:
    thumbnail = Thumbnail(picture(3))
    y, x = torch.meshgrid(torch.linspace(-1, 1, 14), torch.linspace(-1, 1, 14), indexing="ij")
    powers = torch.stack([y**i * x**j for i in range(5) for j in range(5 - i)][1:])
    assert thumbnail.by_place is not None
    assert thumbnail.retained(powers) == pytest.approx(thumbnail.by_place, abs=0.1)


def test_it_is_the_share_predicted_by_ridges_fitted_without_each_block() -> None:
    """The same with 49 fits for each strength, one after the other, in primal form."""
    image = picture(4)
    maps = functional.adaptive_avg_pool2d(image, 14).relu()
    told = maps.double().flatten(1)
    told = ((told - told.mean(1, keepdim=True)) / told.std(1, correction=0, keepdim=True)).T.numpy()
    colours = functional.adaptive_avg_pool2d(image, 14).double().flatten(1).T.numpy()
    colours = colours - colours.mean(0)
    block = (np.arange(14) // 2)[:, None] * 7 + np.arange(14) // 2
    features = np.hstack([told / np.sqrt((told**2).sum() / 196), np.full((196, 1), np.sqrt(INTERCEPT))])
    best = 0.0
    for strength in STRENGTHS:
        wrong = 0.0
        for k in range(49):
            out = block.ravel() == k
            a = features[~out]
            w = np.linalg.solve(a.T @ a + strength * np.eye(a.shape[1]), a.T @ colours[~out])
            wrong += ((colours[out] - features[out] @ w) ** 2).sum()
        best = max(best, 1 - wrong / (colours**2).sum())
    assert Thumbnail(image).retained(maps) == pytest.approx(best, abs=1e-4)


def test_where_nothing_can_be_said_nothing_is() -> None:
    flat = Thumbnail(torch.ones(3, 32, 32))
    assert flat.by_place is None
    assert flat.retained(torch.randn(4, 8, 8)) is None
    assert Thumbnail(picture()).retained(torch.randn(4, 1, 1)) is None
    assert Thumbnail(picture()).retained(torch.full((4, 8, 8), torch.nan)) is None
    assert Thumbnail(picture()).retained(torch.zeros(4, 8, 8)) == 0
    assert Thumbnail(torch.randn(1, 3, 32)).retained(torch.randn(4, 3, 8)) is None
