"""The channels of x dealt out in n equal shares, by hand, as `torch.chunk` does: the last may be smaller.

    yi[n,c,h,k]           = x[n,i*S + c,h,k]               S = ceil(C / number of shares)

    dL/dx[n,i*S + c,h,k]  = gi[n,c,h,k]                    gi = dL/dyi

Source:  Ma, Zhang, Zheng & Sun 2018, "ShuffleNet V2", arXiv:1807.11164, section 3.2 (channel split).
Checked: against torch.autograd in tests/math/test_wiring.py.
"""

import numpy as np

from striate.math.arrays import Array


def operations(x_shape: tuple[int, ...]) -> int:
    """None: values are moved."""
    return 0


def forward(x: Array, shares: int) -> tuple[Array, ...]:
    """x (N, C, ...) -> ys (N, S, ...), as many as there are shares, or fewer where channels run out."""
    size = -(-x.shape[1] // shares)
    return tuple(x[:, start : start + size] for start in range(0, x.shape[1], size))


def backward(*gs: Array) -> Array:
    """gs (N, S, ...) = dL/dyi -> dL/dx (N, C, ...)."""
    return np.concatenate(gs, axis=1)
