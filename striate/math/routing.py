"""Routing by agreement between capsules, by hand: I capsules below predict J above, and are listened to if they agree.

    p[n,i,j,e] = sum over d of  w[i,j,e,d] * u[n,i,d]              what capsule i predicts for j
    b[n,i,j]   = 0
    in each of R rounds:
      c[n,i,j] = softmax over j of  b[n,i,j]                       whom i talks to
      s[n,j,e] = sum over i of  c[n,i,j] * p[n,i,j,e]
      v[n,j]   = squash(s[n,j])
      b[n,i,j] <- b[n,i,j] + sum over e of  p[n,i,j,e] * v[n,j,e]  (not after the last round)

Back through the rounds, the last one first, with db = 0 and g = dL/dv of the last round:

      ds = squash.backward(g, s)
      dp[n,i,j,e] += c[n,i,j] * ds[n,j,e]
      dc[n,i,j]    = sum over e of  p[n,i,j,e] * ds[n,j,e]
      db          += softmax.backward(dc, b)                       b of this round
      of the round before:  g[n,j,e] = sum over i of  db[n,i,j] * p[n,i,j,e];  dp[n,i,j,e] += db[n,i,j] * v[n,j,e]

    dL/dw[i,j,e,d] = sum over n of  dp[n,i,j,e] * u[n,i,d]
    dL/du[n,i,d]   = sum over j,e of  dp[n,i,j,e] * w[i,j,e,d]

`backward` treats nothing as constant: the gradient flows through every round's coefficients, as in the code that the
paper's authors published (it has no stopped gradient). `backward_with_constant_coefficients` takes the last c as
given; several later implementations do that, which saves memory and gives other gradients.

Source:  Sabour, Frosst & Hinton 2017, arXiv:1710.09829, eq. 2 and 3, procedure 1.
Checked: against torch.autograd, both ways, and finite differences in tests/math/test_capsules.py.
"""

from dataclasses import dataclass

import numpy as np

from striate.errors import ShapeError, UsageError
from striate.math import softmax, squash
from striate.math.arrays import Array


@dataclass(frozen=True)
class Round:
    """What one round of routing computed."""

    b: Array  # (N, I, J) agreement so far
    c: Array  # (N, I, J) coupling coefficients; over j they add up to 1
    s: Array  # (N, J, E)
    v: Array  # (N, J, E)


def macs(u_shape: tuple[int, ...], w_shape: tuple[int, ...], rounds: int = 3) -> int:
    """Multiply-accumulates of the predictions, the sums and the agreements.

    >>> macs((1, 1152, 8), (1152, 10, 16, 8))
    2396160
    """
    n, (i, j, e, d) = u_shape[0], w_shape
    return n * i * j * e * (d + rounds + rounds - 1)


def forward(u: Array, w: Array, rounds: int = 3) -> Array:
    """u (N, I, D), w (I, J, E, D) -> v (N, J, E) of the last round.

    Raises: ShapeError if u has not I capsules of D; UsageError for fewer rounds than one.
    """
    return route(predictions(u, w), rounds)[-1].v


def predictions(u: Array, w: Array) -> Array:
    """u (N, I, D), w (I, J, E, D) -> p (N, I, J, E)."""
    if u.ndim != 3 or w.ndim != 4 or u.shape[1:] != (w.shape[0], w.shape[3]):
        raise ShapeError(
            f"u has the shape {u.shape} but w {w.shape} expects (N, I, D) = (N, {w.shape[0]}, {w.shape[-1]})"
        )
    i, j, e, d = w.shape
    p = u.swapaxes(0, 1) @ w.reshape(i, j * e, d).swapaxes(1, 2)  # (I, N, J*E), a product of matrices for each i
    return p.swapaxes(0, 1).reshape(-1, i, j, e)


def route(p: Array, rounds: int = 3) -> list[Round]:
    """p (N, I, J, E) -> what each round computed."""
    if rounds < 1:
        raise UsageError(f"{rounds} rounds of routing are asked for; expected one or more (the paper has 3)")
    b, done = np.zeros_like(p[..., 0]), list[Round]()
    for _ in range(rounds):
        if done:
            b = b + (p * done[-1].v[:, None]).sum(axis=-1)
        c = softmax.forward(b)
        s = (c[..., None] * p).sum(axis=1)
        done.append(Round(b, c, s, squash.forward(s)))
    return done


def backward(g: Array, u: Array, w: Array, rounds: int = 3) -> tuple[Array, Array]:
    """g (N, J, E) = dL/dv -> dL/du (N, I, D), dL/dw (I, J, E, D), through all rounds."""
    p = predictions(u, w)
    dp, db = np.zeros_like(p), np.zeros_like(p[..., 0])
    for back, at in enumerate(reversed(route(p, rounds))):
        if back:  # only the last round's v goes out; that of another round has a gradient through b alone
            g = (db[..., None] * p).sum(axis=1)
            dp += db[..., None] * at.v[:, None]
        ds = squash.backward(g, at.s)[:, None]
        dp += at.c[..., None] * ds
        db = db + softmax.backward((p * ds).sum(axis=-1), at.b)
    return _to_inputs(dp, u, w)


def backward_with_constant_coefficients(g: Array, u: Array, w: Array, rounds: int = 3) -> tuple[Array, Array]:
    """g (N, J, E) = dL/dv -> dL/du, dL/dw, as if the last coupling coefficients did not depend on u and w."""
    last = route(predictions(u, w), rounds)[-1]
    return _to_inputs(last.c[..., None] * squash.backward(g, last.s)[:, None], u, w)


def _to_inputs(dp: Array, u: Array, w: Array) -> tuple[Array, Array]:
    i, j, e, d = w.shape
    rows = dp.reshape(-1, i, j * e).swapaxes(0, 1)  # (I, N, J*E)
    du = (rows @ w.reshape(i, j * e, d)).swapaxes(0, 1)
    dw = (rows.swapaxes(1, 2) @ u.swapaxes(0, 1)).reshape(w.shape)
    return du, dw
