"""Maps of whole sets: against scikit-learn, reproducible, readable with a thousand classes."""

import csv
import io
import sys
import types
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch import nn

from striate.data.dataset import ArrayImages, Split
from striate.data.preprocess import Preprocess
from striate.data.sources import open_dataset
from striate.errors import ArtefactError, MissingExtra, UnknownName, UsageError
from striate.look.sets.embedding import embed, principal
from striate.look.sets.features import Features, last_features
from striate.look.sets.picture import COLOURED, draw_embedding
from striate.look.trace import trace
from striate.models.registry import create_model, entry

SIX = ("lenet5", "cifar_resnet20", "squeezenet1_1", "mobilenet_v2_0.35", "shufflenet_v2_x0_5", "capsnet_mnist")


def split_of(n: int, labels: NDArray[np.int64], channels: int = 1, side: int = 8) -> Split:
    pixels = np.random.default_rng(0).integers(0, 256, (n, side, side, channels), dtype=np.uint8)
    return Split(ArrayImages(pixels), labels, tuple(f"image,{i}" for i in range(n)))


def features(n: int, d: int, classes: int = 3, seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    values = (rng.normal(size=(classes, d))[labels] * 3 + rng.normal(size=(n, d))).astype(np.float32)
    return Features(values, split_of(n, labels), tuple(f"class {i}" for i in range(classes)), "fc", n)


@given(st.integers(3, 40), st.integers(2, 40), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_principal_components_are_those_of_scikit_learn(n: int, d: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(n, d)) * np.linspace(1, 5, d)
    ours, theirs = principal(values, 2), PCA(2, svd_solver="full").fit(values)
    points = theirs.transform(values)
    signs = np.sign((ours.points * points).sum(0))
    np.testing.assert_allclose(ours.points, points * signs, atol=1e-7)
    np.testing.assert_allclose(ours.shares, theirs.explained_variance_ratio_, atol=1e-9)


def test_images_that_are_all_the_same_are_one_point() -> None:
    found = principal(np.ones((5, 3)), 2)
    assert not found.points.any()
    assert found.shares.tolist() == [0.0, 0.0]
    assert principal(np.arange(4.0)[:, None], 2).points.shape == (4, 2)


def test_tsne_is_scikit_learns_on_the_first_components() -> None:
    some = features(40, 60)
    ours = embed(some, "tsne", seed=3, perplexity=8)
    first = principal(some.values, 40).points
    theirs = TSNE(perplexity=8, init="pca", random_state=3).fit_transform(first)
    np.testing.assert_array_equal(ours.points, np.asarray(theirs, dtype=np.float64))
    assert ours.shares is None


def test_umap_is_asked_for_politely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtra, match=r"pip install 'striate\[umap\]'"):
        embed(features(20, 4), "umap", perplexity=5)
    asked: dict[str, Any] = {}

    class UMAP:
        def __init__(self, **words: Any) -> None:
            asked.update(words)

        def fit_transform(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
            return x[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    assert embed(features(20, 4), "umap", seed=7, perplexity=10).points.shape == (20, 2)
    assert asked == {"n_neighbors": 10, "random_state": 7, "n_jobs": 1}
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(MissingExtra, match=r"striate\[tsne\]"):
        embed(features(20, 4), "tsne", perplexity=5)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_the_same_seed_gives_the_same_map(method: str) -> None:
    some = features(30, 10)
    a, b = (embed(some, method, seed=4, perplexity=5).points for _ in range(2))
    assert np.array_equal(a, b)


def test_mistakes_are_told() -> None:
    with pytest.raises(UnknownName, match="did you mean 'tsne'"):
        embed(features(9, 3), "tsn")
    with pytest.raises(UsageError, match="4 images are too few for tsne"):
        embed(features(4, 3), "tsne")
    with pytest.raises(UsageError, match="perplexity = 30 for 9 images"):
        embed(features(9, 3), "tsne")


@pytest.mark.parametrize("name", SIX)
def test_features_are_what_the_head_is_given(name: str) -> None:
    torch.manual_seed(0)
    known, model = entry(name), create_model(name).train()
    side = known.input[1] if known.fixed_size else max(known.smallest, 48)
    order: Any = "gray" if known.input[0] == 1 else "rgb"
    levels = ((0.5,), (0.5,)) if known.input[0] == 1 else ((0.5,) * 3, (0.5,) * 3)
    prepare = Preprocess(size=(side, side), order=order, mean=levels[0], std=levels[1])
    split = split_of(5, np.zeros(5, np.int64), known.input[0], side)
    found = last_features(model, split, prepare, classes=["a", "b"], batch=2, workers=0)
    assert found.head == known.head
    assert all(part.training for part in model.modules())
    given: list[torch.Tensor] = []
    with trace(model.eval()):
        model.get_submodule(known.head).register_forward_pre_hook(lambda _, x: given.append(x[0].detach()))
        with torch.no_grad():
            model(prepare([split.images.read(i) for i in range(5)]))
    expected = given[0].mean((2, 3)) if given[0].ndim == 4 else given[0].flatten(1)
    np.testing.assert_allclose(found.values, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_of_many_images_some_are_drawn_by_the_seed() -> None:
    data = open_dataset("digits")
    model, prepare = create_model("lenet5"), Preprocess(size=(32, 32), order="gray", mean=(0.5,), std=(0.5,))

    def keys(seed: int) -> tuple[str, ...]:
        some = last_features(model, data.split("test"), prepare, classes=data.classes, most=12, seed=seed, workers=0)
        assert (len(some.values), some.of) == (12, 360)
        return some.split.keys

    assert keys(1) == keys(1)
    assert keys(1) != keys(2)


def test_a_feature_that_is_not_finite_is_told_with_its_image() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(64, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(torch.where(x.flatten(1).mean() < 1e9, torch.nan, 0.0) * x.flatten(1))  # type: ignore[no-any-return]

    prepare = Preprocess(size=(8, 8), order="gray", mean=(0.5,), std=(0.5,))
    with pytest.raises(ArtefactError, match="the features of 'image,0' are not finite"):
        last_features(Broken(), split_of(3, np.zeros(3, np.int64)), prepare, classes=["a"], workers=0)


def test_coordinates_come_back_from_the_file() -> None:
    found = embed(features(12, 4), "pca")
    rows = list(csv.DictReader(io.StringIO(found.to_csv(), newline="")))
    assert [row["key"] for row in rows] == list(found.features.split.keys)
    assert np.array_equal([[float(row["x"]), float(row["y"])] for row in rows], found.points)
    told = found.to_json()
    assert [one["class"] for one in told["points"]] == [row["class"] for row in rows]
    assert told["features"] == {"given_to": "fc", "size": 4}


def test_a_thousand_classes_leave_a_legend_that_fits() -> None:
    n = 2000
    labels = np.sort(np.minimum(np.random.default_rng(0).geometric(0.01, n) - 1, 999))
    names = tuple(f"{i} $a$ long {'x' * 40}" for i in range(1000))
    some = Features(
        np.random.default_rng(1).normal(size=(n, 5)).astype(np.float32), split_of(n, labels), names, "fc", n
    )
    figure = draw_embedding(embed(some), "who")
    (legend,) = figure.legends
    figure.canvas.draw()
    box = legend.get_window_extent()
    assert len(legend.get_texts()) == COLOURED + 1
    counts = np.sort(np.bincount(labels))[::-1]
    rest = f"{(counts[COLOURED:] > 0).sum()} others  ({counts[COLOURED:].sum():,})"
    assert legend.get_texts()[-1].get_text() == rest
    assert box.x1 < figure.bbox.x1
    assert box.y0 > 0


def test_it_shows_itself_with_thumbnails_or_points() -> None:
    found = embed(features(30, 4))
    with Image.open(io.BytesIO(found._repr_png_()), formats=["PNG"]) as picture:
        assert min(picture.size) > 500
    plain, filled = (draw_embedding(found, thumbnails=yes).axes[0].artists for yes in (False, True))
    assert (len(plain), len(filled) > 5) == (0, True)
