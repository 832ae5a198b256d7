"""The kernels of a convolution as they are, to be looked at: in colour where they read an image, else one by one.

What `kernels(model, "conv1")` gives shows itself in a notebook.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from striate.errors import ShapeError, UnknownName, UsageError, suggest

Contrast = Literal["each", "shared"]
TINY = 1e-4
ZERO = "all weights are zero"
SMALL = f"the largest weight is below {TINY:g} of the layer's largest, so the picture shows next to nothing, enlarged"
NOT_FINITE = "a weight is NaN or infinite"


@dataclass(frozen=True, eq=False)
class Kernels:
    """The weights of a layer of convolutions."""

    layer: str
    weights: NDArray[np.float64]  # (c_out, c_in / groups, k_h, k_w), on what the layer is given (normalised values)
    groups: int
    order: str  # what three input channels are if they are an image's: rgb or bgr; "" where they are none

    @property
    def colour(self) -> bool:
        """Whether a kernel is one picture in colour: it reads the three channels of an image."""
        return self.order != "" and self.groups == 1 and self.weights.shape[1] == 3

    def reach(self, contrast: Contrast = "each") -> NDArray[np.float64]:
        """(c_out,): the size of the weight that is shown as full black or white, the largest of each filter or of all.

        Raises: UsageError for a contrast that there is not.
        """
        if contrast not in ("each", "shared"):
            raise UsageError(f"contrast is {contrast!r}; expected each (filter by itself) or shared (by all)")
        largest: NDArray[np.float64] = np.abs(self.weights).max(axis=(1, 2, 3))
        if contrast == "each":
            return largest
        return np.full_like(largest, np.max(largest, where=np.isfinite(largest), initial=0.0))

    @property
    def remarks(self) -> tuple[str, ...]:
        """On each filter what its picture would hide; empty where there is nothing to say."""
        largest = self.reach("each")
        tiny = TINY * self.reach("shared").max(initial=0.0)
        return tuple(
            NOT_FINITE if not np.isfinite(r) else ZERO if r == 0 else SMALL if r < tiny else "" for r in largest
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """The remarks, each with the filters that it is about."""
        found: dict[str, list[str]] = {}
        for i, remark in enumerate(self.remarks):
            if remark:
                found.setdefault(remark, []).append(str(i))
        return tuple(f"{', '.join(who)}: {remark}" for remark, who in found.items())

    def pictures(self, contrast: Contrast = "each") -> NDArray[np.uint8]:
        """(c_out, k_h, k_w, 3) in colour, red first, else (c_out, c_in / groups, k_h, k_w): zero is 128.

        128 + 127 w / reach: white is the largest positive weight, black the largest negative one.

        Raises: UsageError for a contrast that there is not.
        """
        reach = self.reach(contrast)[:, None, None, None]
        share = np.divide(self.weights, reach, out=np.zeros_like(self.weights), where=reach > 0)
        shown: NDArray[np.uint8] = np.rint(128 + 127 * np.nan_to_num(share, nan=0.0)).astype(np.uint8)
        if not self.colour:
            return shown
        turned: NDArray[np.uint8] = shown.transpose(0, 2, 3, 1)
        return turned[..., ::-1] if self.order == "bgr" else turned

    def to_json(self) -> dict[str, Any]:
        flat = self.weights.reshape(len(self.weights), -1)
        return {
            "layer": self.layer, "shape": list(self.weights.shape), "groups": self.groups, "order": self.order or None,
            "notes": list(self.notes),
            "filters": [
                {"smallest": float(w.min()), "largest": float(w.max()), "mean": float(w.mean()),
                 "norm": float(np.sqrt((w**2).sum()))}
                for w in flat
            ],
        }  # fmt: skip

    def _repr_png_(self) -> bytes:
        from striate.look.filters.picture import kernel_sheet
        from striate.look.png import picture_png

        return picture_png(kernel_sheet(self))


def kernels(module: nn.Module, layer: str | None = None, *, order: str = "rgb") -> Kernels:
    """The kernels of a layer, by default those of the first convolution in the order of declaration.

    Three input channels of the first convolution are the image's, in the `order` rgb or bgr; those of other layers are
    maps. A copy: changing it does not change the network.

    Raises: UnknownName for a layer that is not there; ShapeError for one without kernels; UsageError for an order that
    there is not.
    """
    if order not in ("rgb", "bgr", "gray"):
        raise UsageError(f"order is {order!r}; expected rgb, bgr or gray")
    parts = {name: part for name, part in module.named_modules(remove_duplicate=False) if name or not layer}
    found = [name for name, part in parts.items() if isinstance(part, nn.Conv2d)]
    if layer is None:
        if not found:
            raise ShapeError(f"{type(module).__name__} has no convolution (torch.nn.Conv2d), so it has no kernels")
        layer = found[0]
    if layer not in parts:
        raise UnknownName(f"{type(module).__name__} has no layer {layer!r}{suggest(layer, parts, _some(found))}")
    part = parts[layer]
    if not isinstance(part, nn.Conv2d):
        inside = [name for name in found if name.startswith(f"{layer}.")]
        raise ShapeError(f"layer {layer!r} is a {type(part).__name__} and has no kernels{_there(inside or found)}")
    if isinstance(part.weight, nn.UninitializedParameter):
        raise ShapeError(f"layer {layer!r} has no weights yet: it gets them with the first image")
    weights = part.weight.detach().double().cpu().numpy().copy()
    first = layer == found[0] and weights.shape[1] * part.groups == 3
    return Kernels(layer, weights, part.groups, order if first and order != "gray" else "")


def _some(names: list[str]) -> str:
    return f"its convolutions are {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}" if names else "it has none"


def _there(names: list[str]) -> str:
    return f"; convolutions: {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}" if names else ""
