"""Convolutions padded as TensorFlow does ("SAME"), for weights that were trained there.

An output has ceil(side / stride) positions, and where the zeros that this takes can't be shared evenly, the extra one
goes to the bottom and to the right. With stride 2 and an even side a 3×3 window so begins at the first pixel, where
symmetric padding begins one before it: the same weights read other pixels, and give other logits.
"""

from torch import Tensor, nn
from torch.nn import functional


class SameConv2d(nn.Conv2d):
    """(N, c_in, H, W) -> (N, c_out, ceil(H/stride), ceil(W/stride)) for any kernel."""

    def forward(self, x: Tensor) -> Tensor:
        top, bottom = self._zeros(x.shape[-2], axis=0)
        left, right = self._zeros(x.shape[-1], axis=1)
        return super().forward(functional.pad(x, (left, right, top, bottom)))

    def _zeros(self, side: int, axis: int) -> tuple[int, int]:
        """How many zeros go before and after an axis."""
        stride, span = self.stride[axis], self.dilation[axis] * (self.kernel_size[axis] - 1) + 1
        zeros = max(0, (-(-side // stride) - 1) * stride + span - side)
        return zeros // 2, zeros - zeros // 2


def conv_same(c_in: int, c_out: int, k: int | tuple[int, int], stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """What `conv` is, padded as TensorFlow does; they differ where the stride is not 1."""
    return SameConv2d(c_in, c_out, k, stride, groups=groups, bias=False)


class SameMaxPool2d(nn.MaxPool2d):
    """The largest in each window, padding left out.  (N, C, H, W) -> (N, C, ceil(H/stride), ceil(W/stride))

    Where `padded_with` is 0 the padding is not left out: Keras' NASNet pads before it pools.
    """

    def __init__(self, k: int, stride: int) -> None:
        super().__init__(k, stride)
        self.k, self.step, self.padded_with = k, stride, float("-inf")

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(_pad_same(x, self.k, self.step, self.padded_with))
        return y


class SameAvgPool2d(nn.AvgPool2d):
    """The mean of each window, padding counted as zeros.  (N, C, H, W) -> (N, C, ceil(H/stride), ceil(W/stride))"""

    def __init__(self, k: int, stride: int) -> None:
        super().__init__(k, stride)
        self.k, self.step = k, stride

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(_pad_same(x, self.k, self.step, 0.0))


def _pad_same(x: Tensor, k: int, stride: int, value: float) -> Tensor:
    h, w = (max(0, (-(-side // stride) - 1) * stride + k - side) for side in x.shape[-2:])
    return functional.pad(x, (w // 2, w - w // 2, h // 2, h - h // 2), value=value)
