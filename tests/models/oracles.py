"""Independent implementations: how they are found, given weights with which a comparison means something, compared.

torchvision, timm and pytorchcv are imported as they are, without their dependencies and without compiled operators.
What is absent skips the test, with the reason.
"""

import importlib
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

TOLERANCE = 1e-5  # of the largest logit, in float32
Net = Callable[[Tensor], Tensor]


@cache
def _operators() -> Any:
    """What torchvision looks for when it is imported; gone with the object that is returned."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def independent(name: str) -> ModuleType:
    """A module of torchvision, timm or pytorchcv."""
    if not hasattr(torch.ops.torchvision, "nms"):
        _operators()
    package = name.partition(".")[0]
    pytest.importorskip(package, reason=f"needs {package}, without its dependencies: make oracles")
    return importlib.import_module(name)


def build(oracle: str) -> nn.Module:
    """A network of theirs, as it is before training: "torchvision:resnet18"."""
    package, _, builder = oracle.partition(":")
    match package:
        case "torchvision":
            aside = {"aux_logits": False, "init_weights": False} if builder in ("googlenet", "inception_v3") else {}
            model = getattr(independent("torchvision.models"), builder)(weights=None, **aside)
        case "timm":
            model = independent("timm").create_model(builder, pretrained=False)
        case "pytorchcv":
            model = independent("pytorchcv.model_provider").get_model(builder)
        case _:
            raise ValueError(oracle)
    return model


def patches(n: int, channels: int, height: int, width: int, seed: int) -> Tensor:
    """Images (n, channels, height, width) that differ from each other by more than noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, channels, 4, 4, generator=generator)
    noise = torch.randn(n, channels, height, width, generator=generator)
    return F.interpolate(coarse, (height, width), mode="bilinear") + 0.5 * noise


NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@torch.no_grad()
def calibrate(model: nn.Module, images: Tensor, aside: bool = False) -> nn.Module:
    """The model in evaluation, with random weights and, in its norms, the statistics of these images.

    With statistics that are random, too, a deep network gives nearly the same logits for every image, whatever is
    wrong in it. So, as the images pass, every layer is scaled to put out a spread of about one, with biases about the
    mean of what it makes: from layer to layer the images stay as different as they were. `aside`: auxiliary heads, too.
    """
    generator = torch.Generator().manual_seed(7)

    def spread(layer: Any, _: Any, y: Tensor) -> Tensor:
        others = [d for d in range(y.ndim) if d != 1]
        scale = (0.5 + torch.rand(1, generator=generator).item()) / y.std().clamp(min=1e-6)
        layer.weight.mul_(scale)
        y = y * scale
        if layer.bias is not None:
            layer.bias.copy_(torch.rand(len(layer.bias), generator=generator) - 0.5 - y.mean(others))
            y = y + layer.bias.reshape(1, -1, *(1 for _ in others[1:]))
        return y

    def watch(norm: Any, x: tuple[Tensor]) -> None:
        others = [d for d in range(x[0].ndim) if d != 1]
        norm.running_mean.copy_(x[0].mean(others))
        norm.running_var.copy_(x[0].var(others, correction=0))

    hooks = []
    for layer in model.train(aside).modules():
        if isinstance(layer, NORMS):
            layer.eval()
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.normal_(0, layer.weight[0].numel() ** -0.5, generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()
            hooks.append(layer.register_forward_hook(spread))
        elif isinstance(layer, NORMS):
            layer.weight.uniform_(0.5, 2.5, generator=generator)  # values beyond 6, for the ReLUs that end there
            layer.bias.uniform_(-1, 1, generator=generator)
            hooks.append(layer.register_forward_pre_hook(watch))
    model(images)
    for hook in hooks:
        hook.remove()
    return model.eval()


@torch.no_grad()
def difference(ours: Net, theirs: Net, x: Tensor) -> float:
    """The largest difference of a logit, relative to the largest logit. Logits must depend on the image and class."""
    a, b = ours(x), theirs(x)
    size = b.abs().max()
    assert (b[0] - b[1]).abs().max() > 0.1 * size > 0
    assert b.std(1).min() > 0.05 * size
    found = float((a - b).abs().max() / size)
    print(f"largest relative difference {found:.1e}")
    return found


def by_name(ours: nn.Module, theirs: nn.Module) -> None:
    """Copy the weights of a model that has the same tensors under the same names; all of them."""
    state = ours.state_dict()
    ours.load_state_dict({name: fitted(w, state[name]) for name, w in theirs.state_dict().items()}, strict=True)


def in_order(ours: nn.Module, theirs: nn.Module) -> None:
    """Copy the weights of a model that has the same tensors in the same order, under other names."""
    pairs = zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict({name: fitted(w, own) for (name, own), w in pairs}, strict=True)


def fitted(weight: Tensor, own: Tensor) -> Tensor:
    """A dense layer may be a convolution over all that is left of the image; the order of its weights is the same."""
    return weight.flatten(1) if weight.ndim == 4 and own.ndim == 2 else weight


@torch.no_grad()
def as_they_run(ours: nn.Module, theirs: nn.Module, x: Tensor) -> None:
    """Copy the weights of a model whose layers run in the same order."""
    for mine, other in zip(_weighted(ours, x), _weighted(theirs, x), strict=True):
        mine.load_state_dict({name: fitted(w, mine.state_dict()[name]) for name, w in other.state_dict().items()})


def _weighted(model: nn.Module, x: Tensor) -> list[nn.Module]:
    """Layers with weights, in the order in which they run."""
    ran: list[nn.Module] = []
    kinds = (nn.Conv2d, nn.Linear, *NORMS)
    hooks = [m.register_forward_pre_hook(lambda m, _: ran.append(m)) for m in model.modules() if isinstance(m, kinds)]
    model(x)
    for hook in hooks:
        hook.remove()
    return ran
