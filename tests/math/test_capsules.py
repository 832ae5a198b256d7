import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor

from striate.errors import ShapeError, UsageError
from striate.math import capsule_lengths, class_mask, primary_capsules, routing, squash
from striate.models import capsnet
from tests.math.compare import Array, assert_near, autograd, normal, slopes
from tests.math.conftest import drawn

SEED = st.integers(0, 2**32 - 1)


@drawn(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.sampled_from([0.01, 1, 10]), SEED)
def test_squash_is_torchs_and_shorter_than_one(shape: list[int], spread: float, seed: int) -> None:
    s = spread * normal(seed, *shape)
    v, g, (ds,) = autograd(capsnet.squash, s, seed=seed)
    assert_near(squash.forward(s), v)
    assert np.abs(squash.backward(g, s) - ds).max() <= 1e-10 * np.abs(ds).max() + 1e-15 * np.abs(g).max()
    assert (np.linalg.norm(squash.forward(s), axis=-1) < 1).all()


def test_squash_is_equation_1() -> None:
    s = normal(0, 5, 3)
    norm = np.linalg.norm(s, axis=-1, keepdims=True)
    assert_near(squash.forward(s), norm**2 / (1 + norm**2) * s / norm)


def test_a_capsule_of_zeros_has_a_gradient() -> None:
    assert np.isfinite(squash.backward(np.ones((1, 3)), np.zeros((1, 3)))).all()


@drawn(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), SEED)
def test_primary_capsules_are_those_of_the_zoo(kinds: int, d: int, h: int, w: int, seed: int) -> None:
    x = normal(seed, 2, kinds * d, h, w)
    v, g, (dx,) = autograd(capsnet.PrimaryCapsules(d), x, seed=seed)
    assert_near(primary_capsules.forward(x, d), v)
    assert np.abs(primary_capsules.backward(g, x, d) - dx).max() <= 1e-10 * np.abs(dx).max() + 1e-15 * np.abs(g).max()


def routed(u: Tensor, w: Tensor, rounds: int, constant: bool = False) -> Tensor:
    """Procedure 1 of the paper; with `constant`, the coefficients of the last round carry no gradient."""
    p = torch.einsum("ijed,nid->nije", w, u)
    b = torch.zeros_like(p[..., 0])
    for _ in range(rounds):
        c = b.softmax(-1)
        v = capsnet.squash(((c.detach() if constant else c)[..., None] * p).sum(1))
        b = b + (p * v[:, None]).sum(-1)
    return v


@drawn(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), SEED)
def test_routing_is_torchs_and_its_gradient_flows_through_every_round(
    i: int, j: int, e: int, d: int, rounds: int, seed: int
) -> None:
    u, w = normal(seed, 2, i, d), normal(seed + 1, i, j, e, d)
    v, g, gradients = autograd(lambda u, w: routed(u, w, rounds), u, w, seed=seed)
    assert_near(routing.forward(u, w, rounds), v)
    floor = 1e-14 * np.abs(g).max()
    for ours, theirs in zip(routing.backward(g, u, w, rounds), gradients, strict=True):
        assert np.abs(ours - theirs).max() <= 1e-10 * np.abs(theirs).max() + floor
    _, _, constant = autograd(lambda u, w: routed(u, w, rounds, constant=True), u, w, seed=seed)
    for ours, theirs in zip(routing.backward_with_constant_coefficients(g, u, w, rounds), constant, strict=True):
        assert np.abs(ours - theirs).max() <= 1e-10 * np.abs(theirs).max() + floor


def test_it_is_the_layer_of_the_zoo() -> None:
    layer = capsnet.DigitCapsules(6, 4, 3, 5).double()
    u, w = normal(0, 2, 6, 4), layer.weight.detach().numpy()
    v, g, (du,) = autograd(layer, u)
    assert_near(routing.forward(u, w), v)
    assert_near(routing.backward(g, u, w)[0], du)


def test_the_two_gradients_differ_from_the_second_round_on() -> None:
    u, w, g = normal(0, 2, 4, 3), normal(1, 4, 3, 2, 3), normal(2, 2, 3, 2)
    for rounds, equal in ((1, True), (2, False), (3, False)):
        through = routing.backward(g, u, w, rounds)[1]
        assert np.allclose(through, routing.backward_with_constant_coefficients(g, u, w, rounds)[1]) == equal


def by_loops(u: Array, w: Array, rounds: int) -> Array:
    n, (i, j, e, _) = len(u), w.shape
    v = np.zeros((n, j, e))
    for image in range(n):
        b = np.zeros((i, j))
        for _ in range(rounds):
            s = np.zeros((j, e))
            for a in range(i):
                c = np.exp(b[a]) / np.exp(b[a]).sum()
                for k in range(j):
                    s[k] += c[k] * (w[a, k] @ u[image, a])
            for k in range(j):
                length = np.sqrt(s[k] @ s[k])
                v[image, k] = length**2 / (1 + length**2) * s[k] / length
                for a in range(i):
                    b[a, k] += (w[a, k] @ u[image, a]) @ v[image, k]
    return v


