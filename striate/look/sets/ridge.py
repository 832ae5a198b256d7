"""A linear classifier from sums alone: ridge regression onto the classes, in one pass and bounded memory.

    z = (x - mean) / deviation        W = (ZᵀZ/n + penalty·I)⁻¹ ZᵀT/n        class = argmax (z W + share of class)

T (N, K) is 1 for the class of an image and 0 else, its mean taken off. All that is kept of the images are n, Σx, Σxxᵀ,
Σx·t and the number of each class.

Source: Hoerl & Kennard 1970, Technometrics 12:55; for classes, Hastie, Tibshirani & Friedman, The Elements of
Statistical Learning, section 4.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PENALTIES = tuple(10.0**i for i in range(-5, 3))  # relative to features of variance 1


@dataclass(eq=False)
class Sums:
    """What is added up over images with d features and one of K classes."""

    n: int
    x: Tensor  # (d,)
    xx: Tensor  # (d, d)
    xt: Tensor  # (d, K)
    classes: Tensor  # (K,)

    @classmethod
    def zero(cls, d: int, k: int) -> "Sums":
        wide = torch.float64
        return cls(0, torch.zeros(d, dtype=wide), torch.zeros(d, d, dtype=wide), torch.zeros(d, k, dtype=wide),
                   torch.zeros(k, dtype=wide))  # fmt: skip

    def add(self, x: Tensor, labels: Tensor) -> None:
        """Features (N, d) and classes (N,)."""
        x = x.double()
        self.n += len(x)
        self.x += x.sum(0)
        self.xx.addmm_(x.T, x)
        self.xt.index_add_(1, labels, x.T.contiguous())
        self.classes += torch.bincount(labels, minlength=len(self.classes))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.n + other.n, self.x + other.x, self.xx + other.xx, self.xt + other.xt,
                    self.classes + other.classes)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Linear:
    """Scores x·weight + bias, (N, K)."""

    weight: Tensor  # (d, K)
    bias: Tensor  # (K,)

    def __call__(self, x: Tensor) -> Tensor:
        return x.double() @ self.weight + self.bias


def solve(sums: Sums, penalties: Sequence[float] = PENALTIES) -> list[Linear]:
    """A classifier for each penalty; a feature that is always the same gets no weight."""
    n, mean, share = sums.n, sums.x / sums.n, sums.classes / sums.n
    covariance = sums.xx / n - mean[:, None] * mean
    variance = covariance.diagonal().clamp_min(0)
    # sums of squares carry about 16 digits: what is left after taking off the mean squared may be rounding alone
    varies = variance > 1e-12 * (sums.xx.diagonal() / n)
    scale = torch.where(varies, variance.clamp_min(torch.finfo(torch.float64).tiny).rsqrt(), 0.0)
    z = scale[:, None] * covariance * scale
    target = scale[:, None] * (sums.xt / n - mean[:, None] * share)
    found = []
    for penalty in penalties:
        lower = torch.linalg.cholesky(z + penalty * torch.eye(len(z), dtype=z.dtype))
        weight = scale[:, None] * torch.cholesky_solve(target, lower)
        found.append(Linear(weight, share - mean @ weight))
    return found
