"""The Inception family against torchvision, timm and pytorchcv: from the same weights the same logits.

Needs `pip install --no-deps torchvision==0.28.0 timm==1.0.31 pytorchcv==0.0.74`; no compiled operators are used.
"""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.models.googlenet import GoogLeNetOutputs, googlenet
from striate.models.inception_v3 import InceptionOutputs, inception_v3
from striate.models.registry import create_model

pytestmark = pytest.mark.oracle


def oracle(name: str) -> ModuleType:
    if not {"torchvision", "timm"} & sys.modules.keys():
        library = torch.library.Library("torchvision", "DEF")  # operators that torchvision looks for when imported
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["_library"] = library  # they are gone with it
    pytest.importorskip(name.partition(".")[0], reason=f"needs {name}, without its dependencies")
    return importlib.import_module(name)


def torchvision(name: str, **arguments: object) -> nn.Module:
    model: nn.Module = getattr(oracle("torchvision.models"), name)(weights=None, init_weights=False, **arguments)
    return model


def timm(name: str) -> nn.Module:
    model: nn.Module = oracle("timm").create_model(name)
    return model


def pytorchcv(name: str) -> nn.Module:
    model: nn.Module = oracle("pytorchcv.model_provider").get_model(name)
    return model


def randomise(model: nn.Module) -> None:
    """Norms that have seen something, and weights with which values stay of the order of one."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.is_floating_point() and tensor.ndim < 2:
                tensor.uniform_(-0.5, 0.5, generator=generator)
                if "bias" not in name and "mean" not in name:
                    tensor.add_(1)
            elif tensor.is_floating_point():
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Relative to the largest logit; which differ from class to class."""
    assert theirs.std() > 0.01 * theirs.abs().max() > 0
    found = (ours - theirs).abs().max() / theirs.abs().max()
    print(f"relative difference {found:.1e}")
    return float(found)


def batch(height: int, wider: int = 7) -> Tensor:
    return torch.randn(2, 3, height, height + wider, generator=torch.Generator().manual_seed(1))


BY_NAME: list[tuple[str, Callable[[], nn.Module], int]] = [
    ("inception_v3", partial(torchvision, "inception_v3", aux_logits=False), 75),
    ("googlenet_bn", partial(torchvision, "googlenet", aux_logits=False), 64),
    ("inception_v4", partial(timm, "inception_v4"), 75),
    ("inception_resnet_v2", partial(timm, "inception_resnet_v2"), 75),
    ("xception", partial(timm, "legacy_xception"), 71),
]


