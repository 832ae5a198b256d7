"""What a layer of maps put out for an image, and how the score of a class changes with it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ShapeError, UnknownName, suggest
from striate.look.explain.score import chosen, logits, notes_on, on_device_of, score
from striate.run.inference import evaluating

# what only moves, shrinks or drops maps: the layer before it shows the same evidence, not coarser
_PASSES_ON = (
    nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveMaxPool2d, nn.AdaptiveAvgPool2d, nn.FractionalMaxPool2d, nn.LPPool2d,
    nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Identity,
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Evidence:
    """Where N images hold evidence for one class each, and which layer was asked."""

    maps: Tensor  # (N, h, w) in 0..1, at the resolution of the layer
    nothing_positive: Tensor  # (N,) bool: no place speaks for the class (the map is all zero)
    target: Tensor  # (N,) int64, the class that each map is about
    layer: str  # name of the step whose output was weighed
    notes: tuple[str, ...] = ()  # what to know before believing it


@dataclass(frozen=True, eq=False)
class Weighed:
    """Maps of a layer, and the gradient of the score of each image's class in them."""

    a: Tensor  # (N, k, h, w)
    g: Tensor  # (N, k, h, w), d score / d a
    target: Tensor  # (N,) int64
    layer: str
    notes: tuple[str, ...]

    def evidence(self, cam: Tensor) -> Evidence:
        """Maps (N, h, w) of any scale -> what is positive in them, divided by the largest value."""
        positive = cam.relu()
        top = positive.amax(dim=(1, 2), keepdim=True)
        shown = positive / top.clamp_min(torch.finfo(cam.dtype).tiny)
        return Evidence(shown, top.flatten() <= 0, self.target, self.layer, self.notes)


def weigh(module: nn.Module, images: Tensor, classes: int, layer: str | None, target: Tensor | None) -> Weighed:
    """Normalised images (N, c, H, W) -> what `layer` put out and the gradient in it; None finds the last spatial layer.

    Runs in evaluation mode; parameters, their gradients, modes and hooks are afterwards as they were. Works for
    frozen parameters, inside `torch.no_grad()` and on any device: the graph begins at the layer itself.

    Raises: UnknownName for a layer that is not there; ShapeError for one that puts out no maps, or did not run.
    """
    with torch.inference_mode(False), evaluating(module):
        x = on_device_of(module, images)
        layer = last_spatial_layer(module, x[:1]) if layer is None else layer
        parts = dict(module.named_modules(remove_duplicate=False))
        if not layer or layer not in parts:
            raise UnknownName(f"{type(module).__name__} has no layer {layer!r}{suggest(layer, parts)}")
        kept: list[Tensor] = []

        def begin_graph(_: nn.Module, __: Any, output: Any) -> Tensor:
            if not isinstance(output, Tensor) or output.ndim != 4:
                shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise ShapeError(f"layer {layer!r} puts out {shape}; Grad-CAM needs maps (N, channels, h, w)")
            kept[:] = [output.detach().clone().requires_grad_()]  # run twice in one pass: the last time counts
            return kept[0].clone()  # the next step may work in place, and may not do so on a leaf of the graph

        handle = parts[layer].register_forward_hook(begin_graph)
        try:
            with torch.enable_grad():
                z = logits(module, x, classes)
                if not kept:
                    raise ShapeError(f"layer {layer!r} did not run: Grad-CAM needs one that the answer depends on")
                target = chosen(z, target)
                (gradient,) = torch.autograd.grad(score(z, target).sum(), kept, allow_unused=True)
        finally:
            handle.remove()
    if gradient is None:
        raise ShapeError(f"the answer does not depend on layer {layer!r}; Grad-CAM needs one that it does")
    wide = torch.promote_types(gradient.dtype, torch.float32)  # half precision would overflow in the sums
    notes = notes_on(z)
    if gradient.shape[2] * gradient.shape[3] == 1:
        notes = (*notes, f"layer {layer} has one place only: its map can't say where the evidence is")
    return Weighed(kept[0].detach().to(wide), gradient.to(wide), target.detach(), layer, notes)


def last_spatial_layer(module: nn.Module, image: Tensor) -> str:
    """The name of the last step that puts out maps (N, c, h, w) with more than one place: what Grad-CAM reads.

    Found by running `image` (1, c, H, W), so it holds for any module, also one that is no chain: it is the last step
    before global pooling or flattening. Steps that only pool, drop or pass on are skipped; where blocks are nested,
    the outermost one that puts out the very same tensor gives the name ("layer4", not "layer4.2.relu").

    Raises: ShapeError where there is none.
    """
    outputs: list[tuple[str, nn.Module, Tensor]] = []  # holding the tensors keeps their addresses from being used again
    made_by: dict[int, nn.Module] = {}  # which step made a tensor; a sum in a residual block is made by none

    def watch(name: str) -> Any:
        def hook(part: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
                outputs.append((name, part, output))
                if not any(isinstance(x, Tensor) and x.data_ptr() == output.data_ptr() for x in given):
                    made_by.setdefault(output.data_ptr(), part)

        return hook

    handles = [part.register_forward_hook(watch(name)) for name, part in module.named_modules() if name]
    try:
        with evaluating(module):
            module(image)
    finally:
        for handle in handles:
            handle.remove()
    for name, part, output in reversed(outputs):
        if not isinstance(part, _PASSES_ON) and not isinstance(made_by.get(output.data_ptr()), _PASSES_ON):
            return name
    raise ShapeError(
        f"{type(module).__name__} has no step that puts out maps (N, channels, h, w) larger than 1x1: "
        "there is no place to point at, so Grad-CAM can't be drawn"
    )
