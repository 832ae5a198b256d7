"""The terms of units of capsules: a component of a squashed vector, routing by agreement, the logit of a length.

A rule is given a layer, its input x (1, ...) and the place of the unit in its output.
"""

from math import log, sqrt
from typing import Any

import numpy as np

from striate.look.units.terms import At, Terms, double, grid, look_up, numbers
from striate.math import routing, squash
from striate.math.arrays import Array


def primary_capsules(layer: Any, x: Array, at: At) -> Terms:
    capsule, e = at
    (maps, *_), positions = x.shape[1:], int(np.prod(x.shape[2:]))
    which, place = divmod(capsule, positions)
    assert which < maps // layer.d
    read = grid(
        range(which * layer.d, (which + 1) * layer.d), *([int(i)] for i in np.unravel_index(place, x.shape[2:]))
    )
    s, inside = look_up(x, read)
    onehot = np.eye(layer.d)[e]
    v = squash.forward(s)
    total = float((s**2).sum())
    lines = (("|s|²", total), ("|v| = |s|² / (1 + |s|²)", total / (1 + total)), ("s, the unit's own", float(s[e])))
    return Terms("y = s |s| / (1 + |s|²)", read, s, s**2, float(v[e]), squash.backward(onehot, s), word="s²",
                 inside=inside, total=total, lines=lines)  # fmt: skip


def digit_capsules(layer: Any, u: Array, at: At) -> Terms:
    w = numbers(layer, "weight")
    assert w is not None
    w, u, (j, e) = double(w), double(u), at
    p = routing.predictions(u, w)
    rounds = routing.route(p, layer.rounds)
    c, s, v = rounds[-1].c[0, :, j], rounds[-1].s[0, j], rounds[-1].v[0, j]
    each, d = w.shape[0], w.shape[3]
    read = grid(range(each), range(d))
    found, inside = look_up(u, read)
    factor = (c[:, None] * w[:, j, e]).reshape(-1)
    onehot = np.zeros_like(rounds[-1].v)
    onehot[0, j, e] = 1.0
    du, dw = routing.backward(onehot, u, w, layer.rounds)
    total, length = float((factor * found).sum()), float((s**2).sum())
    lines = (
        ("|s|² of the capsule", length), ("|v| = |s|² / (1 + |s|²)", length / (1 + length)),
        ("coefficient c, smallest", float(c.min())), ("coefficient c, largest", float(c.max())),
    )  # fmt: skip
    return Terms("s = Σ c·w·u;  y = s |s| / (1 + |s|²)", read, found, factor * found, float(v[e]), du.reshape(-1),
                 word="c·w·u", w=factor, weight="weight", inside=inside, total=total, lines=lines,
                 weight_at=np.insert(read[:, [0, 1]], 1, [[j], [e]], axis=1), weight_slopes=dw[:, j, e].reshape(-1),
                 coupling=tuple(c.tolist()))  # fmt: skip


def presence(layer: Any, v: Array, at: At) -> Terms:
    (j,) = at
    read = grid([j], range(v.shape[2]))
    found, inside = look_up(v, read)
    total = float((found**2).sum())
    length = sqrt(total + 1e-12)
    p = min(max(length, 1e-6), 1 - 1e-6)
    slopes = found / length / (p * (1 - p)) if p == length else 0 * found
    lines = (("length p = √Σ v²", length),)
    return Terms("y = log(p / (1 - p))", read, found, found**2, log(p / (1 - p)), slopes, word="v²", inside=inside,
                 total=total, lines=lines)  # fmt: skip
