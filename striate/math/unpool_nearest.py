"""Nearest unpooling (up-sampling), by hand: every value fills a square of s by s positions.

    y[n,c,h,k]     = x[n,c,floor(h/s),floor(k/s)]

    dL/dx[n,c,i,j] = sum over u,v < s of  g[n,c,i*s+u,j*s+v]                       g = dL/dy

Source:  Dosovitskiy, Springenberg & Brox 2014, "Learning to generate chairs", arXiv:1411.5928, section 3 (where only
         the corner of each square is filled).
Checked: against torch.autograd in tests/math/test_unpooling.py.
"""

from striate.math.arrays import Array, Pair, pair


def operations(x_shape: tuple[int, ...]) -> int:
    """None: values are moved."""
    return 0


def forward(x: Array, s: Pair) -> Array:
    """x (N, C, I, J) -> y (N, C, s*I, s*J)."""
    rows, cols = pair(s)
    return x.repeat(rows, axis=2).repeat(cols, axis=3)


def backward(g: Array, x: Array, s: Pair) -> Array:
    """g (N, C, s*I, s*J) = dL/dy -> dL/dx (N, C, I, J)."""
    (n, c, i, j), (rows, cols) = x.shape, pair(s)
    dx: Array = g.reshape(n, c, i, rows, j, cols).sum(axis=(3, 5))
    return dx
