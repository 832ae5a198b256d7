"""Depthwise separable convolution: where in `depthwise`, which channels in `pointwise`, with nothing in between.

    z = depthwise(x, w)        y = pointwise(z, p, b)

    dL/dz, dL/dp, dL/db = pointwise.backward(g, z, p)        dL/dx, dL/dw = depthwise.backward(dL/dz, x, w)

A full convolution takes I·J·C·O·U·V multiply-adds, this one I·J·C·(U·V + O): 1/O + 1/(U·V) of them.

Source:  Chollet 2016, "Xception", arXiv:1610.02357; Howard et al. 2017, arXiv:1704.04861, eq. 5.
Differs: MobileNet puts a batch norm and a ReLU in between; its blocks are the two operations one after the other.
Checked: against torch.autograd in tests/math/test_separable.py.
"""

from collections.abc import Sequence

from striate.math import depthwise, pointwise
from striate.math.arrays import Array
from striate.math.conv2d import Number
from striate.math.geometry import Padding


def out_shape(
    x_shape: Sequence[int], w_shape: Sequence[int], p_shape: Sequence[int], stride: Number = 1, padding: Padding = 0
) -> tuple[int, int, int, int]:
    """(N, O, I, J) of y.  Raises: ShapeError."""
    return pointwise.out_shape(depthwise.out_shape(x_shape, w_shape, stride, padding), p_shape)


def macs(
    x_shape: Sequence[int], w_shape: Sequence[int], p_shape: Sequence[int], stride: Number = 1, padding: Padding = 0
) -> int:
    """Multiply-accumulates of both steps, for the whole batch.

    >>> macs((1, 3, 12, 12), (3, 5, 5), (128, 3))  # the lectures' example: 614,400 for the full convolution
    29376
    """
    z_shape = depthwise.out_shape(x_shape, w_shape, stride, padding)
    return depthwise.macs(x_shape, w_shape, stride, padding) + pointwise.macs(z_shape, p_shape)


def forward(x: Array, w: Array, p: Array, b: Array | None = None, stride: Number = 1, padding: Padding = 0) -> Array:
    """x (N, C, H, W), w (C·m, U, V), p (O, C·m), b (O,) or None -> y (N, O, I, J).  Raises: ShapeError."""
    return pointwise.forward(depthwise.forward(x, w, None, stride, padding), p, b)


def backward(
    g: Array, x: Array, w: Array, p: Array, stride: Number = 1, padding: Padding = 0
) -> tuple[Array, Array, Array, Array]:
    """g (N, O, I, J) = dL/dy -> dL/dx, dL/dw, dL/dp, dL/db, each of its argument's shape.  Raises: ShapeError."""
    z = depthwise.forward(x, w, None, stride, padding)
    dz, dp, db = pointwise.backward(g, z, p)
    dx, dw, _ = depthwise.backward(dz, x, w, stride, padding)
    return dx, dw, dp, db
