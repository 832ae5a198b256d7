"""Every model that torchvision or timm has: from the same weights the same logits; and which model has no such proof.

Needs `make oracles`. What another implementation has in another form is compared in test_oracle_*, form by form.
"""

import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch
from torch import nn

from striate.models.registry import create_model, entry, list_models
from tests.models.oracles import TOLERANCE, build, by_name, calibrate, difference, in_order, patches
from tests.models.test_classics import FORMS
from tests.models.test_oracle_classics import WRITTEN_OUT

# Model -> networks that have the same tensors under the same names.
SAME_NAMES = {
    **{name: [f"torchvision:{name}"] for name in (
        "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn",
        "squeezenet1_0", "squeezenet1_1", "mobilenet_v2", "mnasnet1_3",
        "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0",
        "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", *(f"efficientnet_b{i}" for i in range(8)))},
    **{name: [f"torchvision:{name}", f"timm:{name}"] for name in (
        "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "inception_v3",
        "densenet121", "densenet161", "densenet169", "densenet201",
        "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2")},
    "alexnet_torchvision": ["torchvision:alexnet"],
    "googlenet_bn": ["torchvision:googlenet"],
    "inception_v4": ["timm:inception_v4"],
    "inception_resnet_v2": ["timm:inception_resnet_v2"],
    "xception": ["timm:legacy_xception"],
    "resnext101_32x4d": ["timm:resnext101_32x4d"],
    **{name: [f"timm:legacy_{name.replace('_', '', 1)}"] for name in (
        "se_resnet50", "se_resnet101", "se_resnet152", "se_resnext50_32x4d", "senet154")},
    "mobilenet_v1_1_224": ["timm:mobilenetv1_100"],
    "nasnet_a_large": ["timm:nasnetalarge"],
    "resnet50v2": ["timm:resnetv2_50"], "resnet101v2": ["timm:resnetv2_101"], "resnet152v2": ["timm:resnetv2_152"],
}  # fmt: skip
# Model -> network that has the same tensors in the same order, under other names or in another shape.
SAME_ORDER = {
    **{name: f"timm:{name}" for name in (
        "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn",
        *(f"efficientnet_b{i}" for i in range(5)))},  # from B5 on timm has another eps than torchvision
    "mobilenet_v2": "timm:mobilenetv2_100", "mobilenet_v2_0.35": "timm:mobilenetv2_035",
    "mobilenet_v2_0.5": "timm:mobilenetv2_050", "mobilenet_v2_0.75": "timm:mobilenetv2_075",
    "mobilenet_v2_1.4": "timm:mobilenetv2_140",
    "mnasnet0_5": "timm:mnasnet_050", "mnasnet0_75": "timm:mnasnet_075", "mnasnet1_0": "timm:mnasnet_100",
    "squeezenet_simple_bypass": "pytorchcv:squeezeresnet_v1_0", "bn_inception": "pytorchcv:bninception",
    "wrn28_10": "pytorchcv:wrn28_10_cifar10", "resnet50.paper": "pytorchcv:resnet50",
    "resnet101.paper": "pytorchcv:resnet101", "resnet152.paper": "pytorchcv:resnet152",
}  # fmt: skip
# Models that are compared elsewhere: the file, and with what. Patterns; the first that fits counts.
ELSEWHERE = {
    "mobilenet_v2_1.3": "test_oracle_mobile: torchvision's class at this width",
    "mobilenet_v1_[0-9]*": "test_oracle_mobile: timm's builder at this width",
    "mobilenet_v1_*": "test_oracle_mobile: written out",
    "densenet264": "test_oracle_densenet: torchvision's class with this table",
    "cifar_densenet_bc*": "test_oracle_densenet: torchvision's class with the stem exchanged",
    "plain[0-9]*": "test_oracle_residual: torchvision's network with nothing added",
    "inception_resnet_v1": "test_oracle_inception: pytorchcv",
    "nasnet_*": "test_oracle_nasnet: timm's cells, and Keras",
    "googlenet*": "test_oracle_inception: written out",
    "cifar_*": "test_residual_families: written out",
    "stochastic_depth_*": "test_residual_families: written out",
    "*": "test_classics, test_oracle_classics: written out",
}
# Models of which no other implementation was found, with the reason.
ALONE = {
    "inception_v2_table1": "the paper prints no widths for its branches; the form here is a reading of its table",
}
SIDES = {"inception": (75, 82), "xception": (71, 80), "nasnet": (64, 71), "vgg": (64, 48), "alexnet": (80, 64)}
FIXED = {"squeezenet": (224, 224), "bn_inception": (224, 224), "wrn": (32, 32), "resnet": (224, 224)}  # of pytorchcv
PAIRS = [(name, oracle) for name, found in SAME_NAMES.items() for oracle in found]


