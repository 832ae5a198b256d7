"""One map of a convolution for each image, where all maps of all images would be computed.

For the pattern of filter c only map c of its layer is needed. With weights w (C, c_in, k, k), input x (N, c_in, h, w):

    m[n, uv, j] = sum_d w[c_n, d, uv] x[n, d, j]          one matrix product an image
    y[n, i]     = sum_uv m[n, uv, stride·i + dilation·uv - padding]

costs 1/C of the layer, or little more, and the way back likewise. The last convolution before the layer that is read is
found by watching one pass; batch norms and functions of single numbers may stand in between. What is found is
compared with what the layer itself gives before it is used.

The way back of a convolution to the few channels of an image is done as a matrix product, too, and col2im: libraries
pad three channels to sixteen or more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from striate.errors import ShapeError
from striate.look.filters.objectives import Term, check, places
from striate.look.filters.reach import Reached, plain, step
from striate.models.shapes import pair

POINTWISE = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.SiLU, nn.GELU, nn.Mish, nn.Tanh, nn.Sigmoid,
    nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Softplus, nn.Identity, nn.Dropout, nn.Dropout2d,
)  # fmt: skip
FEW = 4  # channels of an image, of which the way back is done as a matrix product
TOLERANCE = 1e-4  # of the largest value, by which a shortcut may miss the layer


@dataclass(frozen=True)
class Tail:
    """A convolution, and what of single numbers stands between it and the layer that is read."""

    conv: nn.Conv2d
    run: int  # which of its runs in a pass
    after: tuple[nn.Module, ...]

    def unrectified(self) -> "Tail":
        """The same without the functions of single numbers at its end."""
        kept = list(self.after)
        while kept and type(kept[-1]) in POINTWISE:
            kept.pop()
        return Tail(self.conv, self.run, tuple(kept))

    def maps(self, module: nn.Module, x: Tensor, channels: Tensor) -> Tensor:
        """Images (N, c, H, W), a channel each -> (N, h, w): those channels of the layer that is read."""
        runs, found = 0, []

        def stop(_: nn.Module, given: Any) -> None:
            nonlocal runs
            runs += 1
            if runs == self.run:
                found.append(given[0])
                raise Reached

        handle = self.conv.register_forward_pre_hook(stop)
        try:
            module(x)
        except Reached:
            pass
        finally:
            handle.remove()
        if not found or len(found[0]) != len(channels):
            raise ShapeError("the last convolution runs another number of times, or for other images, than before")
        y = one_map(found[0], self.conv, channels)
        for part in self.after:
            y = _normed(y, part, channels) if isinstance(part, nn.BatchNorm2d) else part.forward(y)
        return y

    def values(self, module: nn.Module, x: Tensor, terms: Sequence[Term]) -> Tensor:
        """Of each image of a batch its own channel's mean, or its unit: (N,)."""
        channels = torch.tensor([t.index for t in terms], device=x.device)
        return places(self.maps(module, x, channels), terms).float()

    def check(self, module: nn.Module, x: Tensor, terms: Sequence[Term]) -> None:
        """Whether the layer has what all of the terms name; x (1, c, H, W) is run.  Raises: UsageError."""
        grid = self.maps(module, x, torch.zeros(1, dtype=torch.int64, device=x.device)).shape[1:]
        for term in terms:
            check(term, term.layer, self.conv.out_channels, grid)


def find_tail(module: nn.Module, x: Tensor, layer: str) -> Tail | None:
    """The last convolution before `layer`, if only one of its maps need be computed; None where that is not so.

    x (1, c, H, W) is run once, and once more to compare.
    """
    name = plain(layer)
    target, wanted = step(module, name), int(layer[len(name) + 1 :] or 1)
    watch = _Watch(module, wanted)
    handles = [part.register_forward_pre_hook(watch.before) for part in watch.pointwise]
    handles += [part.register_forward_hook(watch.after) for part in (*watch.convolutions, *watch.pointwise)]
    handles.append(target.register_forward_hook(watch.arrived))
    try:
        module(x)
    except Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    tail, full = watch.tail, watch.output
    if tail is None or full is None or full.ndim != 4 or len(full) != len(x):
        return None
    return tail if _pays(tail.conv) and _agrees(tail, module, x, full) else None


