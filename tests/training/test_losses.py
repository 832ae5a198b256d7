"""Losses against torch's own, against the formulas by hand in float64, and against finite differences."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from striate.training.losses import balanced_weights, expected_at_start, make_loss

KINDS = ["cross_entropy", "bce", "mse", "mse of one output"]
N = 7


def case(kind: str, seed: int = 0, mixed: bool = False) -> tuple[Tensor, Tensor, Tensor | None, int]:
    """Logits, labels, shares of mixed labels or None, classes; all in float64."""
    rng = torch.Generator().manual_seed(seed)
    one = kind in ("bce", "mse of one output")
    k = 2 if one else 4
    z = torch.randn(N, 1 if one else k, generator=rng, dtype=torch.float64) * 2
    labels = torch.randint(0, k, (N,), generator=rng)
    shares = None
    if mixed:
        keep = torch.rand(N, 1, generator=rng, dtype=torch.float64)
        other = torch.randint(0, k, (N,), generator=rng)
        shares = functional.one_hot(labels, k) * keep + functional.one_hot(other, k) * (1 - keep)
    return z, labels, shares, k


def by_hand(
    kind: str, z: Tensor, labels: Tensor, shares: Tensor | None, k: int, smoothing: float, w: list[float]
) -> float:
    """The formulas of the docstring, one image and one class at a time."""
    total = weight = 0.0
    for i in range(len(z)):
        t = [float(shares[i, c]) if shares is not None else float(labels[i] == c) for c in range(k)]
        t = [v * (1 - smoothing) + smoothing / k for v in t]
        row = [float(v) for v in z[i]]
        if len(row) == 1:
            p = [1 / (1 + math.exp(row[0])), 1 / (1 + math.exp(-row[0]))]
        else:
            p = [math.exp(v) / sum(map(math.exp, row)) for v in row]
        sample = sum(t[c] * w[c] for c in range(k))
        if kind == "cross_entropy":
            total += sum(-w[c] * t[c] * math.log(p[c]) for c in range(k))
        elif kind == "bce":
            total += sample * -(t[1] * math.log(p[1]) + t[0] * math.log(p[0]))
        elif kind == "mse":
            total += sample * sum((p[c] - t[c]) ** 2 for c in range(k)) / k
        else:
            total += sample * (p[1] - t[1]) ** 2
        weight += sample
    return total / weight


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mixed", [False, True])
def test_every_loss_is_its_formula_and_its_gradient_the_finite_difference(
    kind: str, smoothing: float, weighted: bool, mixed: bool
) -> None:
    z, labels, shares, k = case(kind, mixed=mixed)
    w = [0.5, 2.0, 1.0, 3.5][:k]
    weights = torch.tensor(w) if weighted else None
    loss = make_loss(kind.split()[0], k, smoothing=smoothing, weights=weights)  # type: ignore[arg-type]
    expected = by_hand(kind, z, labels, shares, k, smoothing, w if weighted else [1.0] * k)
    assert float(loss(z, labels, shares)) == pytest.approx(expected, rel=1e-12)

    z.requires_grad_()
    (gradient,) = torch.autograd.grad(loss(z, labels, shares), z)
    step = 1e-6
    for i, j in itertools.product(range(2), range(z.shape[1])):
        moved = [z.detach().clone() for _ in range(2)]
        moved[0][i, j] += step
        moved[1][i, j] -= step
        up, down = (float(loss(m, labels, shares)) for m in moved)
        assert float(gradient[i, j]) == pytest.approx((up - down) / (2 * step), abs=1e-8)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_is_torchs_own(smoothing: float) -> None:
    z, labels, _, k = case("cross_entropy")
    found = make_loss("cross_entropy", k, smoothing=smoothing)(z, labels, None)
    assert torch.equal(found, functional.cross_entropy(z, labels, label_smoothing=smoothing))


def test_cross_entropy_of_mixed_labels_is_torchs_own() -> None:
    z, labels, shares, k = case("cross_entropy", mixed=True)
    assert shares is not None
    for smoothing in (0.0, 0.2):
        found = make_loss("cross_entropy", k, smoothing=smoothing)(z, labels, shares)
        expected = functional.cross_entropy(z, shares, label_smoothing=smoothing)
        assert float(found) == pytest.approx(float(expected), rel=1e-12)


def test_weighted_cross_entropy_is_torchs_own() -> None:
    z, labels, _, k = case("cross_entropy")
    weights = torch.tensor([0.5, 2.0, 1.0, 3.5])
    found = make_loss("cross_entropy", k, weights=weights)(z, labels, None)
    expected = functional.cross_entropy(z, labels, weights.double())
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


def test_one_logit_is_torchs_own() -> None:
    z, labels, _, _ = case("bce")
    found = make_loss("bce", 2)(z, labels, None)
    assert torch.equal(found, functional.binary_cross_entropy_with_logits(z[:, 0], labels.double()))


def test_squared_error_is_torchs_own() -> None:
    z, labels, _, k = case("mse")
    found = make_loss("mse", k)(z, labels, None)
    expected = functional.mse_loss(z.softmax(1), functional.one_hot(labels, k).double())
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("kind", ["cross_entropy", "mse"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_two_logits_and_one_are_the_same_classifier(kind: str, smoothing: float) -> None:
    """softmax(0, z) = (1 - sigmoid(z), sigmoid(z)), so the losses of both heads agree."""
    z, labels, _, _ = case("bce")
    two = torch.cat([torch.zeros_like(z), z], 1)
    single = make_loss("bce" if kind == "cross_entropy" else "mse", 2, smoothing=smoothing)(z, labels, None)
    double = make_loss(kind, 2, smoothing=smoothing)(two, labels, None)  # type: ignore[arg-type]
    assert float(single) == pytest.approx(float(double), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_shares_of_one_class_are_its_label(kind: str) -> None:
    z, labels, _, k = case(kind)
    for smoothing, weights in ((0.0, None), (0.1, None), (0.1, torch.tensor([0.5, 2.0, 1.0, 3.0][:k]))):
        loss = make_loss(kind.split()[0], k, smoothing=smoothing, weights=weights)  # type: ignore[arg-type]
        whole = functional.one_hot(labels, k).float()
        assert float(loss(z, labels, whole)) == pytest.approx(float(loss(z, labels, None)), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_weights_weigh_nothing(kind: str) -> None:
    z, labels, shares, k = case(kind, mixed=True)
    plain = make_loss(kind.split()[0], k)(z, labels, shares)  # type: ignore[arg-type]
    for weight in (1.0, 0.01, 300.0):
        found = make_loss(kind.split()[0], k, weights=torch.full((k,), weight))(z, labels, shares)  # type: ignore[arg-type]
        assert float(found) == pytest.approx(float(plain), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sure_and_right_answer_costs_nothing_and_a_wrong_one_is_still_finite(kind: str) -> None:
    _, labels, _, k = case(kind)
    sure = torch.where(functional.one_hot(labels, k).bool(), 500.0, -500.0)
    z = sure[:, 1:] if "one" in kind or kind == "bce" else sure
    loss = make_loss(kind.split()[0], k)  # type: ignore[arg-type]
    assert float(loss(z, labels, None)) == pytest.approx(0, abs=1e-6)
    assert float(loss(-z, labels, None)) > 0.2
    assert math.isfinite(float(loss(-z, labels, None)))


@pytest.mark.parametrize(("kind", "classes", "outputs"), [
    ("cross_entropy", 2, 2), ("cross_entropy", 10, 10), ("cross_entropy", 1000, 1000), ("bce", 2, 1),
    ("mse", 2, 1), ("mse", 2, 2), ("mse", 10, 10),
])  # fmt: skip
def test_the_loss_of_a_network_that_knows_nothing_is_known(kind: str, classes: int, outputs: int) -> None:
    labels = torch.arange(classes)
    found = make_loss(kind, classes)(torch.zeros(classes, outputs), labels, None)  # type: ignore[arg-type]
    assert expected_at_start(kind, classes) == pytest.approx(float(found), rel=1e-6)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 10_000), min_size=2, max_size=10))
def test_balanced_weights_give_every_class_the_same_say(counts: list[int]) -> None:
    weights = balanced_weights(torch.tensor(counts)).double().numpy()
    says = weights * np.array(counts)
    assert np.allclose(says, says[0], rtol=1e-6)
    assert says.sum() == pytest.approx(sum(counts), rel=1e-6)  # so that a learning rate means the same as before


def test_a_class_without_images_gets_a_finite_weight() -> None:
    assert torch.isfinite(balanced_weights(torch.tensor([5, 0, 3]))).all()