def sides(name: str, oracle: str) -> tuple[int, int]:
    """Odd, and not square, where the networks can take it."""
    table = FIXED if oracle.startswith("pytorchcv") else SIDES
    return next((found for start, found in table.items() if name.startswith(start)), (65, 77))


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "oracle"), PAIRS, ids=map("-".join, PAIRS))
def test_published_weights_load_by_name_and_give_the_same_logits(name: str, oracle: str) -> None:
    images = patches(6, entry(name).input[0], *sides(name, oracle), seed=4)
    theirs, ours = calibrate(build(oracle), images), create_model(name).eval()
    assert entry(oracle.partition(":")[2]) is entry(name) or name == "googlenet_bn"
    assert oracle.startswith("timm") or list(ours.state_dict()) == list(theirs.state_dict())
    by_name(ours, theirs)
    assert difference(ours, theirs, images[:2]) < TOLERANCE


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "oracle"), SAME_ORDER.items(), ids=map("-".join, SAME_ORDER.items()))
def test_weights_in_the_same_order_give_the_same_logits(name: str, oracle: str) -> None:
    images = patches(6, entry(name).input[0], *sides(name, oracle), seed=4)
    theirs, ours = calibrate(build(oracle), images), create_model(name).eval()
    in_order(ours, theirs)
    assert difference(ours, theirs, images[:2]) < TOLERANCE


@pytest.mark.oracle
@pytest.mark.parametrize("number", [5, 6, 7])
def test_large_efficientnets_are_timms_but_for_the_eps_of_their_norms(number: int) -> None:
    images = patches(6, 3, 65, 77, seed=4)
    theirs, ours = build(f"timm:efficientnet_b{number}"), create_model(f"efficientnet_b{number}").eval()
    for layer in theirs.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.eps == 1e-5
            layer.eps = 1e-3  # torchvision's, and that of the weights' authors
    in_order(ours, calibrate(theirs, images))
    assert difference(ours, theirs, images[:2]) < TOLERANCE


@pytest.mark.parametrize("name", list_models())
def test_every_model_has_an_independent_proof_or_a_reason_not_to(name: str) -> None:
    if name in SAME_NAMES or name in SAME_ORDER or name in ALONE:
        return
    how = next(how for pattern, how in ELSEWHERE.items() if fnmatchcase(name, pattern))
    if how.startswith("test_classics"):
        assert name in {form[0] for form in FORMS} | set(WRITTEN_OUT)
    assert (Path(__file__).parent / f"{how.partition(':')[0].partition(',')[0]}.py").is_file()


def test_every_model_that_torchvision_or_timm_has_is_compared_with_it(shared: Path) -> None:
    compared = {oracle for _, oracle in PAIRS} | set(SAME_ORDER.values())
    names = {name: {name, *entry(name).aliases} for name in list_models()}
    missing = []
    for facts in json.loads((shared / "facts" / "facts.json").read_text())["architectures"]:
        name = next((name for name, known in names.items() if facts["id"] in known), None)
        expected = facts["expected"]
        for reference in facts["references"] if name and expected["macs"] else ():
            oracle = f"{reference['impl']}:{reference['builder']}"
            same = all(reference.get(key) == expected[key] for key in ("params_trainable", "macs"))
            plain = "(" not in oracle and "@" not in oracle and ":tf_" not in oracle
            if reference["impl"] in ("torchvision", "timm") and same and plain and oracle not in compared:
                missing.append(oracle)
    assert missing == KNOWN_TO_BE_MISSING


KNOWN_TO_BE_MISSING = [
    "timm:seresnext50_32x4d", "timm:senet154",  # the same networks as legacy_, with a reduction that is named otherwise
    "timm:efficientnet_b5", "timm:efficientnet_b6", "timm:efficientnet_b7",  # above, with another eps
]  # fmt: skip


def test_two_images_that_look_alike_to_a_network_are_refused() -> None:
    net = nn.Linear(4, 3)
    x = torch.randn(1, 4).repeat(2, 1)
    with pytest.raises(AssertionError):
        difference(net, net, x)
