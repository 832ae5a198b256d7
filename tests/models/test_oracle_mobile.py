"""MobileNet v1 and v2, MnasNet, ShuffleNet v2 and EfficientNet against torchvision, timm, and networks written out.

Needs `pip install --no-deps torchvision==0.28.0 timm==1.0.31`; torchvision's compiled operators are not used.
"""

import sys
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.models.efficientnet import efficientnet
from striate.models.mobilenet_v2 import mobilenet_v2
from striate.models.registry import create_model, entry

pytestmark = pytest.mark.oracle

WIDTHS = {
    "mobilenet_v2": 1.0, "mobilenet_v2_0.35": 0.35, "mobilenet_v2_0.5": 0.5, "mobilenet_v2_0.75": 0.75,
    "mobilenet_v2_1.3": 1.3, "mobilenet_v2_1.4": 1.4,
}  # fmt: skip
SAME_NAME = [
    *(f"efficientnet_b{i}" for i in range(8)),
    "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3",
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0",
]  # fmt: skip
TIMM = [
    "mobilenetv2_035", "mobilenetv2_050", "mobilenetv2_075", "mobilenetv2_100", "mobilenetv2_140",
    "mnasnet_050", "mnasnet_075", "mnasnet_100",
    *(f"efficientnet_b{i}" for i in range(5)),  # from B5 on timm has another eps than torchvision
]  # fmt: skip


@pytest.fixture(scope="module")
def torchvision() -> ModuleType:
    if "torchvision" not in sys.modules:
        library = torch.library.Library("torchvision", "DEF")  # operators that torchvision looks for when imported
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        globals()["_library"] = library  # they are gone with it
    return pytest.importorskip("torchvision.models", reason="needs torchvision, without its dependencies")


@pytest.fixture(scope="module")
def timm(torchvision: ModuleType) -> ModuleType:
    return pytest.importorskip("timm", reason="needs timm, without its dependencies")


def randomised(model: nn.Module) -> nn.Module:
    """The model in evaluation, its norms with weights of their own and the statistics of random images.

    With statistics that are random, too, a deep network gives the same logits for every image, to five digits.
    """
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5, generator=generator)
                layer.bias.uniform_(-0.5, 0.5, generator=generator)
                layer.momentum = 1.0  # all of the next batch's
        model.train()(images(8, 64, 80, seed=4))
    return model.eval()