def test_routing_is_that_of_a_loop_over_capsules() -> None:
    u, w = normal(0, 2, 5, 3), normal(1, 5, 4, 2, 3)
    assert_near(routing.forward(u, w, 3), by_loops(u, w, 3))


def test_coefficients_add_up_to_one_and_sharpen() -> None:
    rounds = routing.route(routing.predictions(normal(0, 2, 5, 3), normal(1, 5, 4, 2, 3)), 3)
    assert [round_.c.shape for round_ in rounds] == [(2, 5, 4)] * 3
    assert_near(rounds[2].c.sum(-1), np.ones((2, 5)))
    assert rounds[0].c.std() == pytest.approx(0)
    assert rounds[0].c.max() < rounds[1].c.max() < rounds[2].c.max()


@drawn(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), SEED)
def test_lengths_and_their_logits_are_the_zoos(n: int, j: int, e: int, seed: int) -> None:
    v = squash.forward(normal(seed, n, j, e))
    length, g, (dv,) = autograd(lambda v: (v.square().sum(-1) + 1e-12).sqrt(), v, seed=seed)
    assert_near(capsule_lengths.forward(v), length)
    assert_near(capsule_lengths.backward(g, v), dv)
    y, g, (dv,) = autograd(capsnet.Presence(), v, seed=seed)
    assert np.abs(capsule_lengths.forward_logit(v) - y).max() <= 1e-10
    assert_near(capsule_lengths.backward_logit(g, v), dv)


def test_a_length_out_of_bounds_gets_no_gradient_through_its_logit() -> None:
    v = np.array([[[0.0, 0.0], [3.0, 4.0], [0.3, 0.4]]])
    y, g, (dv,) = autograd(capsnet.Presence(), v)
    assert_near(capsule_lengths.forward_logit(v), y)
    assert_near(capsule_lengths.backward_logit(g, v), dv)
    assert capsule_lengths.backward_logit(g, v)[0, :2].tolist() == [[0, 0], [0, 0]]


def test_gradients_are_slopes() -> None:
    u, w = normal(0, 2, 3, 2), normal(1, 3, 2, 2, 2)
    g = normal(2, 2, 2, 2)
    for ours, slope in zip(routing.backward(g, u, w), slopes(routing.forward, g, (u, w)), strict=True):
        assert_near(ours, slope, 1e-7)
    assert_near(squash.backward(g, u[:, :2]), slopes(squash.forward, g, (u[:, :2],))[0], 1e-7)
    v, gv = squash.forward(u), g[:, 0, :1] * normal(5, 2, 3)
    assert_near(capsule_lengths.backward(gv, v), slopes(capsule_lengths.forward, gv, (v,))[0], 1e-7)
    assert_near(capsule_lengths.backward_logit(gv, v), slopes(capsule_lengths.forward_logit, gv, (v,))[0], 1e-7)
    x, gx = normal(3, 1, 4, 2, 1), normal(4, 1, 4, 2)
    assert_near(
        primary_capsules.backward(gx, x, 2), slopes(lambda x: primary_capsules.forward(x, 2), gx, (x,))[0], 1e-7
    )


def test_only_the_capsule_of_the_class_is_left() -> None:
    v, labels = normal(0, 3, 4, 2), np.array([2, 0, 3])
    hot = torch.nn.functional.one_hot(torch.from_numpy(labels), 4)[..., None]
    y, g, (dv,) = autograd(lambda v: v * hot, v)
    assert_near(class_mask.forward(v, labels), y, 0)
    assert_near(class_mask.backward(g, labels), dv, 0)


def test_counts_of_operations() -> None:
    assert squash.operations((2, 3, 4)) == 3 * 24 + 4 * 6
    assert primary_capsules.operations((1, 8, 2, 2), 4) == squash.operations((1, 8, 4))
    assert capsule_lengths.operations((2, 3, 4)) == 2 * 24 + 6
    assert routing.macs((1, 1152, 8), (1152, 10, 16, 8), 1) == 1152 * 10 * 16 * 9  # predictions and one sum


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"expects \(N, I, D\) = \(N, 3, 2\)"):
        routing.forward(np.zeros((1, 4, 2)), np.zeros((3, 2, 2, 2)))
    with pytest.raises(UsageError, match="0 rounds"):
        routing.forward(np.zeros((1, 3, 2)), np.zeros((3, 2, 2, 2)), 0)
    with pytest.raises(ShapeError, match="6 channels can't be divided into capsules of 4"):
        primary_capsules.forward(np.zeros((1, 6, 1, 1)), 4)
