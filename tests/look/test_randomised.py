"""The randomised-weights test: rank correlations against scipy's, and who passes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr
from torch import Tensor, nn

from striate.data.decode import read_image
from striate.errors import ShapeError, UsageError
from striate.look.explain.methods import Method
from striate.look.explain.randomised import layers_with_weights, randomise, rank_correlation
from striate.run.classifier import load
from tests.look.planted import CLASSES, planted
from tests.look.test_class_activation import state_of

values = arrays(np.float64, 12, elements=st.integers(-3, 3).map(float))


@settings(max_examples=100, deadline=None)
@given(values, values)
def test_rank_correlation_is_spearmans(a: np.ndarray, b: np.ndarray) -> None:
    if len(set(a)) == 1 or len(set(b)) == 1:
        assert rank_correlation(a, b) == 0
    else:
        assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_gradcam_loses_its_map_with_the_weights(reader: nn.Sequential) -> None:
    x, y, _ = planted(20, seed=2)
    test = randomise(reader, x, CLASSES, y, Method("gradcam"), steps=4)
    print(f"\nGrad-CAM: rank correlations {[round(mean, 2) for mean in test.means]} down to {test.layers}")
    assert test.layers == ("9", "5", "2", "0")
    assert test.shares == (0.25, 0.5, 0.75, 1.0)
    assert max(abs(mean) for mean in test.means[1:]) < 0.5
    assert test.warning is None


def edges(module: nn.Module, x: Tensor, classes: int, target: Tensor) -> Tensor:
    """A planted fault: a map of the image that never asks the network."""
    return (x[:, 0] - x[:, 0].roll(1, dims=2)).abs()


def test_a_map_that_never_asks_the_network_is_warned_of(reader: nn.Sequential) -> None:
    x, y, _ = planted(3, seed=2)
    test = randomise(reader, x, CLASSES, y, edges, steps=2)
    assert test.means == (1.0, 1.0)
    assert test.warning is not None
    assert "with the weights of all layers replaced by chance" in test.warning
    assert "(rank correlation 1.00)" in test.warning


def test_the_weights_are_lost_from_the_top_in_a_copy_and_the_same_seed_loses_them_alike(reader: nn.Sequential) -> None:
    x, y, _ = planted(2, seed=3)
    before, seen = state_of(reader), []

    def spy(module: nn.Module, x: Tensor, classes: int, target: Tensor) -> Tensor:
        parts = zip(reader, module, strict=True)
        seen.append(
            [
                i
                for i, (a, b) in enumerate(parts)
                if isinstance(a, nn.Conv2d | nn.Linear) and not torch.equal(a.weight, b.weight)
            ]
        )
        return x[:, 0]

    first = randomise(reader, x, CLASSES, y, Method("saliency"), steps=3, seed=7)
    randomise(reader, x, CLASSES, y, spy, steps=4)
    assert seen == [[], [9], [5, 9], [2, 5, 9], [0, 2, 5, 9]]
    assert state_of(reader) == before
    assert randomise(reader, x, CLASSES, y, Method("saliency"), steps=3, seed=7) == first
    assert randomise(reader, x, CLASSES, y, Method("saliency"), steps=3, seed=8) != first


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "warned"),
    [("gradcam", False), ("layercam", False), ("saliency", False), ("guided", True), ("deconvolution", True)],
)
def test_on_photographs_the_two_rules_that_draw_edges_are_warned_of(name: str, warned: bool, shared: Path) -> None:
    weights = shared / "weights" / "imagenet_mobilenet_v2_1.0_224_float32.safetensors"
    photographs = sorted((shared / "data" / "imagenet_samples" / "images").rglob("*.jpg"))[:4]
    if not weights.is_file() or not photographs:
        pytest.skip(f"needs {weights} and photographs beside it")
    net = load("mobilenet_v2", weights=weights)
    x = net.preprocess([read_image(path).pixels for path in photographs])
    with torch.no_grad():
        target = net.module(x).argmax(1)
    test = randomise(net.module, x, 1000, target, Method(name), steps=2)
    print(f"\n{name}: rank correlations {[round(mean, 2) for mean in test.means]}")
    assert (test.warning is not None) == warned


def test_many_steps_stop_at_each_layer_once(reader: nn.Sequential) -> None:
    x, y, _ = planted(1, seed=3)
    test = randomise(reader, x, CLASSES, y, edges, steps=50)
    assert test.layers == ("9", "5", "2", "0")
    assert layers_with_weights(reader, x) == ["0", "2", "5", "9"]


def test_what_has_no_weights_can_not_lose_them() -> None:
    with pytest.raises(ShapeError, match="no layer with weights"):
        randomise(nn.Sequential(nn.Flatten()), torch.zeros(1, 1, 2, 2), 4, torch.tensor([0]), edges)
    with pytest.raises(UsageError, match="steps = 0"):
        randomise(nn.Sequential(nn.Flatten()), torch.zeros(1, 1, 2, 2), 4, torch.tensor([0]), edges, steps=0)
