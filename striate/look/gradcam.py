"""Grad-CAM: where in the image is the evidence for a class?

    a[n,k]      = mean over i,j of  d score / d A[n,k,i,j]       weight of channel k
    cam[n,i,j]  = relu(sum over k of  a[n,k] * A[n,k,i,j])       A: output of the last spatial layer

The score is the logit of the class; with a sigmoid head (one logit z, two classes) it is z for class 1, -z for class 0.

Source:  Selvaraju et al. 2016, arXiv:1610.02391, eq. 1 and 2.
Differs: each map is divided by its maximum, so that it lies in 0..1, and where nothing is positive, that is said.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ShapeError, UnknownName, suggest
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


def gradcam(
    module: nn.Module, images: Tensor, classes: int, *, layer: str | None = None, target: Tensor | None = None
) -> Evidence:
    """Normalised images (N, c, H, W), target (N,) classes, or None for the predicted ones -> one map an image.

    `layer` is a step that puts out maps (N, k, h, w); None finds the last one (`last_spatial_layer`).
    Runs in evaluation mode; parameters, their gradients, modes and hooks are afterwards as they were. Works for
    frozen parameters, inside `torch.no_grad()` and on any device: the graph begins at the layer itself.

    Raises: UnknownName for a layer that is not there; ShapeError for one that puts out no maps, or did not run.
    """
    weight = next(module.parameters(), None)
    with torch.inference_mode(False), evaluating(module):
        x = images.detach().to(images.device if weight is None else weight.device).clone()
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
                z = _logits(module(x), len(x), classes)
                if not kept:
                    raise ShapeError(f"layer {layer!r} did not run: Grad-CAM needs one that the answer depends on")
                target = _predicted(z) if target is None else target.to(z.device, torch.int64)
                (gradient,) = torch.autograd.grad(_score(z, target).sum(), kept, allow_unused=True)
        finally:
            handle.remove()
    if gradient is None:
        raise ShapeError(f"the answer does not depend on layer {layer!r}; Grad-CAM needs one that it does")
    wide = torch.promote_types(gradient.dtype, torch.float32)  # half precision would overflow in the sums
    cam = (gradient.to(wide).mean(dim=(2, 3), keepdim=True) * kept[0].detach().to(wide)).sum(1).relu()
    top = cam.amax(dim=(1, 2), keepdim=True)
    return Evidence(cam / top.clamp_min(torch.finfo(cam.dtype).tiny), top.flatten() <= 0, target.detach(), layer)


def last_spatial_layer(module: nn.Module, image: Tensor) -> str:
    """The name of the last step that puts out maps (N, c, h, w) with more than one place: what Grad-CAM reads.

    Found by running `image` (1, c, H, W), so it holds for any module, also one that is no chain: it is the last step
    before global pooling or flattening. Steps that only pool, drop or pass on are skipped; where blocks are nested,
    the outermost one that puts out the very same tensor gives the name ("layer4", not "layer4.2.relu").

    Raises: ShapeError where there is none.
    """
    outputs: list[tuple[str, nn.Module, Tensor]] = []  # holding the tensors keeps their addresses from being used again

    def watch(name: str) -> Any:
        def hook(part: nn.Module, _: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
                outputs.append((name, part, output))

        return hook

    handles = [part.register_forward_hook(watch(name)) for name, part in module.named_modules() if name]
    try:
        with evaluating(module):
            module(image)
    finally:
        for handle in handles:
            handle.remove()
    first: dict[int, nn.Module] = {}  # which step made a tensor; those that hand it on unchanged come later
    for _, part, output in outputs:
        first.setdefault(output.data_ptr(), part)
    for name, part, output in reversed(outputs):
        if not isinstance(part, _PASSES_ON) and not isinstance(first[output.data_ptr()], _PASSES_ON):
            return name
    raise ShapeError(
        f"{type(module).__name__} has no step that puts out maps (N, channels, h, w) larger than 1x1: "
        "there is no place to point at, so Grad-CAM can't be drawn"
    )


def _logits(answer: Any, images: int, classes: int) -> Tensor:
    """The answer of a network, at its first word where it also answers from auxiliary heads."""
    z = answer[0] if isinstance(answer, tuple) and answer else answer
    wanted = {(images, classes)} | ({(images, 1)} if classes == 2 else set())
    if not isinstance(z, Tensor) or tuple(z.shape) not in wanted:
        found = tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__
        raise ShapeError(f"the network puts out {found} for {images} images, expected logits {sorted(wanted)[-1]}")
    return z


def _predicted(z: Tensor) -> Tensor:
    return (z[:, 0] > 0).long() if z.shape[1] == 1 else z.argmax(1)


def _score(z: Tensor, target: Tensor) -> Tensor:
    if z.shape[1] == 1:
        return torch.where(target == 1, z[:, 0], -z[:, 0])
    return z.gather(1, target[:, None])[:, 0]
