"""What the comparisons with other implementations would find: faults are planted in each family, one at a time.

A sound network and a faulty copy stand for theirs and ours, so no other implementation is needed here.
"""

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import pytest
import torch
from torch import nn

from striate.errors import ShapeError
from striate.models.cifar_resnet import cifar_resnet, plain
from striate.models.registry import create_model
from striate.models.wide_resnet import wrn
from tests.models.oracles import NORMS, TOLERANCE, calibrate, difference, patches

T = TypeVar("T")
WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


def middle(found: list[T]) -> list[T]:
    """One of them, not the first and not the last where there are more."""
    return found[len(found) // 2 : len(found) // 2 + 1]


def layers(model: nn.Module, *kinds: type[nn.Module]) -> list[tuple[str, nn.Module]]:
    return [(name, layer) for name, layer in model.named_modules() if isinstance(layer, kinds)]


def wide(layer: nn.Module) -> bool:
    return max(layer.kernel_size if isinstance(layer.kernel_size, tuple) else (layer.kernel_size,)) > 1


def exchanged(model: nn.Module) -> bool:
    """Two kernels of one shape are taken for each other."""
    kernels = [layer.weight for _, layer in layers(model, nn.Conv2d)]
    pairs = [(a, b) for i, a in enumerate(kernels) for b in kernels[i + 1 : i + 12] if a.shape == b.shape]
    for a, b in middle(pairs):
        kept = a.clone()
        a.copy_(b)
        b.copy_(kept)
    return bool(pairs)


def disordered(model: nn.Module) -> bool:
    """The filters of a layer are in another order."""
    for _, layer in middle(layers(model, nn.Conv2d)):
        layer.weight.copy_(layer.weight.flip(0))
    return True


def eps(model: nn.Module) -> bool:
    """One norm has another framework's eps."""
    found = layers(model, *NORMS)
    for _, norm in middle(found):
        norm.eps = 1e-5 if norm.eps > 1e-4 else 1e-3
    return bool(found)


def shifted(model: nn.Module) -> bool:
    """A window with a stride begins one pixel further on."""
    found = [layer for _, layer in layers(model, *WINDOWS) if wide(layer) and layer.stride not in (1, (1, 1))]
    for layer in middle(found):
        layer.register_forward_pre_hook(lambda _, x: (nn.functional.pad(x[0][..., 1:], (0, 1)),))
    return bool(found)


def moved(model: nn.Module) -> bool:
    """Of two convolutions, one after the other, the other one has the stride."""
    pairs = [
        (a, b)
        for (at, a), (to, b) in pairwise(layers(model, nn.Conv2d))
        if at.rpartition(".")[0].rpartition(".")[0] == to.rpartition(".")[0].rpartition(".")[0]
        and a.stride == (1, 1) and b.stride == (2, 2) and a.out_channels == b.in_channels
    ]  # fmt: skip
    for a, b in middle(pairs):
        a.stride, b.stride = (2, 2), (1, 1)
    return bool(pairs)


def rounded(model: nn.Module) -> bool:
    """Max pooling counts its windows the other way, where they do not go into the image."""
    found = [layer for _, layer in layers(model, nn.MaxPool2d) if layer.stride != 1 and type(layer) is nn.MaxPool2d]
    for layer in found:
        layer.ceil_mode = not layer.ceil_mode
    return bool(found)


def averaged(model: nn.Module) -> bool:
    """An average is taken for a maximum."""
    found = layers(model, nn.MaxPool2d)
    for name, pool in middle(found):
        average = nn.AvgPool2d(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
        model.set_submodule(name, average)
    return bool(found)


def counted(model: nn.Module) -> bool:
    """Averages count the zeros of the padding, or do not."""
    found = [layer for _, layer in layers(model, nn.AvgPool2d) if layer.padding not in (0, (0, 0))]
    for layer in found:
        layer.count_include_pad = not layer.count_include_pad
    return bool(found)


def bent(model: nn.Module) -> bool:
    """One activation is another."""
    others = {nn.ReLU: nn.SiLU, nn.ReLU6: nn.ReLU, nn.SiLU: nn.ReLU, nn.Sigmoid: nn.Hardsigmoid}
    for name, other in [(name, other) for kind, other in others.items() for name, _ in middle(layers(model, kind))]:
        model.set_submodule(name, other())
    return True


def unsummed(model: nn.Module) -> bool:
    """Response normalisation divides the sum by the number of channels once more."""
    found = layers(model, nn.LocalResponseNorm)
    for _, layer in found:
        layer.alpha /= layer.size
    return bool(found)


FAULTS: tuple[Callable[[nn.Module], bool], ...] = (
    exchanged, disordered, eps, shifted, moved, rounded, averaged, counted, bent, unsummed,
)  # fmt: skip
QUICK = {  # a network of each kind: what is planted in it, in this order
    "cifar_resnet20": "exchanged disordered eps shifted bent",
    "cifar_plain": "exchanged disordered eps shifted bent",
    "wrn": "exchanged disordered eps shifted bent",
    "resnet18": "exchanged disordered eps shifted rounded averaged bent",
    "squeezenet1_1": "exchanged disordered shifted rounded averaged bent",
    "nin_cifar10": "exchanged disordered shifted rounded averaged bent",
    "mobilenet_v1_0.25_224": "exchanged disordered eps shifted bent",
    "mobilenet_v2_0.35": "exchanged disordered eps shifted moved bent",
    "shufflenet_v2_x0_5": "exchanged disordered eps shifted moved rounded averaged bent",
    "mnasnet0_5": "exchanged disordered eps shifted moved bent",
    "efficientnet_b0": "exchanged disordered eps shifted moved bent",
    "googlenet": "exchanged disordered shifted rounded averaged bent unsummed",
}
SLOW = {
    "cifar_densenet_bc100": "exchanged disordered eps shifted bent",
    "alexnet_2gpu": "disordered shifted rounded averaged bent unsummed",
    "vgg11": "exchanged disordered shifted rounded averaged bent",
    "vgg_alrn": "exchanged disordered shifted rounded averaged bent unsummed",
    "zfnet": "disordered shifted rounded averaged bent unsummed",
    "squeezenet_complex_bypass": "exchanged disordered shifted rounded averaged bent",
    "googlenet_bn": "exchanged disordered eps shifted rounded averaged bent",
    "bn_inception": "exchanged disordered eps shifted moved rounded averaged counted bent",
    "inception_v3": "exchanged disordered eps shifted moved rounded averaged counted bent",
    "inception_v4": "exchanged disordered eps shifted moved rounded averaged counted bent",
    "inception_resnet_v1": "exchanged disordered eps shifted moved rounded averaged bent",
    "inception_resnet_v2": "exchanged disordered eps shifted moved rounded averaged counted bent",
    "xception": "exchanged disordered eps shifted rounded averaged bent",
    "plain18": "exchanged disordered eps shifted rounded averaged bent",
    "resnet50": "exchanged disordered eps shifted moved rounded averaged bent",
    "resnet50v2": "exchanged disordered eps shifted moved rounded averaged bent",
    "resnext50_32x4d": "exchanged disordered eps shifted moved rounded averaged bent",
    "se_resnet50": "exchanged disordered eps shifted rounded averaged bent",
    "senet154": "exchanged disordered eps shifted moved rounded averaged bent",
    "densenet121": "exchanged disordered eps shifted rounded averaged bent",
    "nasnet_a_mobile": "exchanged disordered eps shifted averaged counted bent",
}
SMALL = {"cifar_plain": lambda: cifar_resnet(plain, 20, 10, 3), "wrn": lambda: wrn(16, 2, 10, 3)}
SIDES = {"inception": (76, 82), "alexnet": (71, 71), "zfnet": (79, 79), "vgg": (34, 48), "xception": (72, 80)}
CASES = [
    *(pytest.param(name, planted, id=name) for name, planted in QUICK.items()),
    *(pytest.param(name, planted, id=name, marks=pytest.mark.slow) for name, planted in SLOW.items()),
]


@pytest.mark.parametrize(("name", "planted"), CASES)
def test_planted_faults_are_found(name: str, planted: str) -> None:
    h, w = next((sides for start, sides in SIDES.items() if name.startswith(start)), (64, 77))
    square = {"input_size": (h, w)} if name.startswith(("alexnet", "zfnet")) else {}
    images = patches(6, 3, h, w, seed=4)
    sound = calibrate(SMALL[name]() if name in SMALL else create_model(name, **square), images)
    assert difference(copy.deepcopy(sound), sound, images[:2]) == 0
    found = []
    for fault in FAULTS:
        faulty = copy.deepcopy(sound)
        with torch.no_grad():
            if not fault(faulty):
                continue
        try:
            size = difference(faulty, sound, images[:2])
        except (ShapeError, RuntimeError):  # the layers after it do not fit
            size = 1.0
        assert size > 3 * TOLERANCE, fault.__doc__
        found.append(fault.__name__)
    assert found == planted.split()
