"""Make keys.json: what torchvision, timm and Keras call the tensors of the networks that have published weights.

    KERAS_PYTHON tests/models/make_keys.py --keras keras.json     in a Python that has Keras 3 with TensorFlow or JAX
    python tests/models/make_keys.py keras.json                   in ours, with torchvision 0.28.0 and timm 1.0.31

Of each network: how many tensors, and a SHA-256 over their names and their numbers of values (see `digest`), which is
the same however a publisher lays them out. test_weight_names.py holds our name maps to it, without the three packages.
"""

import hashlib
import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

KEYS = Path(__file__).with_name("keys.json")
BUILDERS = {
    "vgg16": "VGG16", "vgg19": "VGG19", "inception_v3": "InceptionV3", "inception_resnet_v2": "InceptionResNetV2",
    "resnet50": "ResNet50", "resnet101": "ResNet101", "resnet152": "ResNet152", "densenet121": "DenseNet121",
    "densenet169": "DenseNet169", "densenet201": "DenseNet201", "xception": "Xception",
    "nasnet_a_mobile": "NASNetMobile", "nasnet_a_large": "NASNetLarge",
    **{f"efficientnet_b{i}": f"EfficientNetB{i}" for i in range(8)},
    **{f"mobilenet_v1_{w}_224": f"MobileNet {w}" for w in (1, 0.75, 0.5, 0.25)},
    **{f"mobilenet_v2{'' if w == 1 else f'_{w}'}": f"MobileNetV2 {w}" for w in (1, 0.35, 0.5, 0.75, 1.3, 1.4)},
}  # fmt: skip


def digest(tensors: Iterable[tuple[str, int]]) -> dict[str, Any]:
    """Names with numbers of values, in any order."""
    lines = sorted(f"{name} {count}" for name, count in tensors)
    return {"tensors": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]}


def of_keras(out: Path) -> None:
    """Layer, part and number of values; of a norm only its shift, for some have no scale; no biases."""
    import keras

    found = {}
    for model, builder in BUILDERS.items():
        name, _, width = builder.partition(" ")
        keras.backend.clear_session()
        net = getattr(keras.applications, name)(weights=None, **({"alpha": float(width)} if width else {}))
        found[model] = [
            (f"{layer.name}/{weight.name}", math.prod(weight.shape))
            for layer in net.layers
            for weight in layer.weights
            if weight.name.endswith("kernel") or weight.name == "beta"
        ]  # fmt: skip
    out.write_text(json.dumps(found))


def main(keras: Path) -> None:
    import torch

    from striate.models.published import catalogue
    from striate.models.weightreport import AUXILIARY

    library = torch.library.Library("torchvision", "DEF")  # operators that torchvision looks for when imported
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm
    from torchvision import models

    layers = json.loads(keras.read_text())
    found: dict[str, Any] = {}
    for one in catalogue():
        base = one.name.partition(".")[0].removesuffix("_Weights")
        key = f"{one.publisher}/{base}"
        if one.misfit or not one.urls or key in found:
            continue
        if one.publisher == "Keras":
            name = one.name.removeprefix("keras.applications ")
            if name in layers:
                found[f"Keras/{name}"] = {"model": one.model, **digest(map(tuple, layers[name]))}
            continue
        if one.publisher not in ("torchvision", "timm"):
            continue
        with torch.device("meta"):
            if one.publisher == "timm":
                net = timm.create_model(base)
            else:
                builder = next(n for n in models.list_models() if n == base.lower())
                plain = {"init_weights": False} if builder in ("googlenet", "inception_v3") else {}
                net = models.get_model(builder, weights=None, **plain)
        state = {k: t.numel() for k, t in net.state_dict().items() if "num_batches" not in k and not AUXILIARY.match(k)}
        found[key] = {"model": one.model, **digest(state.items())}
    made = "tests/models/make_keys.py, 2026-11-21; torchvision 0.28.0, timm 1.0.31, Keras 3.15.1"
    lines = ",\n  ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(found.items()))
    KEYS.write_text(f'{{"made": {json.dumps(made)}, "networks": {{\n  {lines}\n}}}}\n')
    print(len(found), "networks")


if __name__ == "__main__":
    if sys.argv[1] == "--keras":
        of_keras(Path(sys.argv[2]))
    else:
        main(Path(sys.argv[1]))
