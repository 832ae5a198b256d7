"""The terms of units that read one value, or its neighbours in depth: norms, activations, moves, LeNet's own layers.

A rule is given a layer, its input x (1, ...) and the place of the unit in its output.
"""

from math import exp, log, sqrt
from typing import Any

import numpy as np
import torch
from torch import nn

from striate.look.by_hand.layers import LAYERS
from striate.look.by_hand.tape import Place, Walk
from striate.look.units.terms import At, Terms, changed, double, grid, look_up, numbers, one_value, weighted
from striate.math.arrays import Array
from striate.math.local_response_norm import paper_alpha


def activation(layer: nn.Module, x: float) -> tuple[float, float]:
    """f(x) of an activation, by its formula in `math/`, and its derivative."""
    rule = LAYERS[type(layer)]
    y, back = rule(Place(Walk(), "", layer), np.array([x]))
    return float(y[0]), float(back(np.array([1.0]))[0][0])


def batch_norm(layer: Any, x: Array, at: At) -> Terms:
    c = at[0]
    mean, var, w, b = (numbers(layer, name) for name in ("running_mean", "running_var", "weight", "bias"))
    m = float(x[0, c].mean()) if mean is None else float(mean[c])
    v = float(x[0, c].var()) if var is None else float(var[c])
    gamma, beta = 1.0 if w is None else float(w[c]), 0.0 if b is None else float(b[c])
    deviation = sqrt(v + layer.eps)
    read = np.array([at])
    value = float(x[0][at])
    hat = (value - m) / deviation
    lines = (
        ("mean μ", m), ("variance σ²", v), ("gain γ", gamma), ("shift β", beta), ("√(σ² + ε)", deviation),
        ("x̂ = (x - μ) / √(σ² + ε)", hat),
    )  # fmt: skip
    if mean is None or var is None:  # no running averages: every value of the map takes part
        slope = gamma / deviation * (1 - (1 + hat * hat) / x[0, c].size)
    else:
        slope = gamma / deviation
    one = np.array([hat])
    return Terms("y = γ x̂ + β", read, np.array([value]), gamma * one, gamma * hat + beta, np.array([slope]), word="γ·x̂",
                 total=gamma * hat, bias=beta, lines=lines,
                 parameter_slopes={} if w is None else {f"weight[{c}]": hat, f"bias[{c}]": 1.0})  # fmt: skip