@pytest.mark.parametrize(("name", "build", "side"), BY_NAME, ids=[row[0] for row in BY_NAME])
def test_published_names_load_and_give_the_same_logits(name: str, build: Callable[[], nn.Module], side: int) -> None:
    theirs, ours = build().eval(), create_model(name).eval()
    randomise(theirs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        assert difference(ours(batch(side)), theirs(batch(side))) < 1e-5


def test_inception_v3_has_torchvisions_auxiliary_head() -> None:
    theirs, ours = torchvision("inception_v3", aux_logits=True), inception_v3(1000, 3, aux=True)
    randomise(theirs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert sum(p.numel() for p in ours.parameters()) == 27_161_264
    x = torch.randn(2, 3, 299, 299, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.manual_seed(0)  # of the dropout
        a = ours.train()(x)
        torch.manual_seed(0)
        b = theirs.train()(x)
        assert isinstance(a, InceptionOutputs)
        assert a._fields == b._fields
        assert difference(a.aux_logits, b.aux_logits) < 1e-5
        assert ours.eval()(x[:1]).shape == (1, 1000)


def test_googlenet_bn_has_torchvisions_auxiliary_heads() -> None:
    theirs, ours = torchvision("googlenet", aux_logits=True), googlenet(True, 1000, 3, aux=True)
    randomise(theirs)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert sum(p.numel() for p in ours.parameters()) == 13_004_888
    for model in (theirs, ours):
        for layer in model.train().modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
    with torch.no_grad():
        a, b = ours(batch(112)), theirs(batch(112))
    assert isinstance(a, GoogLeNetOutputs)
    assert a._fields == b._fields
    for mine, other in zip(a, b, strict=True):
        assert difference(mine, other) < 1e-5


def leaves(model: nn.Module, x: Tensor) -> list[nn.Module]:
    """Layers with weights in the order in which they run."""
    ran: list[nn.Module] = []
    hooks = [
        layer.register_forward_pre_hook(lambda layer, _: ran.append(layer))
        for layer in model.modules()
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.BatchNorm1d | nn.Linear)
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return ran


BY_ORDER = [
    ("bn_inception", partial(pytorchcv, "bninception"), 224),  # they average over windows of a fixed size
    ("inception_resnet_v1", partial(pytorchcv, "inceptionresnetv1"), 299),
]


@pytest.mark.parametrize(("name", "build", "side"), BY_ORDER, ids=[row[0] for row in BY_ORDER])
def test_weights_copied_in_order_of_execution_give_the_same_logits(
    name: str, build: Callable[[], nn.Module], side: int
) -> None:
    theirs, ours = build().eval(), create_model(name).eval()
    randomise(theirs)
    x = batch(side, wider=0)
    for mine, other in zip(leaves(ours, x), leaves(theirs, x), strict=True):
        mine.load_state_dict(other.state_dict(), strict=True)
    with torch.no_grad():
        assert difference(ours(x), theirs(x)) < 1e-5


def googlenet_written_out(w: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The network of the paper in evaluation, straight down; also the logits of its two other heads."""

    def conv(name: str, x: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
        return functional.conv2d(x, w[f"{name}.conv.weight"], w[f"{name}.conv.bias"], stride, padding).clamp(min=0)

    def pool(x: Tensor, k: int = 3, stride: int = 2, padding: int = 0) -> Tensor:
        return functional.max_pool2d(x, k, stride, padding, ceil_mode=True)

    def norm(x: Tensor) -> Tensor:  # over five neighbouring channels, section 3.3 of AlexNet's paper with k = 1
        squares = functional.pad(x**2, (0, 0, 0, 0, 2, 2))
        return x / (1 + 1e-4 / 5 * sum(squares[:, i : i + x.shape[1]] for i in range(5))) ** 0.75

    def mix(name: str, x: Tensor) -> Tensor:
        return torch.cat([
            conv(f"{name}.branch1", x),
            conv(f"{name}.branch2.1", conv(f"{name}.branch2.0", x), padding=1),
            conv(f"{name}.branch3.1", conv(f"{name}.branch3.0", x), padding=2),
            conv(f"{name}.branch4.1", pool(x, 3, 1, 1))], dim=1)  # fmt: skip

    def dense(name: str, x: Tensor) -> Tensor:
        return x.flatten(1) @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def head(name: str, x: Tensor) -> Tensor:
        x = conv(f"{name}.conv", functional.avg_pool2d(x, 5, 3))
        return dense(f"{name}.fc2", dense(f"{name}.fc1", x).clamp(min=0))

    x = norm(pool(conv("conv1", x, 2, 3)))
    x = pool(norm(conv("conv3", conv("conv2", x), padding=1)))
    x = pool(mix("inception3b", mix("inception3a", x)))
    x = mix("inception4a", x)
    first = head("aux1", x)
    x = mix("inception4d", mix("inception4c", mix("inception4b", x)))
    second = head("aux2", x)
    x = pool(mix("inception4e", x))
    x = mix("inception5b", mix("inception5a", x))
    return dense("fc", x.mean(dim=(2, 3))), second, first


def test_googlenet_is_the_network_written_out() -> None:
    model, alone = create_model("googlenet_aux"), create_model("googlenet").eval()
    randomise(model)
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    w = model.state_dict()
    alone.load_state_dict({key: tensor for key, tensor in w.items() if not key.startswith("aux")}, strict=True)
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, outputs = googlenet_written_out(w, x), model.train()(x)
        for mine, other in zip(outputs, expected, strict=True):
            assert difference(mine, other) < 1e-5
        assert difference(model.eval()(x), expected[0]) < 1e-5
        assert difference(alone(x), expected[0]) < 1e-5
