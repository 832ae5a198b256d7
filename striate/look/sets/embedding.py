"""A map of a data set: each image a point, near those that the network finds alike.

PCA is a projection, and the distances on it are true as far as its share of the variance goes. t-SNE and UMAP keep
neighbours together; on their maps the size of a cluster and the distance between two say nothing.

Source: Pearson 1901; van der Maaten & Hinton 2008, JMLR 9:2579; McInnes, Healy & Melville 2018, arXiv:1802.03426.
"""

import csv
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.errors import MissingExtra, UnknownName, UsageError, suggest
from striate.look.sets.features import Features

METHODS = ("pca", "tsne", "umap")
FIRST = 50  # principal components that t-SNE and UMAP are given, as in van der Maaten & Hinton
PERPLEXITY = 30.0
Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Principal:
    """The directions in which points differ most."""

    points: Points  # (N, k), centred
    shares: Points  # (k,) of the whole variance


@dataclass(frozen=True, eq=False)
class Embedding:
    """Where each image of the features lies on the map."""

    method: str
    points: Points  # (N, 2)
    shares: tuple[float, float] | None  # of the variance, with PCA
    features: Features
    seed: int

    def to_csv(self) -> str:
        """A line an image: key, class, x, y; UTF-8, RFC 4180."""
        text = io.StringIO(newline="")
        rows = csv.writer(text)
        rows.writerow(["key", "class", "x", "y"])
        split, classes = self.features.split, self.features.classes
        for key, label, (x, y) in zip(split.keys, split.labels.tolist(), self.points.tolist(), strict=True):
            rows.writerow([key, classes[label], repr(x), repr(y)])
        return text.getvalue()

    def to_json(self) -> dict[str, Any]:
        """The same, and how it was made."""
        split, classes = self.features.split, self.features.classes
        return {
            "method": self.method,
            "features": {"given_to": self.features.head, "size": self.features.values.shape[1]},
            "images": len(split),
            "of": self.features.of,
            "seed": self.seed,
            "shares_of_variance": self.shares,
            "points": [
                {"key": key, "class": classes[label], "x": x, "y": y}
                for key, label, (x, y) in zip(split.keys, split.labels.tolist(), self.points.tolist(), strict=True)
            ],
        }

    def _repr_png_(self) -> bytes:
        from striate.look.png import figure_png
        from striate.look.sets.picture import draw_embedding

        return figure_png(draw_embedding(self))


def principal(values: NDArray[np.floating], k: int) -> Principal:
    """Points (N, d) -> their first k principal components; where there are fewer, the rest is zero.

    Each direction is turned so that its largest weight is positive.

    >>> found = principal(np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), 2)
    >>> found.points[:, 0].round(3).tolist(), found.shares.round(3).tolist()
    ([-1.414, 0.0, 1.414], [1.0, 0.0])
    """
    x = np.asarray(values, dtype=np.float64)
    x = x - x.mean(axis=0)
    n, d = x.shape
    if d <= n:
        squares, directions = np.linalg.eigh(x.T @ x)
        directions = directions[:, ::-1][:, :k]
    else:  # the smaller of the two matrices has the same eigenvalues
        squares, left = np.linalg.eigh(x @ x.T)
        directions = x.T @ left[:, ::-1][:, :k]
        directions /= np.maximum(np.linalg.norm(directions, axis=0), np.finfo(np.float64).tiny)
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])]
    points = x @ (directions * np.where(largest < 0, -1.0, 1.0))
    kept, total = squares[::-1][:k].clip(0), float((x * x).sum())
    shares = kept / total if total > 0 else np.zeros_like(kept)
    missing = k - points.shape[1]
    return Principal(np.pad(points, ((0, 0), (0, max(0, missing)))), np.pad(shares, (0, max(0, missing))))


def embed(features: Features, method: str = "pca", *, seed: int = 0, perplexity: float = PERPLEXITY) -> Embedding:
    """A map of the features in two dimensions; the same seed gives the same one.

    `perplexity` is about the number of neighbours that t-SNE and UMAP look at.

    Raises: UnknownName; MissingExtra where scikit-learn or umap-learn is not installed; UsageError for too few images.
    """
    if method not in METHODS:
        raise UnknownName(
            f"no method is called {method!r}{suggest(method, METHODS, 'there are ' + ', '.join(METHODS))}"
        )
    n = len(features.values)
    if method == "pca":
        found = principal(features.values, 2)
        return Embedding(method, found.points, (float(found.shares[0]), float(found.shares[1])), features, seed)
    if n < 5:
        raise UsageError(f"{n} images are too few for {method}, which looks at neighbours; it needs 5, or use pca")
    if not 1 <= perplexity < n:
        raise UsageError(f"perplexity = {perplexity:g} for {n} images; expected from 1 to below their number")
    first = principal(features.values, min(FIRST, n, features.values.shape[1])).points
    points = (_tsne if method == "tsne" else _umap)(first, seed, perplexity)
    return Embedding(method, np.asarray(points, dtype=np.float64), None, features, seed)


def _tsne(points: Points, seed: int, perplexity: float) -> Any:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise MissingExtra("t-SNE comes from scikit-learn; `pip install 'striate[tsne]'` brings it") from error
    return TSNE(perplexity=min(perplexity, (len(points) - 1) / 3), init="pca", random_state=seed).fit_transform(points)


def _umap(points: Points, seed: int, perplexity: float) -> Any:
    try:
        from umap import UMAP
    except ImportError as error:
        raise MissingExtra("UMAP comes from umap-learn; `pip install 'striate[umap]'` brings it") from error
    neighbours = max(2, min(round(perplexity), len(points) - 1))
    return UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1).fit_transform(points)
