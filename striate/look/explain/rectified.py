"""Backward passes with another rule at each rectifier: guided backpropagation, and Zeiler and Fergus' deconvnet.

With y = relu(x) and g = dL/dy, what is handed back to x is

    gradient           g                where x > 0
    deconvolution      relu(g)          whatever x was
    guided             relu(g)          where x > 0

A max pooling hands back to the position that won, which is what the deconvnet's unpooling with switches does, and a
convolution applies its transposed filters: so the whole deconvnet is a backward pass with the second rule.

The rule is put in where torch is called, not at layers: rectifiers that are used twice, work in place, or are no layer
(`torch.relu` in a forward method) are seen. ReLU6 counts as one. What is not seen: rectifiers inside TorchScript, and
those written as `clamp` or `maximum`.

Source:  Zeiler and Fergus 2013, arXiv:1311.2901, section 2.1; Springenberg et al. 2014, arXiv:1412.6806, figure 1.
Differs: norms hand back their gradient, where the deconvnet leaves them out.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from striate.errors import ShapeError, UnknownName, UsageError, suggest
from striate.look.explain.at_layer import weigh
from striate.look.explain.attribution import Attribution, gradient, times_map
from striate.look.explain.score import on_device_of
from striate.run.inference import evaluating

Rule = Literal["guided", "deconvolution"]
_RELUS = {torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, functional.relu}
_CLIPS = {functional.relu6, functional.hardtanh}  # ReLU6 is a clipped ramp
_IN_PLACE = {torch.relu_, Tensor.relu_}
NONE = "the network has no rectifier that can be seen, so this is its plain gradient"


def guided_backpropagation(
    module: nn.Module, images: Tensor, classes: int, *, target: Tensor | None = None
) -> Attribution:
    """What the guided rule hands back from the logit to the pixels of normalised images (N, c, H, W).

    Raises: ShapeError, UsageError, as `striate.look.explain.attribution.gradient`.
    """
    return _by_rule("guided", "guided backpropagation", module, images, classes, target)


def deconvolution(module: nn.Module, images: Tensor, classes: int, *, target: Tensor | None = None) -> Attribution:
    """What the deconvolutional rule hands back from the logit to the pixels of normalised images (N, c, H, W).

    Raises: ShapeError, UsageError, as `striate.look.explain.attribution.gradient`.
    """
    return _by_rule("deconvolution", "deconvolution", module, images, classes, target)


def guided_gradcam(
    module: nn.Module, images: Tensor, classes: int, *, layer: str | None = None, target: Tensor | None = None
) -> Attribution:
    """Guided backpropagation where Grad-CAM is bright: fine, and about the class.

    Source: Selvaraju et al. 2016, arXiv:1610.02391, section 3.2.
    Raises: as `striate.look.explain.gradcam.gradcam`.
    """
    found = weigh(module, images, classes, layer, target)
    seen = found.evidence((found.g.mean(dim=(2, 3), keepdim=True) * found.a).sum(1))
    pixels = guided_backpropagation(module, images, classes, target=found.target)
    return times_map(pixels, seen.maps, found.layer, "guided Grad-CAM")


def reconstruct(
    module: nn.Module, images: Tensor, layer: str, channel: int, *, place: tuple[int, int] | None = None
) -> Tensor:
    """What in normalised images (N, c, H, W) excites one unit of a layer, projected down to the pixels (N, c, H, W).

    All other units of the layer are set to zero, and what the unit put out goes back through filters, rectifiers and
    switches. `place` (i, j) in the layer's map; None takes the strongest of the channel, for each image its own.

    Source: Zeiler and Fergus 2013, arXiv:1311.2901, section 2.1 and figure 2.
    Raises: UnknownName for a layer that is not there; ShapeError, UsageError for one without such maps or places.
    """
    parts = dict(module.named_modules(remove_duplicate=False))
    if not layer or layer not in parts:
        raise UnknownName(f"{type(module).__name__} has no layer {layer!r}{suggest(layer, parts)}")
    kept: list[Any] = []

    def keep(_: nn.Module, __: Any, output: Any) -> Any:
        kept[:] = [output]  # run twice in one pass: the last time counts
        return output.clone() if isinstance(output, Tensor) else output  # the next step may work in place

    with torch.inference_mode(False), evaluating(module):
        x = on_device_of(module, images).requires_grad_()
        handle = parts[layer].register_forward_hook(keep)
        try:
            with torch.enable_grad(), _Rectified("deconvolution"):
                module(x.clone())
        finally:
            handle.remove()
        if not kept:
            raise ShapeError(f"layer {layer!r} did not run")
        a = kept[0]
        if not isinstance(a, Tensor) or a.ndim != 4:
            shape = tuple(a.shape) if isinstance(a, Tensor) else type(a).__name__
            raise ShapeError(f"layer {layer!r} puts out {shape}; a unit is looked for in maps (N, channels, h, w)")
        _, k, h, w = a.shape
        if not 0 <= channel < k:
            raise UsageError(f"layer {layer!r} has no channel {channel}; it has {k}, 0 to {k - 1}")
        if place is not None and not (0 <= place[0] < h and 0 <= place[1] < w):
            raise UsageError(f"layer {layer!r} has no place {place}; its maps are {h} by {w}, counted from 0")
        one = a.detach()[:, channel].flatten(1)
        at = one.argmax(1) if place is None else torch.full_like(one[:, 0], place[0] * w + place[1], dtype=torch.int64)
        start = torch.zeros_like(one).scatter(1, at[:, None], one.gather(1, at[:, None]).relu())
        full = torch.zeros_like(a)
        full[:, channel] = start.view(-1, h, w)
        (pattern,) = torch.autograd.grad(a, x, full, allow_unused=True) if a.requires_grad else (None,)
    if pattern is None:
        raise ShapeError(f"what layer {layer!r} puts out does not depend on the image")
    return pattern


def _by_rule(
    rule: Rule, method: str, module: nn.Module, images: Tensor, classes: int, target: Tensor | None
) -> Attribution:
    with _Rectified(rule) as watch:
        values, about, notes = gradient(module, images, classes, target=target)
    return Attribution(values, about, method, False, notes if watch.seen else (*notes, NONE))


class _Rectified(TorchFunctionMode):
    """While it is open, rectifiers have the rule's way back."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule, self.seen = rule, 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if function in _RELUS or (function in _CLIPS and _is_relu6(function, args, given)):
            x = args[0] if args else given["input"]
            last = args[-1] if len(args) > 1 and isinstance(args[-1], bool) else given.get("inplace", False)
            if x.requires_grad:
                self.seen += 1
                ceiling = 6.0 if function in _CLIPS else float("inf")
                return _Rectifier.apply(x, ceiling, self.rule, function in _IN_PLACE or last)  # type: ignore[no-untyped-call]
        return function(*args, **given)


def _is_relu6(function: Any, args: Any, kwargs: Any) -> bool:
    if function is functional.relu6:
        return True
    limits = dict(zip(("input", "min_val", "max_val"), args, strict=False)) | kwargs
    return (limits.get("min_val", -1.0), limits.get("max_val", 1.0)) == (0.0, 6.0)


class _Rectifier(torch.autograd.Function):
    """y = min(relu(x), ceiling), with the way back of a rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, ceiling: float, rule: Rule, in_place: bool) -> Tensor:
        ctx.rule = rule
        ctx.save_for_backward((x > 0) & (x < ceiling))
        if in_place:
            ctx.mark_dirty(x)
            return x.clamp_(0, ceiling)
        return x.clamp(0, ceiling)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        g = grads[0].relu()
        return (g if ctx.rule == "deconvolution" else g * ctx.saved_tensors[0]), None, None, None
