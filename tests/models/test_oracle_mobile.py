"""MobileNet v1 and v2, MnasNet, ShuffleNet v2, EfficientNet: widths and forms that torchvision and timm do not name.

Needs `make oracles`. The models that they name are compared in test_oracle_logits.
"""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.models.registry import create_model, entry
from tests.models.oracles import TOLERANCE, build, by_name, calibrate, difference, in_order, independent, patches

IMAGES = patches(6, 3, 65, 77, seed=4)
WIDTHS = {
    "mobilenet_v2_0.35": 0.35, "mobilenet_v2_0.5": 0.5, "mobilenet_v2_0.75": 0.75,
    "mobilenet_v2_1.3": 1.3, "mobilenet_v2_1.4": 1.4,
}  # fmt: skip
TRAINED_ALIKE = [
    "mobilenet_v2", *(f"efficientnet_b{i}" for i in range(8)),
    "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3",
    "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0",
]  # fmt: skip


@pytest.mark.oracle
@pytest.mark.parametrize("name", WIDTHS)
def test_other_widths_of_mobilenet_v2_are_torchvisions_class(name: str) -> None:
    theirs = calibrate(independent("torchvision.models").MobileNetV2(width_mult=WIDTHS[name]), IMAGES)
    ours = create_model(name).eval()
    assert list(ours.state_dict()) == list(theirs.state_dict())
    by_name(ours, theirs)
    assert difference(ours, theirs, IMAGES[:2]) < TOLERANCE


@pytest.mark.oracle
@pytest.mark.parametrize("name", TRAINED_ALIKE)
def test_what_only_training_shows_is_torchvisions(name: str) -> None:
    ours, theirs = create_model(name), build(f"torchvision:{name}")

    def norms(model: nn.Module) -> list[tuple[float, float | None]]:
        return [(layer.eps, layer.momentum) for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]

    def dropped(model: nn.Module) -> dict[str, float]:
        return {name: layer.p for name, layer in model.named_modules() if hasattr(layer, "p")}

    assert norms(ours) == norms(theirs)
    mine, known = dropped(ours), dropped(theirs)
    assert mine.items() <= known.items()  # torchvision's blocks without a shortcut have a rate, too, and do not use it
    assert {key for key in known if "stochastic" not in key} <= set(mine)


@pytest.mark.oracle
@pytest.mark.parametrize("name", ["mobilenet_v2", "efficientnet_b0", "mnasnet1_0", "shufflenet_v2_x1_0"])
def test_the_first_weights_are_spread_as_torchvisions(name: str) -> None:
    ours, theirs = create_model(name).state_dict(), build(f"torchvision:{name}").state_dict()
    for key, tensor in theirs.items():
        if tensor.numel() > 10_000:
            assert ours[key].std().item() == pytest.approx(tensor.std().item(), rel=0.05), key
        elif tensor.ndim < 2 and not (name.startswith("shuffle") and key == "fc.bias"):  # which is random there
            assert torch.equal(ours[key], tensor), key


@pytest.mark.oracle
@pytest.mark.parametrize("width", [1, 0.75, 0.5, 0.25])
def test_names_and_logits_of_mobilenet_v1_are_timms(width: float) -> None:
    independent("torchvision")  # before timm, which imports it
    builder = independent("timm.models.efficientnet")._gen_mobilenet_v1
    theirs = calibrate(builder("mobilenetv1_100", width), IMAGES)
    for side in (224, 192, 160, 128):
        ours = create_model(f"mobilenet_v1_{width}_{side}").eval()
        assert list(ours.state_dict()) == list(theirs.state_dict())
        by_name(ours, theirs)
        assert difference(ours, theirs, IMAGES[:2]) < TOLERANCE
    assert entry("mobilenetv1_100").name == "mobilenet_v1_1_224"


@pytest.mark.oracle
@pytest.mark.parametrize("form", ["b0", "b4"])
@pytest.mark.parametrize("sides", [(64, 80), (65, 77)])  # SAME shares its zeros otherwise where sides are odd
def test_the_tensorflow_form_is_timms_with_that_padding(form: str, sides: tuple[int, int]) -> None:
    images, ours = patches(6, 3, *sides, seed=4), create_model(f"efficientnet_{form}", tensorflow=True).eval()
    theirs = calibrate(build(f"timm:tf_efficientnet_{form}"), images)
    in_order(ours, theirs)
    assert difference(ours, theirs, images[:2]) < TOLERANCE


@pytest.mark.oracle
def test_the_tensorflow_form_reads_other_pixels() -> None:
    theirs = calibrate(build("torchvision:mobilenet_v2"), images := patches(6, 3, 64, 80, seed=4))
    ours = create_model("mobilenet_v2", tensorflow=True).eval()
    by_name(ours, theirs)
    assert difference(ours, theirs, images[:2]) > 1e-2


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
    ours = calibrate(create_model(f"mobilenet_v1_{name}"), IMAGES)
    blocks = [(f"blocks.{s}.{i}", 2 if s and not i else 1) for s, count in enumerate(counts) for i in range(count)]
    assert difference(ours, partial(written_out, ours.state_dict(), blocks), IMAGES[:2]) < TOLERANCE
