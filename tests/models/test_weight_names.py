"""The name maps give the names that torchvision, timm and Keras have, for every network with published weights.

keys.json was made of the three packages (make_keys.py); here our networks are renamed, and the result compared.
"""

import json
from collections import Counter
from typing import Any

import pytest
from torch import nn

from striate.models.dialects import DENSE, NORMS, OWN, Dialect, dialects, rename
from striate.models.published import catalogue
from striate.models.registry import create_model
from striate.models.shapes import without_numbers
from tests.models.make_keys import KEYS, digest

NETWORKS: dict[str, dict[str, Any]] = json.loads(KEYS.read_text())["networks"]
BY_NAME = {dialect.name: dialect for dialect in dialects()}
# each takes more than half a second to build, even without numbers
LARGE = (
    "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "nasnet_a_large", "inception_resnet_v2",
    "resnet152", "densenet201", "senet154", "se_resnet152",
)  # fmt: skip


def theirs_of_torch(model: nn.Module, dialect: Dialect) -> list[tuple[str, int]]:
    seen: dict[int, dict[str, int]] = {}
    found = []
    for key, tensor in model.state_dict().items():
        path, _, part = key.rpartition(".")
        if part != "num_batches_tracked":
            name = rename(path, dialect.names, seen)
            found.append((f"{name}.{part}" if name else key, tensor.numel()))
    return found


def theirs_of_keras(model: nn.Module, dialect: Dialect) -> list[tuple[str, int]]:
    seen: dict[int, dict[str, int]] = {}
    counts: Counter[str] = Counter()
    layers = [(path, layer) for path, layer in model.named_modules() if isinstance(layer, (*NORMS, *DENSE))]
    names = []
    for path, layer in layers:
        name = rename(path, dialect.names, seen)
        if name is None:
            base = dialect.counted["norm" if isinstance(layer, NORMS) else "conv"]
            name = f"{base}_{counts[base]}" if counts[base] else base
            counts[base] += 1
        names.append(name)
    shared = Counter(names)  # a separable convolution is two of ours
    found = []
    for name, (_, layer) in zip(names, layers, strict=True):
        grouped = isinstance(layer, nn.Conv2d) and layer.groups > 1
        part = "beta" if isinstance(layer, NORMS) else "kernel"
        if shared[name] == 2:
            part = "depthwise_kernel" if grouped else "pointwise_kernel"
        found.append((f"{name}/{part}", layer.weight.numel()))  # type: ignore[union-attr, operator, arg-type]
    return found


def _names(name: str) -> tuple[str, str]:
    """`ResNet18_Weights.IMAGENET1K_V1` -> `ResNet18`; `keras.applications vgg16` -> `vgg16`."""
    return name.partition(".")[0].removesuffix("_Weights"), name.removeprefix("keras.applications ")


@pytest.mark.parametrize(
    "network",
    [pytest.param(n, marks=pytest.mark.slow if NETWORKS[n]["model"].startswith(LARGE) else ()) for n in NETWORKS],
)
def test_our_name_map_gives_the_publishers_names(network: str) -> None:
    known = NETWORKS[network]
    publisher, _, base = network.partition("/")
    mine = [one for one in catalogue() if one.model == known["model"] and one.publisher == publisher and not one.misfit]
    assert mine, "the catalogue has nothing of it"
    entry = next(one for one in mine if base in _names(one.name))
    with without_numbers():
        model = create_model(known["model"])
    dialect = BY_NAME[entry.dialect] if entry.dialect else OWN
    named = theirs_of_keras(model, dialect) if publisher == "Keras" else theirs_of_torch(model, dialect)
    assert digest(named) == {key: known[key] for key in ("tensors", "sha256")}


def test_every_published_file_has_its_network_in_the_list() -> None:
    have = {(network.partition("/")[0], known["model"]) for network, known in NETWORKS.items()}
    sides = [f"_{side}" for side in (192, 160, 128)]  # MobileNet v1 has the same tensors at every size
    missing = {
        (one.publisher, one.model)
        for one in catalogue()
        if one.urls and not one.misfit and one.publisher in ("torchvision", "timm", "Keras")
        and not (one.model.startswith("mobilenet_v1") and one.model.endswith(tuple(sides)))
    } - have  # fmt: skip
    assert missing == set()


def test_a_wrong_rule_is_seen() -> None:
    with without_numbers():
        model = create_model("mobilenet_v1_1_224")
    rules = BY_NAME["keras.mobilenet_v1"].names
    wrong = Dialect("wrong", names=tuple(("conv_stem", "conv_1") if rule[0] == "conv_stem" else rule for rule in rules))
    assert digest(theirs_of_keras(model, wrong))["sha256"] != NETWORKS["Keras/mobilenet_v1_1_224"]["sha256"]
