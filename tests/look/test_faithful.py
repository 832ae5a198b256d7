"""Deletion and insertion: areas that are known by construction, and maps that are no better than chance."""

import pytest
import torch
from torch import Tensor, nn

from striate.errors import ShapeError, UsageError
from striate.look.explain.faithful import faithfulness
from striate.look.explain.methods import Method
from tests.look.planted import CLASSES, planted


class Counts(nn.Module):
    """The probability of class 1 is the share of the left half that is bright."""

    def forward(self, x: Tensor) -> Tensor:
        share = x[:, :, :, : x.shape[3] // 2].mean(dim=(1, 2, 3)).clamp(1e-6, 1 - 1e-6)
        return torch.stack([torch.zeros_like(share), torch.log(share / (1 - share))], dim=1)


def left(n: int = 2) -> Tensor:
    maps = torch.zeros(n, 8, 8)
    maps[:, :, :4] = 1
    return maps


def test_the_area_is_known_where_the_network_counts() -> None:
    x, target = torch.ones(2, 1, 8, 8), torch.tensor([1, 1])
    right_way = faithfulness(Counts(), x, 2, target, left(), steps=16)
    torch.testing.assert_close(right_way.deletion[0], (1 - torch.arange(17) / 8).clamp(min=0), atol=1e-5, rtol=0)
    torch.testing.assert_close(right_way.areas()["deletion"], torch.tensor([0.25, 0.25]), atol=1e-5, rtol=0)
    assert right_way.warning() is None
    wrong_way = faithfulness(Counts(), x, 2, target, 1 - left(), steps=16)
    torch.testing.assert_close(wrong_way.areas()["deletion"], torch.tensor([0.75, 0.75]), atol=1e-5, rtol=0)
    assert wrong_way.warning() is not None
    assert "no better than chance" in wrong_way.warning()


def test_curves_begin_and_end_at_the_image_and_at_nothing(reader: nn.Sequential) -> None:
    x, y, _ = planted(6, seed=4)
    found = faithfulness(reader, x, CLASSES, y, Method("gradcam")(reader, x, CLASSES, y), steps=7)
    with torch.no_grad():
        whole = reader(x).softmax(1).gather(1, y[:, None])[:, 0]
        empty = reader(torch.zeros_like(x)).softmax(1).gather(1, y[:, None])[:, 0]
    for curve in (found.deletion, found.deletion_by_chance):
        torch.testing.assert_close(curve[:, 0], whole)
        torch.testing.assert_close(curve[:, -1], empty)
    torch.testing.assert_close(found.insertion[:, -1], whole)
    torch.testing.assert_close(found.insertion[:, 0], found.insertion_by_chance[:, 0])
    assert found.deletion.shape == (6, 8)


def test_evidence_is_taken_away_sooner_than_by_chance(reader: nn.Sequential) -> None:
    x, y, _ = planted(20, seed=5)
    for name in ("gradcam", "layercam", "integrated"):
        areas = faithfulness(reader, x, CLASSES, y, Method(name)(reader, x, CLASSES, y), steps=16).areas()
        means = {which: float(area.mean()) for which, area in areas.items()}
        print(f"\n{name}: " + ", ".join(f"{which} {mean:.2f}" for which, mean in means.items()))
        assert means["deletion"] < means["deletion_by_chance"] - 0.1
        assert means["insertion"] > means["insertion_by_chance"] + 0.1


def test_a_flat_map_is_chance(reader: nn.Sequential) -> None:
    x, y, _ = planted(2, seed=4)
    found = faithfulness(reader, x, CLASSES, y, torch.zeros(2, 32, 32), steps=5)
    torch.testing.assert_close(found.deletion, found.deletion_by_chance)
    assert found.warning() is not None


def test_a_class_that_is_never_probable_is_not_judged() -> None:
    x, target = torch.full((1, 1, 8, 8), 0.01), torch.tensor([1])
    warning = faithfulness(Counts(), x, 2, target, left(1), steps=4).warning()
    assert warning is not None
    assert "tell nothing here" in warning


def test_maps_of_another_size_and_senseless_steps_are_refused(reader: nn.Sequential) -> None:
    x, y, _ = planted(2, seed=4)
    with pytest.raises(ShapeError, match=r"maps of shape \(2, 7, 7\)"):
        faithfulness(reader, x, CLASSES, y, torch.zeros(2, 7, 7))
    with pytest.raises(UsageError, match=r"steps = 2000; expected 1 to 1024"):
        faithfulness(reader, x, CLASSES, y, torch.zeros(2, 32, 32), steps=2000)