def group_norm(layer: Any, x: Array, at: At) -> Terms:
    c, each = at[0], x.shape[1] // layer.num_groups
    w, b = numbers(layer, "weight"), numbers(layer, "bias")
    gamma, beta = 1.0 if w is None else float(w[c]), 0.0 if b is None else float(b[c])
    read = grid(range(c // each * each, (c // each + 1) * each), *(range(n) for n in x.shape[2:]))
    found, inside = look_up(x, read)
    m, own = float(found.mean()), float(x[0][at])
    values = (found - m) ** 2
    total = float(values.sum())
    deviation = sqrt(total / len(found) + layer.eps)
    hats, hat = (found - m) / deviation, (own - m) / deviation
    slopes = -(1 + hat * hats) / len(found)
    slopes[np.all(read == at, axis=1)] += 1
    lines = (
        ("mean μ of the group", m), ("variance σ² = Σ / n", total / len(found)), ("x, the unit's own", own),
        ("gain γ", gamma), ("shift β", beta), ("√(σ² + ε)", deviation), ("x̂ = (x - μ) / √(σ² + ε)", hat),
    )  # fmt: skip
    return Terms("y = γ x̂ + β", read, found, values, gamma * hat + beta, gamma / deviation * slopes, word="(x-μ)²",
                 inside=inside, total=total, lines=lines,
                 parameter_slopes={} if w is None else {f"weight[{c}]": hat, f"bias[{c}]": 1.0})  # fmt: skip


def local_response_norm(layer: Any, x: Array, at: At) -> Terms:
    n, beta, k = layer.size, layer.beta, layer.k
    alpha = paper_alpha(layer.alpha, n)
    channels = [c for c in range(at[0] - n // 2, at[0] + (n - 1) // 2 + 1) if 0 <= c < x.shape[1]]
    read = grid(channels, *([i] for i in at[1:]))
    found, inside = look_up(x, read)
    values, own = alpha * found**2, float(x[0][at])
    total = float(values.sum())
    d = k + total
    slopes = -2 * alpha * beta * own * found * d ** (-beta - 1)
    slopes[channels.index(at[0])] += d**-beta
    lines = ((f"d = {k:g} + Σ", d), (f"d^{beta:g}", d**beta), ("x, the unit's own", own))
    return Terms(f"y = x / ({k:g} + Σ α x²)^{beta:g}", read, found, values, own / d**beta, slopes, word="α·x²",
                 inside=inside, total=total, lines=lines)  # fmt: skip


def elementwise(formula: str, layer: nn.Module, x: Array, at: At) -> Terms:
    value = float(x[0][at])
    y, slope = activation(layer, value)
    one = np.array([value])
    return Terms(formula, np.array([at]), one, one, y, np.array([slope]), word="x", lines=(("slope f'(x)", slope),))


def leaky_relu(layer: Any, x: Array, at: At) -> Terms:
    return elementwise(f"y = x if x > 0, else {layer.negative_slope:g} x", layer, x, at)


def softmax(logarithm: bool, layer: Any, x: Array, at: At) -> Terms:
    axis = layer.dim % x.ndim - 1 if layer.dim is not None else 0
    read = grid(*(range(x.shape[i + 1]) if i == axis else [at[i]] for i in range(len(at))))
    found, inside = look_up(x, read)
    top = float(found.max())
    values = np.exp(found - top)
    total, own = float(values.sum()), float(x[0][at])
    p = values / total
    mine = np.arange(len(found)) == at[axis]
    if logarithm:
        formula, y, slopes = "y = x - log Σ exp x", own - top - log(total), mine - p
    else:
        formula, y = "y = exp x / Σ exp x", exp(own - top) / total
        slopes = y * (mine - p)
    lines = (("largest x, taken off all", top), ("x, the unit's own", own))
    return Terms(
        formula, read, found, values, y, slopes, word="exp(x - largest)", inside=inside, total=total, lines=lines
    )


def moved(what: str, layer: nn.Module, x: Array, at: At) -> Terms:
    """Of layers that only move values: where the one at `at` comes from is found by moving their numbers."""
    places = torch.arange(1, x[0].size + 1, dtype=torch.float64).view(1, *x.shape[1:])
    came = int(layer(places)[0][at])
    return one_value(x, came - 1, getattr(layer, "value", 0.0), what)


def scale(layer: Any, x: Array, at: At) -> Terms:
    return weighted(x, np.array([at]), np.array([float(layer.factor)]), f"y = {layer.factor:g} x")


def sub_sampling(layer: Any, x: Array, at: At) -> Terms:
    w, b = numbers(layer, "weight"), numbers(layer, "bias")
    assert w is not None
    assert b is not None
    c = at[0]
    done = weighted(x, np.array([at]), double(w[c : c + 1]), "y = w x + b", float(b[c]), weight="weight",
                     weight_at=np.array([[c]]), parameter_slopes={f"bias[{c}]": 1.0})  # fmt: skip
    return changed(done, weight_slopes=done.x)


def radial_basis(layer: Any, x: Array, at: At) -> Terms:
    prototypes = numbers(layer, "weight")
    assert prototypes is not None
    (k,) = at
    w = double(prototypes[k])
    read = grid(range(len(w)))
    found, inside = look_up(x, read)
    values = -((found - w) ** 2)
    total = float(values.sum())
    return Terms("y = -Σ (x - w)²", read, found, values, total, -2 * (found - w), word="-(x - w)²", w=w,
                 weight="weight", weight_at=grid([k], range(len(w))), inside=inside, total=total)  # fmt: skip
