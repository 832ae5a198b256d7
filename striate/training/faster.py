"""Two layers that torch computes slowly on a processor, in other ways to the same numbers. They stay what they are.

Measured in the steps of LeNet-5, bf16, on 2 cores of an AMD EPYC (AVX-512), torch 2.13.0, 2026-11-21, medians of 294
steps in 14 turns: 5.25 ms as torch does it, 4.82 with the average pools, 4.27 with both (batch 128); 18.7, 16.3 and
14.5 (batch 512). The same was tried for the weights of a convolution of gray images, as a product of matrices an image:
six times faster alone, 10 % slower within the step.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


@contextmanager
def faster_layers(module: nn.Module, device: torch.device) -> Iterator[list[str]]:
    """While it is open, the layers that it names are computed in another way; then they are as before.

    What is computed is the same, but for rounding. On other devices nothing changes.
    """
    changed: dict[str, nn.Module] = {}
    try:
        for name, layer in module.named_modules() if device.type == "cpu" else ():
            if way := _way(layer):
                layer.forward = way
                changed[name] = layer
        yield list(changed)
    finally:
        for layer in changed.values():
            del layer.forward


def _way(layer: nn.Module) -> Callable[[Tensor], Tensor] | None:
    """Another forward for a layer, None where its own is the best. What depends on the image's size is seen later."""
    if type(layer) is nn.AvgPool2d and _is_plain_average(layer):
        return partial(_average, layer)
    if type(layer) is nn.Conv2d and _may_cover(layer):
        return partial(_product, layer)
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
