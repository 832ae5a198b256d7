"""Why a layer can't take what it is given, in words: too small an image, wrong channels, another size."""

from torch import Tensor, nn

from striate.errors import ShapeError

Window = nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d


class Misfit(ShapeError):
    """A step that can't take its input.

    It is raised where the step is called, with the step's own name; every chain that it leaves puts its own name in
    front, so that of the whole network it says `layer4.0.conv1`.
    """

    def __init__(self, step: str, reason: str, given: tuple[int, ...]) -> None:
        super().__init__(step, reason, given)
        self.step, self.reason, self.given = step, reason, given

    def __str__(self) -> str:
        return f"{self.step} {self.reason}; the network was given {self.given}"

    def leave(self, chain: str, given: tuple[int, ...]) -> None:
        """Pass out of a chain that is called so by the one around it, which was given this shape."""
        self.step, self.given = f"{chain}.{self.step}", given


def reason(layer: nn.Module, x: Tensor) -> str | None:
    """Finish the sentence that begins with the layer's name and says why it can't take x; None if it is not known."""
    shape = tuple(x.shape)
    match layer:
        case nn.Linear() if shape[-1] != layer.in_features:
            got = f"takes {layer.in_features:,} features and got {shape[-1]:,}"
            return f"{got}: the image has another size than the network was built for"
        case nn.Conv2d() | nn.MaxPool2d() | nn.AvgPool2d() | nn.BatchNorm2d() if x.ndim != 4:
            return f"takes images (N, C, H, W) and got {shape}"
        case nn.Conv2d() if shape[1] != layer.in_channels:
            return f"takes {layer.in_channels} channels and got {shape[1]}"
        case nn.BatchNorm2d() if shape[1] != layer.num_features:
            return f"takes {layer.num_features} channels and got {shape[1]}"
        case nn.BatchNorm2d() if layer.training and x.numel() == shape[1]:
            return "can't normalise one value a channel: give it at least two images in a batch, or larger ones"
        case nn.GroupNorm() if x.numel() == layer.num_groups:
            return "can't normalise one value a group: give it at least two images in a batch, or larger ones"
        case nn.Conv2d() | nn.MaxPool2d() | nn.AvgPool2d():
            window, room = (
                _window(layer),
                tuple(side + 2 * p for side, p in zip(shape[2:], _padding(layer), strict=True)),
            )
            if 0 in shape[2:] or any(k > side for k, side in zip(window, room, strict=True)):
                return f"slides a {_by(window)} window over {_by(room)} positions: the image is too small"
    return None


def _window(layer: Window) -> tuple[int, int]:
    """How many positions the window spans, the holes of a dilation included."""
    k = _pair(layer.kernel_size)
    d = (1, 1) if isinstance(layer, nn.AvgPool2d) else _pair(layer.dilation)
    return d[0] * (k[0] - 1) + 1, d[1] * (k[1] - 1) + 1


def _padding(layer: Window) -> tuple[int, int]:
    if layer.padding == "same":
        k = _window(layer)
        return k[0] // 2, k[1] // 2
    return (0, 0) if isinstance(layer.padding, str) else _pair(layer.padding)


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _by(sides: tuple[int, ...]) -> str:
    return "×".join(map(str, sides))
