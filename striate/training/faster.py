"""Four layers that torch computes slowly on a processor, in other ways to the same numbers. They stay what they are.

Measured on 2 cores of an AMD EPYC (AVX-512), bf16, torch 2.13.0, 2026-11-21.

Average pools, and convolutions that cover the image: steps of LeNet-5, medians of 294 in 14 turns, take 5.25 ms as
torch does it, 4.82 with the pools, 4.27 with both (batch 128); 18.7, 16.3 and 14.5 (batch 512). The same was tried
for the weights of a convolution of gray images, as a product of matrices an image: six times faster alone, 10 %
slower within the step; and that gradient in float32: three times faster alone, 12 % slower within the step.

Depthwise convolutions: the gradient in the input of one that halves 96 channels of 112 x 112 (32 images, best of 5)
takes 77 ms, in float32 13; 576 channels of 14 x 14: 37 and 0.7. The gradient in 240 kernels of 5 x 5 over 28 x 28
takes 30 ms, in float32 18. Means over the image (squeeze and excitation): the gradient as an image of its own, in the
other memory layout, took 178 of 1,433 ms in two steps of EfficientNet-B0. Images a second at 224 x 224, batch 32,
before and after: MobileNet v2 58 and 89, MNASNet 46 and 79, ShuffleNet v2 91 and 124, EfficientNet-B0 25 and 50.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.blocks.same import SameConv2d

Pair = tuple[int, int]


@contextmanager
def faster_layers(module: nn.Module, device: torch.device) -> Iterator[list[str]]:
    """While it is open, the layers that it names are computed in another way; then they are as before.

    What is computed is the same, but for rounding. On other devices nothing changes.
    """
    changed: dict[str, tuple[nn.Module, str]] = {}
    try:
        for name, layer in module.named_modules() if device.type == "cpu" else ():
            if found := _way(layer):
                method, way = found
                setattr(layer, method, way)
                changed[name] = layer, method
        yield list(changed)
    finally:
        for layer, method in changed.values():
            delattr(layer, method)


def _way(layer: nn.Module) -> tuple[str, Callable[..., Tensor]] | None:
    """A method of a layer and another way for it; None where its own is the best.

    What depends on the image's size or type is seen when it comes.
    """
    if type(layer) is nn.AvgPool2d and _is_plain_average(layer):
        return "forward", partial(_average, layer)
    if type(layer) is nn.AdaptiveAvgPool2d and layer.output_size in (1, (1, 1)):
        return "forward", _mean
    if type(layer) is nn.Conv2d and _may_cover(layer):
        return "forward", partial(_product, layer)
    if isinstance(layer, nn.Conv2d) and type(layer) in (nn.Conv2d, SameConv2d) and _is_slow_depthwise(layer):
        return "_conv_forward", partial(_depthwise, layer)  # what both call when the image has its padding
    return None


# -- convolutions whose kernel covers the image: one product of matrices -----------------------------------------------


def _may_cover(layer: nn.Conv2d) -> bool:
    plain = layer.groups == 1 and layer.dilation == (1, 1) and layer.padding == (0, 0)
    return plain and layer.kernel_size != (1, 1)


def _product(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """y[n,o,0,0] = b[o] + sum over c,i,j of x[n,c,i,j] * w[o,c,i,j], as a dense layer of channels-last rows."""
    if x.shape[-2:] != layer.kernel_size:
        return nn.Conv2d.forward(layer, x)
    rows, filters = (t.permute(0, 2, 3, 1).flatten(1) for t in (x, layer.weight))
    return functional.linear(rows, filters, layer.bias)[:, :, None, None]


# -- average pools whose windows cover the image once: the gradient is spread evenly -----------------------------------


def _is_plain_average(layer: nn.AvgPool2d) -> bool:
    return (
        isinstance(layer.kernel_size, int)
        and layer.stride == layer.kernel_size
        and layer.padding == 0
        and layer.divisor_override is None
    )


def _average(layer: nn.AvgPool2d, x: Tensor) -> Tensor:
    k = layer.kernel_size
    assert isinstance(k, int)
    if x.shape[-2] % k or x.shape[-1] % k:
        return nn.AvgPool2d.forward(layer, x)
    y: Tensor = _Average.apply(x, k)  # type: ignore[no-untyped-call]
    return y


class _Average(torch.autograd.Function):
    """x (N, C, H, W) -> y (N, C, H/k, W/k); each pixel of a window gets the same share of its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, k: int) -> Tensor:
        ctx.k = k
        return functional.avg_pool2d(x, k)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return functional.interpolate(gradients[0] / ctx.k**2, scale_factor=ctx.k), None


# -- means over the whole image: the gradient is one number a channel, and no image of it is made ----------------------


def _mean(x: Tensor) -> Tensor:
    y: Tensor = _Mean.apply(x)  # type: ignore[no-untyped-call]
    return y


class _Mean(torch.autograd.Function):
    """x (N, C, H, W) -> y (N, C, 1, 1)"""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return functional.adaptive_avg_pool2d(x, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        spread: Tensor = gradients[0] / (ctx.shape[2] * ctx.shape[3])
        return spread.expand(ctx.shape)


# -- depthwise convolutions in bf16: the slow ones of their two gradients are computed in float32 ----------------------


def _is_slow_depthwise(layer: nn.Conv2d) -> bool:
    return (
        layer.groups == layer.in_channels == layer.out_channels > 1
        and (max(layer.stride) > 1 or max(layer.kernel_size) > 3)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def _depthwise(layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    autocast = torch.is_autocast_enabled("cpu")
    if (torch.get_autocast_dtype("cpu") if autocast else x.dtype) != torch.bfloat16:
        plain: Tensor = nn.Conv2d._conv_forward(layer, x, weight, bias)
        return plain
    low = (t if t is None else t.to(torch.bfloat16) for t in (x, weight, bias))
    y: Tensor = _Depthwise.apply(*low, layer.stride, layer.padding, layer.dilation)  # type: ignore[no-untyped-call]
    return y


class _Depthwise(torch.autograd.Function):
    """x (N, C, H, W), w (C, 1, k, k), b (C,) or None, all of bf16 -> y (N, C, H', W') of bf16."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, stride: Pair, padding: Pair, dilation: Pair
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(x, w)
        ctx.geometry, ctx.biased = (stride, padding, dilation), b is not None
        return functional.conv2d(x, w, b, stride, padding, dilation, len(w))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        stride, padding, dilation = ctx.geometry

        def gradient(which: int, wide: bool) -> Tensor:
            kind = torch.float32 if wide else torch.bfloat16
            values = (t.to(kind) for t in (gradients[0], x, w))
            asked = [which == 0, which == 1, False]
            found = torch.ops.aten.convolution_backward(
                *values, None, stride, padding, dilation, False, [0, 0], len(w), asked
            )
            done: Tensor = found[which].to(torch.bfloat16)
            return done

        needs_x, needs_w, needs_b = ctx.needs_input_grad[:3]
        dx = gradient(0, wide=max(stride) > 1) if needs_x else None
        dw = gradient(1, wide=max(w.shape[2:]) > 3) if needs_w else None
        db = gradients[0].sum((0, 2, 3)) if ctx.biased and needs_b else None
        return dx, dw, db, None, None, None
