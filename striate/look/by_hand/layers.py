"""Which operation of `math/` each kind of layer is: one table, by type.

A rule reads the layer's settings, computes y from the arrays it is given, and gives y with the way back: dL/dy -> dL/d
of each. What the way back finds out about parameters it tells the place (`learn`).
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from striate.blocks.same import SameAvgPool2d, SameConv2d, SameMaxPool2d
from striate.blocks.shortcuts import PaddedShortcut
from striate.blocks.stochastic import StochasticDepth
from striate.blocks.wiring import Add, Concat, Share
from striate.errors import UsageError
from striate.look.by_hand.tape import Back, Place, torch_type
from striate.math import (
    adaptive_pool,
    add,
    average_pool,
    batch_norm,
    batch_norm_inference,
    capsule_lengths,
    channel_affine,
    channel_shuffle,
    concat,
    conv2d,
    dense,
    dropout,
    flatten,
    geometry,
    group_norm,
    hard_swish,
    leaky_relu,
    local_response_norm,
    log_softmax,
    max_pool,
    pad,
    padded_shortcut,
    pick,
    primary_capsules,
    radial_basis,
    relu,
    relu6,
    routing,
    scale,
    scaled_tanh,
    sigmoid,
    silu,
    softmax,
    stochastic_depth,
    tanh,
)
from striate.math.arrays import Array, pair
from striate.models.capsnet import DigitCapsules, Presence, PrimaryCapsules
from striate.models.inception_resnet import Scale
from striate.models.lenet_1998 import Pick, RadialBasis, ScaledTanh, SubSampling, SumPool

Rule = Callable[..., tuple[Array, Back]]  # (place, x, ...) -> y, back


def _same(_: Place, x: Array) -> tuple[Array, Back]:
    return x, lambda g: (g,)


def _elementwise(operation: ModuleType, _: Place, x: Array) -> tuple[Array, Back]:
    return operation.forward(x), lambda g: (operation.backward(g, x),)


def _leaky_relu(at: Place, x: Array) -> tuple[Array, Back]:
    s = at.layer.negative_slope
    return leaky_relu.forward(x, s), lambda g: (leaky_relu.backward(g, x, s),)


def _softmax(operation: ModuleType, at: Place, x: Array) -> tuple[Array, Back]:
    axis = at.layer.dim
    return operation.forward(x, axis), lambda g: (operation.backward(g, x, axis),)


def _weighted(at: Place, operation: ModuleType, x: Array, *where: Any) -> tuple[Array, Back]:
    """What has weights and perhaps biases, and learns both."""
    w = at.numbers("weight")
    assert w is not None

    def back(g: Array) -> tuple[Array]:
        dx, dw, db = operation.backward(g, x, w, *where)
        at.learn("weight", dw)
        at.learn("bias", db)
        return (dx,)

    return operation.forward(x, w, at.numbers("bias"), *where), back


def _conv2d(at: Place, x: Array) -> tuple[Array, Back]:
    layer = at.layer
    if layer.padding_mode != "zeros":
        raise UsageError(f"{at.name} pads with {layer.padding_mode!r}; by hand there is padding with zeros")
    padding = "same_torch" if layer.padding == "same" else layer.padding
    return _convolution(at, x, "same_keras" if isinstance(layer, SameConv2d) else padding)


def _convolution(at: Place, x: Array, padding: geometry.Padding) -> tuple[Array, Back]:
    return _weighted(at, conv2d, x, at.layer.stride, padding, at.layer.dilation, at.layer.groups)


def _linear(at: Place, x: Array) -> tuple[Array, Back]:
    return _weighted(at, dense, x)


def _batch_norm(at: Place, x: Array) -> tuple[Array, Back]:
    layer, one = at.layer, np.ones(x.shape[1], x.dtype)
    w, b, mean, var = (at.numbers(key) for key in ("weight", "bias", "running_mean", "running_var"))
    w, b = one if w is None else w, 0 * one if b is None else b
    if not layer.training and mean is not None and var is not None:
        y = batch_norm_inference.forward(x, w, b, mean, var, layer.eps)
        way = partial(batch_norm_inference.backward, x=x, w=w, mean=mean, var=var, eps=layer.eps)
    else:
        y = batch_norm.forward(x, w, b, layer.eps)
        way = partial(batch_norm.backward, x=x, w=w, eps=layer.eps)
        if mean is not None and var is not None:
            momentum = layer.momentum if layer.momentum is not None else 1 / (int(layer.num_batches_tracked) + 1)
            after = batch_norm.update(mean, var, x, momentum)
            at.walk.running |= zip((at.path("running_mean"), at.path("running_var")), after, strict=True)

    def back(g: Array) -> tuple[Array]:
        dx, dw, db = way(g)
        at.learn("weight", dw)
        at.learn("bias", db)
        return (dx,)

    return y, back


def _group_norm(at: Place, x: Array) -> tuple[Array, Back]:
    layer, one = at.layer, np.ones(x.shape[1], x.dtype)
    w, b = at.numbers("weight"), at.numbers("bias")
    w, b = one if w is None else w, 0 * one if b is None else b

    def back(g: Array) -> tuple[Array]:
        dx, dw, db = group_norm.backward(g, x, w, layer.num_groups, layer.eps)
        at.learn("weight", dw)
        at.learn("bias", db)
        return (dx,)

    return group_norm.forward(x, w, b, layer.num_groups, layer.eps), back


def _local_response_norm(at: Place, x: Array) -> tuple[Array, Back]:
    n, beta, k = at.layer.size, at.layer.beta, at.layer.k
    alpha = local_response_norm.paper_alpha(at.layer.alpha, n)
    y = local_response_norm.forward(x, n, alpha, beta, k)
    return y, lambda g: (local_response_norm.backward(g, x, n, alpha, beta, k),)


def _max_pool(at: Place, x: Array) -> tuple[Array, Back]:
    layer = at.layer
    where = (layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.ceil_mode)
    return max_pool.forward(x, *where), lambda g: (max_pool.backward(g, x, *where),)


def _average_pool(at: Place, x: Array) -> tuple[Array, Back]:
    layer = at.layer
    where = (layer.kernel_size, layer.stride, layer.padding, layer.ceil_mode)
    if d := layer.divisor_override:
        y = scale.forward(average_pool.forward_sum(x, *where), 1 / d)
        return y, lambda g: (average_pool.backward_sum(scale.backward(g, 1 / d), x, *where),)
    if layer.count_include_pad:
        return average_pool.forward(x, *where), lambda g: (average_pool.backward(g, x, *where),)
    y = average_pool.forward_without_padding(x, *where)
    return y, lambda g: (average_pool.backward_without_padding(g, x, *where),)


def _same_pool(operation: ModuleType, at: Place, x: Array) -> tuple[Array, Back]:
    k, stride = at.layer.k, at.layer.step
    rows, cols = (geometry.zeros(side, k, stride, "same_keras") for side in x.shape[2:])
    border, padded_with = (*rows, *cols), getattr(at.layer, "padded_with", 0.0)
    padded = pad.forward(x, border, padded_with)
    y = operation.forward(padded, k, stride)
    return y, lambda g: (pad.backward(operation.backward(g, padded, k, stride), border),)


def _adaptive_average_pool(at: Place, x: Array) -> tuple[Array, Back]:
    asked = at.layer.output_size
    rows, cols = (asked, asked) if asked is None else pair(asked)
    out = rows or x.shape[2], cols or x.shape[3]
    return adaptive_pool.forward(x, out), lambda g: (adaptive_pool.backward(g, x, out),)


def _dropout(at: Place, x: Array) -> tuple[Array, Back]:
    p = at.layer.p
    if not at.layer.training or p == 0:
        return _same(at, x)
    z = at.mask(lambda: torch.empty(x.shape, dtype=torch_type(x)).bernoulli_(1 - p)).astype(x.dtype)
    return dropout.forward(x, z, p), lambda g: (dropout.backward(g, z, p),)


def _stochastic_depth(at: Place, x: Array) -> tuple[Array, Back]:
    p = at.layer.p
    if not at.layer.training or p == 0:
        return _same(at, x)
    one_each = (len(x), *[1] * (x.ndim - 1))
    z = at.mask(lambda: (torch.rand(one_each, dtype=torch_type(x)) >= p).flatten().to(torch_type(x))).astype(x.dtype)
    return stochastic_depth.forward(x, z, p), lambda g: (stochastic_depth.backward(g, z, p),)


def _flatten(at: Place, x: Array) -> tuple[Array, Back]:
    if (at.layer.start_dim, at.layer.end_dim) != (1, -1):
        raise UsageError(f"{at.name} flattens axes {at.layer.start_dim} to {at.layer.end_dim}; by hand it is 1 to -1")
    return flatten.forward(x), lambda g: (flatten.backward(g, x),)


def _channel_shuffle(at: Place, x: Array) -> tuple[Array, Back]:
    groups = at.layer.groups
    return channel_shuffle.forward(x, groups), lambda g: (channel_shuffle.backward(g, groups),)


def _pad(at: Place, x: Array) -> tuple[Array, Back]:
    left, right, top, bottom = at.layer.padding
    border = (top, bottom, left, right)
    return pad.forward(x, border, at.layer.value), lambda g: (pad.backward(g, border),)


def _padded_shortcut(at: Place, x: Array) -> tuple[Array, Back]:
    before = at.layer.before
    y = padded_shortcut.forward(x, before, at.layer.after)
    return y, lambda g: (padded_shortcut.backward(g, x, before),)


def _scale(at: Place, x: Array) -> tuple[Array, Back]:
    f = at.layer.factor
    return scale.forward(x, f), lambda g: (scale.backward(g, f),)


def _join(operation: ModuleType, _: Place, *xs: Array) -> tuple[Array, Back]:
    return operation.forward(*xs), lambda g: operation.backward(g, *xs)


def _pick(at: Place, x: Array) -> tuple[Array, Back]:
    maps = at.layer.maps
    return pick.forward(x, maps), lambda g: (pick.backward(g, x, maps),)


def _share(at: Place, x: Array) -> tuple[Array, Back]:
    each = x.shape[1] // at.layer.n
    maps = range(at.layer.i * each, (at.layer.i + 1) * each)
    return pick.forward(x, maps), lambda g: (pick.backward(g, x, maps),)


def _sub_sampling(at: Place, x: Array) -> tuple[Array, Back]:
    return _weighted(at, channel_affine, x)


def _radial_basis(at: Place, x: Array) -> tuple[Array, Back]:
    w = at.numbers("weight")
    assert w is not None
    return scale.forward(radial_basis.forward(x, w), -1.0), lambda g: (radial_basis.backward(-g, x, w)[0],)


def _primary_capsules(at: Place, x: Array) -> tuple[Array, Back]:
    d = at.layer.d
    return primary_capsules.forward(x, d), lambda g: (primary_capsules.backward(g, x, d),)


def _digit_capsules(at: Place, u: Array) -> tuple[Array, Back]:
    w, rounds = at.numbers("weight"), at.layer.rounds
    assert w is not None

    def back(g: Array) -> tuple[Array]:
        du, dw = routing.backward(g, u, w, rounds)
        at.learn("weight", dw)
        return (du,)

    return routing.forward(u, w, rounds), back


def _presence(_: Place, v: Array) -> tuple[Array, Back]:
    return capsule_lengths.forward_logit(v), lambda g: (capsule_lengths.backward_logit(g, v),)


LAYERS: dict[type[Any], Rule] = {
    nn.Conv2d: _conv2d,
    SameConv2d: _conv2d,
    nn.Linear: _linear,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.GroupNorm: _group_norm,
    nn.LocalResponseNorm: _local_response_norm,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _average_pool,
    SumPool: _average_pool,
    SameMaxPool2d: partial(_same_pool, max_pool),
    SameAvgPool2d: partial(_same_pool, average_pool),
    nn.AdaptiveAvgPool2d: _adaptive_average_pool,
    nn.Dropout: _dropout,
    StochasticDepth: _stochastic_depth,
    nn.ReLU: partial(_elementwise, relu),
    nn.ReLU6: partial(_elementwise, relu6),
    nn.LeakyReLU: _leaky_relu,
    nn.SiLU: partial(_elementwise, silu),
    nn.Hardswish: partial(_elementwise, hard_swish),
    nn.Sigmoid: partial(_elementwise, sigmoid),
    nn.Tanh: partial(_elementwise, tanh),
    ScaledTanh: partial(_elementwise, scaled_tanh),
    nn.Softmax: partial(_softmax, softmax),
    nn.LogSoftmax: partial(_softmax, log_softmax),
    nn.Identity: _same,
    nn.Flatten: _flatten,
    nn.ChannelShuffle: _channel_shuffle,
    nn.ZeroPad2d: _pad,
    PaddedShortcut: _padded_shortcut,
    Scale: _scale,
    Add: partial(_join, add),
    Concat: partial(_join, concat),
    Share: _share,
    Pick: _pick,
    SubSampling: _sub_sampling,
    RadialBasis: _radial_basis,
    PrimaryCapsules: _primary_capsules,
    DigitCapsules: _digit_capsules,
    Presence: _presence,
}
