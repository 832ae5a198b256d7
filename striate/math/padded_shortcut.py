"""A shortcut without weights, by hand: every second position, and channels of zeros before and after.

    y[n,B+c,i,j]     = x[n,c,2i,2j]  for the channels c of x, 0 for the B before and the A after them

    dL/dx[n,c,2i,2j] = g[n,B+c,i,j],  0 for the positions between                       g = dL/dy

Source:  He, Zhang, Ren & Sun 2015, arXiv:1512.03385, section 4.1, option A.
Checked: against torch.autograd in tests/math/test_moves.py.
"""

import numpy as np

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """None: values are moved."""
    return 0


def forward(x: Array, before: int, after: int) -> Array:
    """x (N, C, H, W) -> y (N, before + C + after, ceil(H/2), ceil(W/2))."""
    return np.pad(x[:, :, ::2, ::2], ((0, 0), (before, after), (0, 0), (0, 0)))


def backward(g: Array, x: Array, before: int) -> Array:
    """g (N, before + C + after, ceil(H/2), ceil(W/2)) = dL/dy -> dL/dx (N, C, H, W)."""
    dx = np.zeros_like(x)
    dx[:, :, ::2, ::2] = g[:, before : before + x.shape[1]]
    return dx
