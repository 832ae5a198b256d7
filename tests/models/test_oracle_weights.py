"""Weights that torchvision, timm and Keras have written load by their path, and give their logits.

Needs torchvision and timm (`make oracles`); for Keras' .h5 files Keras 3 in this Python, or in STRIATE_KERAS_PYTHON.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from striate.models.registry import create_model
from striate.models.weights import report_of
from tests.models.oracles import TOLERANCE, build, calibrate, difference, patches
from tests.models.test_oracle_keras import FIND, PYTHON

pytestmark = pytest.mark.oracle

PTH = [
    ("resnet18", "torchvision:resnet18", 64), ("googlenet_bn", "torchvision:googlenet", 64),
    ("mobilenet_v2", "torchvision:mobilenet_v2", 64), ("inception_v3", "torchvision:inception_v3", 75),
    ("densenet121", "torchvision:densenet121", 64), ("mobilenet_v2", "timm:mobilenetv2_100", 64),
    ("efficientnet_b0", "timm:efficientnet_b0", 64), ("mnasnet1_0", "timm:mnasnet_100", 64),
    ("resnet50v2", "timm:resnetv2_50", 64), ("vgg11", "timm:vgg11", 224),
]  # fmt: skip
H5: list[tuple[str, str, dict[str, Any], tuple[int, int], float]] = [  # EfficientNet divides pixels by 255 itself
    ("mobilenet_v1_0.25_224", "MobileNet", {"alpha": 0.25}, (64, 96), 1),  # Keras pads odd maps otherwise than TF-Slim
    ("mobilenet_v2_0.35", "MobileNetV2", {"alpha": 0.35}, (64, 77), 1),
    ("efficientnet_b0", "EfficientNetB0", {}, (64, 77), 255),
    ("xception", "Xception", {}, (72, 85), 1),
    ("inception_v3", "InceptionV3", {}, (75, 82), 1),
    ("inception_resnet_v2", "InceptionResNetV2", {}, (75, 82), 1),
    ("resnet50.paper", "ResNet50", {}, (64, 77), 1),
    ("densenet121", "DenseNet121", {}, (64, 77), 1),
    ("nasnet_a_mobile", "NASNetMobile", {}, (64, 77), 1),
]


@pytest.mark.parametrize(("name", "oracle", "side"), PTH, ids=[f"{row[0]}-{row[1]}" for row in PTH])
def test_a_pth_file_of_theirs_gives_their_logits(name: str, oracle: str, side: int, tmp_path: Path) -> None:
    images = patches(6, 3, side, side + 7 if side < 224 else side, seed=4)
    theirs = calibrate(build(oracle), images)
    torch.save({"state_dict": theirs.state_dict()}, tmp_path / "x.pth")
    ours = create_model(name, weights=tmp_path / "x.pth").eval()
    assert difference(ours, theirs, images[:2]) < TOLERANCE
    report = report_of(ours)
    assert report is not None
    assert report.dialect == ("own" if oracle.startswith("torchvision") or name == "resnet50v2" else report.dialect)


@pytest.mark.parametrize(("name", "builder", "options", "sides", "scale"), H5, ids=[f"{r[0]}-{r[1]}" for r in H5])
def test_an_h5_file_of_keras_gives_its_logits(
    name: str, builder: str, options: dict[str, Any], sides: tuple[int, int], scale: float, tmp_path: Path
) -> None:
    pytest.importorskip("h5py", reason="needs striate[keras-weights]")
    found = subprocess.run([PYTHON, "-c", FIND], capture_output=True, text=True, check=True).stdout.split()
    if "keras" not in found:
        pytest.skip(f"needs Keras 3 in {Path(PYTHON).name}: make oracles, or set STRIATE_KERAS_PYTHON")
    backend = next(one for one in ("tensorflow", "jax", "torch") if one in found)
    if backend == "torch" and builder.startswith("NASNet"):
        pytest.skip("Keras does not build NASNet on torch: set STRIATE_KERAS_PYTHON to a Python with TensorFlow or JAX")
    images = patches(6, 3, *sides, seed=4)
    np.save(tmp_path / "x.npy", (scale * images).permute(0, 2, 3, 1).numpy())
    paths = [str(tmp_path / file) for file in ("x.npy", "model.h5", "logits.npy")]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("PYTHONPATH", None)
    script = Path(__file__).with_name("keras_h5.py")
    command = [PYTHON, str(script), builder, json.dumps(options), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    ours = create_model(name, weights=tmp_path / "model.h5").eval()
    logits = torch.from_numpy(np.load(tmp_path / "logits.npy"))
    # float32 in two frameworks; in float64 test_oracle_keras.py finds 1e-9
    assert difference(ours, lambda _: logits, images[:2]) < 1e-3