def images(n: int, h: int, w: int, seed: int) -> Tensor:
    """Random in coarse patches, so that they differ by more than noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 3, 4, 4, generator=generator)
    return F.interpolate(coarse, (h, w), mode="bilinear") + 0.5 * torch.randn(n, 3, h, w, generator=generator)


def relative(ours: nn.Module, theirs: Any, sides: tuple[int, int] = (64, 80)) -> float:
    """The largest difference of the logits on random images, relative to the largest logit."""
    x = images(2, *sides, seed=3)
    with torch.no_grad():
        a, b = ours.eval()(x), theirs(x)
    assert (b[0] - b[1]).abs().max() > 0.1 * b.abs().max()  # what is compared depends on the image
    found = ((a - b).abs().max() / b.abs().max()).item()
    print(f"largest relative difference {found:.1e}")
    return found


def in_order(ours: nn.Module, theirs: nn.Module) -> None:
    """Copy weights from a model that has the same tensors in the same order, under other names."""
    state = ours.state_dict()
    ours.load_state_dict(dict(zip(state, theirs.state_dict().values(), strict=True)))


@pytest.mark.parametrize("name", [*WIDTHS, *SAME_NAME])
def test_names_and_logits_are_torchvisions(torchvision: ModuleType, name: str) -> None:
    if name in WIDTHS:
        theirs = randomised(torchvision.MobileNetV2(width_mult=WIDTHS[name]))
    else:
        theirs = randomised(getattr(torchvision, name)(weights=None))
    ours = create_model(name)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert relative(ours, theirs) < 1e-5


@pytest.mark.parametrize("name", ["mobilenet_v2", *SAME_NAME])
def test_what_only_training_shows_is_torchvisions(torchvision: ModuleType, name: str) -> None:
    ours, theirs = create_model(name), getattr(torchvision, name)(weights=None)

    def norms(model: nn.Module) -> list[tuple[float, float | None]]:
        return [(layer.eps, layer.momentum) for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]

    def dropped(model: nn.Module) -> dict[str, float]:
        return {name: layer.p for name, layer in model.named_modules() if hasattr(layer, "p")}

    assert norms(ours) == norms(theirs)
    mine, known = dropped(ours), dropped(theirs)
    assert mine.items() <= known.items()  # torchvision's blocks without a shortcut have a rate, too, and do not use it
    assert {key for key in known if "stochastic" not in key} <= set(mine)


@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_b0", "mnasnet1_0", "shufflenet_v2_x1_0"])
def test_the_first_weights_are_spread_as_torchvisions(torchvision: ModuleType, name: str) -> None:
    ours, theirs = create_model(name).state_dict(), getattr(torchvision, name)(weights=None).state_dict()
    for key, tensor in theirs.items():
        if tensor.numel() > 10_000:
            assert ours[key].std().item() == pytest.approx(tensor.std().item(), rel=0.05), key
        elif tensor.ndim < 2 and not (name.startswith("shuffle") and key == "fc.bias"):  # which is random there
            assert torch.equal(ours[key], tensor), key


@pytest.mark.parametrize("name", TIMM)
def test_an_alias_is_the_model_that_timm_calls_so(timm: ModuleType, name: str) -> None:
    theirs, ours = randomised(timm.create_model(name, pretrained=False)), create_model(name)
    in_order(ours, theirs)
    assert relative(ours, theirs) < 1e-5


@pytest.mark.parametrize("width", [1, 0.75, 0.5, 0.25])
def test_names_and_logits_of_mobilenet_v1_are_timms(timm: ModuleType, width: float) -> None:
    theirs = randomised(timm.models.efficientnet._gen_mobilenet_v1("mobilenetv1_100", width))
    for side in (224, 192, 160, 128):
        ours = create_model(f"mobilenet_v1_{width}_{side}")
        assert list(ours.state_dict()) == list(theirs.state_dict())
        ours.load_state_dict(theirs.state_dict(), strict=True)
        assert relative(ours, theirs) < 1e-5
    assert entry("mobilenetv1_100").name == "mobilenet_v1_1_224"


@pytest.mark.parametrize("form", [("b0", 1.0, 1.0), ("b4", 1.4, 1.8)])
@pytest.mark.parametrize("sides", [(64, 80), (65, 77)])  # SAME shares its zeros otherwise where sides are odd
def test_the_tensorflow_form_is_timms_with_that_padding(
    timm: ModuleType, form: tuple[str, float, float], sides: tuple[int, int]
) -> None:
    theirs = randomised(timm.create_model(f"tf_efficientnet_{form[0]}", pretrained=False))
    ours = efficientnet(*form[1:], 0.2, 1e-5, 0.1, 1000, 3, tensorflow=True)
    in_order(ours, theirs)
    assert relative(ours, theirs, sides) < 1e-5


def test_the_tensorflow_form_reads_other_pixels(torchvision: ModuleType) -> None:
    theirs = randomised(torchvision.mobilenet_v2(weights=None))
    ours = mobilenet_v2(1.0, 1000, 3, tensorflow=True)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    assert relative(ours, theirs) > 1e-2


def norm_relu6(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    mean, var, gamma, beta = (
        state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return ((x - mean) / torch.sqrt(var + 1e-5) * gamma + beta).clamp(0, 6)


def written_out(state: dict[str, Tensor], blocks: list[tuple[str, int]], x: Tensor) -> Tensor:
    """Tables 1, 4 and 5 of the paper of MobileNet v1, without any of Striate's layers."""
    x = norm_relu6(state, "bn1", F.conv2d(x, state["conv_stem.weight"], stride=2, padding=1))
    for at, stride in blocks:
        if f"{at}.conv.weight" in state:
            x = norm_relu6(state, f"{at}.bn", F.conv2d(x, state[f"{at}.conv.weight"], stride=stride, padding=1))
            continue
        x = F.conv2d(x, state[f"{at}.conv_dw.weight"], stride=stride, padding=1, groups=x.shape[1])
        x = norm_relu6(state, f"{at}.bn1", x)
        x = norm_relu6(state, f"{at}.bn2", F.conv2d(x, state[f"{at}.conv_pw.weight"]))
    return x.mean((2, 3)) @ state["classifier.weight"].T + state["classifier.bias"]


@pytest.mark.parametrize(("name", "counts"), [("shallow", (1, 2, 2, 1, 2)), ("fullconv", (1, 2, 2, 6, 2))])
def test_the_networks_it_is_compared_with_are_the_papers_written_out(name: str, counts: tuple[int, ...]) -> None:
    ours = randomised(create_model(f"mobilenet_v1_{name}"))
    blocks = [(f"blocks.{s}.{i}", 2 if s and not i else 1) for s, count in enumerate(counts) for i in range(count)]
    assert relative(ours, partial(written_out, ours.state_dict(), blocks)) < 1e-5
