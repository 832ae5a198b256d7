"""Models in TensorFlow's form against Keras: from the same weights the same logits, in double and in single precision.

Norms' weights are harsher in double precision, where whatever is wrong shows; in single precision they are such that
two libraries that add up in another order stay close to each other. See `keras_oracle.py`.

Keras runs in a process of its own, on whichever backend it finds. `make oracles` brings it with torch as its backend,
on which it does not build NASNet; STRIATE_KERAS_PYTHON names another Python that has Keras 3, with TensorFlow or JAX.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.models.registry import create_model
from tests.models.oracles import NORMS, difference, patches

Options = dict[str, Any]

pytestmark = pytest.mark.oracle
PYTHON = os.environ.get("STRIATE_KERAS_PYTHON", sys.executable)
FIND = "import importlib.util as u; print(*(b for b in ('keras', 'tensorflow', 'jax', 'torch') if u.find_spec(b)))"
# Sides leave several positions at the end: statistics of six values make roundings grow, up to 3e-5.
# MobileNet pads by one at the far end only, also where a side is odd; no side is with the sizes it was published for.
KERAS: list[tuple[str, Options, str, Options, tuple[int, int]]] = [
    ("mobilenet_v1_0.25_224", {"tensorflow": True}, "MobileNet", {"alpha": 0.25}, (64, 96)),
    ("mobilenet_v1_1_224", {"tensorflow": True}, "MobileNet", {}, (64, 96)),
    ("mobilenet_v2_0.35", {"tensorflow": True}, "MobileNetV2", {"alpha": 0.35}, (64, 77)),
    ("mobilenet_v2_1.3", {"tensorflow": True}, "MobileNetV2", {"alpha": 1.3}, (64, 77)),
    ("efficientnet_b0", {"tensorflow": True}, "EfficientNetB0", {}, (64, 77)),
    ("efficientnet_b4", {"tensorflow": True}, "EfficientNetB4", {}, (64, 77)),
    ("xception", {"tensorflow": True}, "Xception", {}, (104, 117)),
    ("inception_v3", {"tensorflow": True}, "InceptionV3", {}, (139, 146)),
    ("inception_resnet_v2", {}, "InceptionResNetV2", {}, (139, 146)),
    ("densenet121", {}, "DenseNet121", {}, (64, 77)),
    ("resnet50.paper", {}, "ResNet50", {}, (64, 77)),
    ("resnet152.paper", {}, "ResNet152", {}, (64, 77)),
    ("nasnet_a_mobile", {"tensorflow": True}, "NASNetMobile", {}, (64, 77)),
    ("nasnet_a_large", {"tensorflow": True}, "NASNetLarge", {}, (64, 77)),
]
PIXEL = float(np.float32(1 / 255))  # what Keras' EfficientNets multiply pixels by, in whatever precision they compute
EPS = dict.fromkeys(("DenseNet121", "ResNet50", "ResNet152"), 1.001e-5)  # where it is Keras' own; ours is 1e-5


def answer(builder: str, options: Options, images: Tensor, folder: Path) -> tuple[list[dict[str, Tensor]], Tensor]:
    """Keras' layers with weights in the order in which they were made, in our layout, and logits of two images."""
    found = subprocess.run([PYTHON, "-c", FIND], capture_output=True, text=True, check=True).stdout.split()
    if "keras" not in found:
        pytest.skip(f"needs Keras 3 in {Path(PYTHON).name}: make oracles, or set STRIATE_KERAS_PYTHON")
    backend = next(name for name in ("tensorflow", "jax", "torch") if name in found)
    if backend == "torch" and builder.startswith("NASNet"):
        pytest.skip("Keras does not build NASNet on torch: set STRIATE_KERAS_PYTHON to a Python with TensorFlow or JAX")
    if backend == "torch" and images.dtype == torch.float64:
        pytest.skip("Keras on torch is up to 7e-6 away from double precision: set STRIATE_KERAS_PYTHON, as for NASNet")
    np.save(folder / "x.npy", images.permute(0, 2, 3, 1).numpy())
    script = Path(__file__).parent / "keras_oracle.py"
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    command = [PYTHON, str(script), builder, json.dumps(options), str(folder / "x.npy"), str(folder / "out.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    layers: dict[str, dict[str, Tensor]] = {}
    with np.load(folder / "out.npz", allow_pickle=False) as arrays:
        for key in arrays.files[1:]:
            number, _, kind, weight = key.split("/")
            layers.setdefault(f"{number}/{kind}", {})[weight] = torch.from_numpy(arrays[key])
        logits = torch.from_numpy(arrays["logits"])
    return [layer for key, layer in layers.items() for layer in translated(key.partition("/")[2], layer)], logits


def translated(kind: str, weights: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Height, width, in, out -> out, in, height, width. A separable convolution is two layers of ours."""
    bias = {"bias": weights["bias"]} if "bias" in weights else {}
    match kind:
        case "Conv2D":
            return [{"weight": weights["kernel"].permute(3, 2, 0, 1), **bias}]
        case "DepthwiseConv2D":
            return [{"weight": weights["kernel"].permute(2, 3, 0, 1)}]
        case "SeparableConv2D":
            return [
                {"weight": weights["depthwise_kernel"].permute(2, 3, 0, 1)},
                {"weight": weights["pointwise_kernel"].permute(3, 2, 0, 1)},
            ]
        case "Dense":
            return [{"weight": weights["kernel"].T, **bias}]
    norm = {"bias": weights["beta"], "running_mean": weights["moving_mean"], "running_var": weights["moving_variance"]}
    return [{"weight": weights.get("gamma", torch.ones_like(weights["beta"])), **norm}]


# In a cell of NASNet's the earlier of its two states is fitted first; in blocks the shortcut is first.
EARLIER = ("path_1", "path_2", "final_path_bn", "conv_prev_1x1", "skip", "skipbn", "downsample")


def as_made(model: nn.Module, x: Tensor) -> list[nn.Module]:
    """Our layers with weights in the order in which Keras makes its own: as they run, but for what is EARLIER."""
    ran: list[tuple[list[str], nn.Module]] = []
    hooks = [
        layer.register_forward_pre_hook(lambda layer, _, name=name: ran.append((name.split("."), layer)))
        for name, layer in model.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.Linear, *NORMS))
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    blocks = list(dict.fromkeys(block_of(name) for name, _ in ran))
    ran.sort(key=lambda row: (blocks.index(block_of(row[0])), not any(part in EARLIER for part in row[0][1:3])))
    return [layer for _, layer in ran]


def block_of(name: list[str]) -> tuple[str, ...]:
    """The cell, or the numbered block of a stage."""
    return tuple(name[:2] if name[1:2] and name[1].isdigit() else name[:1])


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-9)], ids=str)
@pytest.mark.parametrize(
    ("name", "form", "builder", "options", "sides"), KERAS, ids=[f"{row[0]}-{row[2]}" for row in KERAS]
)
def test_weights_of_keras_give_its_logits(
    name: str, form: Options, builder: str, options: Options, sides: tuple[int, int],
    precision: torch.dtype, tolerance: float, tmp_path: Path,
) -> None:  # fmt: skip
    images = patches(6, 3, *sides, seed=4).to(precision)
    weights, logits = answer(builder, options, images, tmp_path)
    images = images * PIXEL if builder.startswith("EfficientNet") else images
    ours = create_model(name, **form).to(precision).eval()
    bias = torch.zeros(())  # of a convolution that has none here: the norm that follows subtracts that much less
    for layer, theirs in zip(as_made(ours, images[:2]), weights, strict=True):
        extra = {"num_batches_tracked": torch.tensor(0)} if isinstance(layer, NORMS) else {}
        if isinstance(layer, nn.Linear):  # MobileNet's last is a 1×1 convolution there
            theirs["weight"] = theirs["weight"].flatten(1)
        if isinstance(layer, nn.Conv2d):
            bias = theirs.pop("bias") if "bias" in theirs and layer.bias is None else torch.zeros(())
        if isinstance(layer, NORMS):
            theirs["running_mean"] = theirs["running_mean"] - bias
        layer.load_state_dict({**theirs, **extra}, strict=True)
        if isinstance(layer, NORMS) and builder in EPS:
            layer.eps = EPS[builder]
    assert difference(ours, lambda _: logits, images[:2]) < tolerance