class _Watch:
    """Follows what the latest convolution put out from step to step, as long as each only changes single numbers.

    A tensor is the same as long as its version is: a sum that is added in place between two steps is noticed.
    """

    def __init__(self, module: nn.Module, wanted: int) -> None:
        free = [part for part in module.modules() if not part._forward_hooks and not part._forward_pre_hooks]
        self.convolutions = [part for part in free if type(part) is nn.Conv2d and _zeros_around(part)]
        self.pointwise = [part for part in free if type(part) in POINTWISE or _frozen_norm(part)]
        self.wanted, self.arrivals = wanted, 0
        self.runs: dict[nn.Module, int] = {}
        self.latest: tuple[Tensor, int, Tail] | None = None
        self.goes_on = False
        self.tail: Tail | None = None
        self.output: Tensor | None = None

    def before(self, part: nn.Module, given: Any) -> None:
        self.goes_on = self.latest is not None and len(given) == 1 and self._is_latest(given[0])

    def after(self, part: nn.Module, given: Any, output: Any) -> None:
        if isinstance(part, nn.Conv2d):
            self.runs[part] = self.runs.get(part, 0) + 1
            self.latest = (output, output._version, Tail(part, self.runs[part], ()))
        elif self.latest is not None and self.goes_on:
            tail = self.latest[2]
            self.latest = (output, output._version, Tail(tail.conv, tail.run, (*tail.after, part)))

    def arrived(self, _: nn.Module, __: Any, output: Any) -> None:
        self.arrivals += 1
        if self.arrivals == self.wanted:
            if self.latest is not None and self._is_latest(output):
                self.output, _unused, self.tail = self.latest
            raise Reached

    def _is_latest(self, x: Any) -> bool:
        return self.latest is not None and x is self.latest[0] and x._version == self.latest[1]


def one_map(x: Tensor, conv: nn.Conv2d, channels: Tensor) -> Tensor:
    """Input (N, c_in, h, w) -> (N, h', w'): map channels[n] of the convolution for image n."""
    w = conv.weight.detach()[channels].to(x.dtype)
    if conv.groups > 1:
        group = channels // (conv.out_channels // conv.groups)
        x = x.view(len(x), conv.groups, -1, *x.shape[2:])[torch.arange(len(x), device=x.device), group]
    k = pair(conv.kernel_size)
    kernels = w.permute(0, 2, 3, 1).flatten(1, 2)
    assert not isinstance(conv.padding, str)
    geometry = (k, pair(conv.stride), pair(conv.padding), pair(conv.dilation))
    y: Tensor = _OneMap.apply(x, kernels, *geometry)  # type: ignore[no-untyped-call]
    return y if conv.bias is None else y + conv.bias.detach()[channels].view(-1, 1, 1).to(y.dtype)


class ToPixels(TorchFunctionMode):
    """While it is open, a convolution that reads few channels hands its gradient back as a matrix product."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if function is torch.conv2d and _of_pixels(args, given):
            return _Pixels.apply(*args)  # type: ignore[no-untyped-call]
        return function(*args, **given)


def _of_pixels(args: Sequence[Any], given: Any) -> bool:
    """Whether it is the convolution of an image, written as `torch.nn.Conv2d` writes it, on a processor."""
    if len(args) != 7 or given or not all(isinstance(one, Tensor) for one in args[:2]):
        return False
    x, w = args[:2]
    whole = x.ndim == 4 and x.device.type == "cpu" and x.dtype == w.dtype and not isinstance(args[4], str)
    narrow = w.shape[1] <= FEW and args[6] == 1 and not torch.is_autocast_enabled("cpu")
    return bool(whole and narrow and x.requires_grad and torch.is_grad_enabled())


class _Pixels(torch.autograd.Function):
    """y = conv2d(x, w, b), whose gradient goes to x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, *geometry: Any) -> Tensor:
        ctx.w, ctx.size, ctx.geometry = w.detach(), x.shape[2:], [pair(one) for one in geometry[:3]]
        return functional.conv2d(x, w, b, *geometry)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (g,), w, (stride, padding, dilation) = grads, ctx.w, ctx.geometry
        columns = torch.matmul(w.flatten(1).t(), g.flatten(2))
        x = functional.fold(columns, ctx.size, w.shape[2:], dilation, padding, stride)
        return x, None, None, None, None, None, None


