"""TensorFlow's padding against its definition, written with loops over positions."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from striate.blocks.layers import conv
from striate.blocks.same import SameConv2d, conv_same


def first_positions(side: int, k: int, stride: int) -> list[int]:
    """Where each window begins, from the definition: ceil(side/stride) windows, spare zeros halved, more at the end."""
    count = (side + stride - 1) // stride
    spare = max((count - 1) * stride + k - side, 0)
    return [i * stride - spare // 2 for i in range(count)]


@settings(max_examples=60, deadline=None)
@given(
    h=st.integers(1, 9), w=st.integers(1, 9), k=st.sampled_from([1, 2, 3, 5]), stride=st.integers(1, 3),
    dilation=st.integers(1, 2), seed=st.integers(0, 99),
)  # fmt: skip
def test_each_window_begins_where_tensorflow_lets_it(
    h: int, w: int, k: int, stride: int, dilation: int, seed: int
) -> None:
    torch.manual_seed(seed)
    layer = SameConv2d(2, 3, k, stride, dilation=dilation).double()
    x = torch.randn(1, 2, h, w, dtype=torch.float64)
    span = dilation * (k - 1) + 1
    tops, lefts = first_positions(h, span, stride), first_positions(w, span, stride)
    y = layer(x)
    assert y.shape == (1, 3, len(tops), len(lefts))
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            total = layer.bias.clone()
            for a in range(k):
                for b in range(k):
                    row, column = top + a * dilation, left + b * dilation
                    if 0 <= row < h and 0 <= column < w:
                        total += layer.weight[:, :, a, b] @ x[0, :, row, column]
            torch.testing.assert_close(y[0, :, i, j], total)


@pytest.mark.parametrize(("stride", "side", "alike"), [(1, 8, True), (2, 8, False), (2, 7, True)])
def test_it_differs_from_symmetric_padding_where_a_stride_meets_an_even_side(
    stride: int, side: int, alike: bool
) -> None:
    torch.manual_seed(0)
    symmetric, same = conv(3, 4, 3, stride), conv_same(3, 4, 3, stride)
    same.load_state_dict(symmetric.state_dict())
    x = torch.randn(1, 3, side, side)
    assert symmetric(x).shape == same(x).shape
    assert torch.allclose(symmetric(x), same(x), atol=1e-6) is alike
