"""Convolution with a connection table, by hand: each map of C3 in LeNet-5 sees only some maps of S2.

    y[n,o,i,j]      = b[o] + sum over m < M[o], u, v of  x[n,t[o][m],i+u,j+v] * w[o][m,u,v]       t[o] lists M[o] maps

    dL/db[o]        = sum over n,i,j of  g[n,o,i,j]                                               g = dL/dy
    dL/dw[o][m,u,v] = sum over n,i,j of  g[n,o,i,j] * x[n,t[o][m],i+u,j+v]
    dL/dx[n,c,h,k]  = sum over o,m,i,j,u,v with t[o][m] = c, i+u = h, j+v = k of  g[n,o,i,j] * w[o][m,u,v]

It is a convolution whose kernel is zero for pairs of maps that are not connected, and is computed so.

Source:  LeCun et al. 1998, "Gradient-based learning applied to document recognition", table I: 60 connections of 96,
         so 60*25 + 16 = 1,516 parameters.
Checked: against torch.autograd, map by map, in tests/math/test_lenet_1998.py.
"""

from collections.abc import Sequence

import numpy as np

from striate.errors import ShapeError
from striate.math import conv2d
from striate.math.arrays import Array

Table = Sequence[Sequence[int]]


def macs(x_shape: tuple[int, ...], table: Table, k: int) -> int:
    """Multiply-accumulates for the whole batch: one for every (n, i, j), connection and tap.

    >>> macs((1, 6, 14, 14), [range(6)] * 16, k=5)  # all connected
    240000
    """
    n, _, h, w = x_shape
    return n * (h - k + 1) * (w - k + 1) * sum(map(len, table)) * k * k


def forward(x: Array, w: Sequence[Array], b: Array, table: Table) -> Array:
    """x (N, C, H, W), w[o] (M[o], U, V), b (O,) -> y (N, O, H-U+1, W-V+1).

    Raises: ShapeError if the table names maps that x does not have, or a map twice for one output, or w does not fit.
    """
    return conv2d.forward(x, _kernel(x, w, table), b)


def backward(g: Array, x: Array, w: Sequence[Array], table: Table) -> tuple[Array, list[Array], Array]:
    """g (N, O, I, J) = dL/dy -> dL/dx (N, C, H, W), dL/dw[o] (M[o], U, V), dL/db (O,)."""
    dx, dw, db = conv2d.backward(g, x, _kernel(x, w, table))
    return dx, [dw[o, list(maps)] for o, maps in enumerate(table)], db


def _kernel(x: Array, w: Sequence[Array], table: Table) -> Array:
    """The kernel (O, C, U, V) of the whole layer, zero where nothing is connected."""
    if len(w) != len(table) or any(len(part) != len(maps) for part, maps in zip(w, table, strict=True)):
        raise ShapeError(
            f"the table connects {[len(maps) for maps in table]} maps; w has kernels for {[len(part) for part in w]}"
        )
    kernel = np.zeros((len(table), x.shape[1], *w[0].shape[1:]), x.dtype)
    for o, maps in enumerate(table):
        if len(set(maps)) != len(maps) or any(not 0 <= c < x.shape[1] for c in maps):
            raise ShapeError(f"output {o} is to see maps {tuple(maps)}; expected each once, of 0 to {x.shape[1] - 1}")
        kernel[o, list(maps)] = w[o]
    return kernel