class _OneMap(torch.autograd.Function):
    """x (N, c, h, w), kernels (N, k·k, c) -> y (N, h', w'), whose gradient goes to x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernels: Tensor, *geometry: Any) -> Tensor:
        k, stride, padding, dilation = geometry
        out = [(x.shape[2 + a] + 2 * padding[a] - dilation[a] * (k[a] - 1) - 1) // stride[a] + 1 for a in (0, 1)]
        windows = [
            (slice(u * dilation[0], u * dilation[0] + (out[0] - 1) * stride[0] + 1, stride[0]),
             slice(v * dilation[1], v * dilation[1] + (out[1] - 1) * stride[1] + 1, stride[1]))
            for u in range(k[0]) for v in range(k[1])
        ]  # fmt: skip
        m = torch.bmm(kernels, x.flatten(2)).view(len(x), -1, *x.shape[2:])
        m = functional.pad(m, (padding[1], padding[1], padding[0], padding[0]))
        y = m[:, 0, windows[0][0], windows[0][1]].clone()
        for i, (rows, columns) in enumerate(windows[1:], 1):
            y += m[:, i, rows, columns]
        ctx.kernels, ctx.windows, ctx.padding, ctx.size = kernels, windows, padding, x.shape
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (g,), (_, _, h, w), (top, left) = grads, ctx.size, ctx.padding
        m = g.new_zeros(len(g), len(ctx.windows), h + 2 * top, w + 2 * left)
        for i, (rows, columns) in enumerate(ctx.windows):
            m[:, i, rows, columns] = g
        inner = m[:, :, top : top + h, left : left + w].flatten(2)
        return torch.bmm(ctx.kernels.transpose(1, 2), inner).view(ctx.size), None, None, None, None, None


def _normed(y: Tensor, norm: nn.BatchNorm2d, channels: Tensor) -> Tensor:
    """One map an image through a batch norm with its running statistics."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = (variance[channels] + norm.eps).rsqrt()
    shift = -mean[channels] * scale
    if norm.affine:
        scale, shift = scale * norm.weight.detach()[channels], shift * norm.weight.detach()[channels]
        shift = shift + norm.bias.detach()[channels]
    return y * scale.view(-1, 1, 1).to(y.dtype) + shift.view(-1, 1, 1).to(y.dtype)


def _frozen_norm(part: nn.Module) -> bool:
    return type(part) is nn.BatchNorm2d and part.running_mean is not None and part.running_var is not None


def _zeros_around(conv: nn.Conv2d) -> bool:
    return conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


def _pays(conv: nn.Conv2d) -> bool:
    """Whether one map for its matrix product is less work than all of them for the convolution."""
    s, per_group = prod(pair(conv.stride)), conv.in_channels // conv.groups
    return conv.out_channels * per_group > 1.5 * s * (per_group + 2)


def _agrees(tail: Tail, module: nn.Module, x: Tensor, full: Tensor) -> bool:
    """Whether the shortcut gives, for the first and the last channel, what the layer itself gave for x (1, c, H, W)."""
    channels = torch.tensor([0, full.shape[1] - 1], device=x.device)
    try:
        found = tail.maps(module, x.expand(2, -1, -1, -1), channels)
    except (ShapeError, RuntimeError):
        return False
    expected = full[0, channels]
    if found.shape != expected.shape:
        return False
    largest = full.abs().amax().clamp_min(torch.finfo(full.dtype).tiny)
    return bool((found - expected).abs().amax() <= TOLERANCE * largest)
