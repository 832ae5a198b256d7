"""Make striate/models/published.json and class_names.json from the collected facts and from torchvision and timm.

    python tests/models/make_catalogue.py SHARED

SHARED holds facts/facts.json, whose `pretrained` lists were read out of torchvision 0.28.0, timm 1.0.31 and Keras
3.15.1; timm says where its files lie, torchvision has the class names. What fits which form of a network, and in which
form it was trained, is stated here; tests/models/test_oracle_weights.py holds it to the three packages.
"""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from striate.models.registry import create_model, entry
from striate.models.shapes import without_numbers

PACKAGE = Path(__file__).parents[2] / "striate" / "models"
KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"
KERAS_FOLDERS = {
    "vgg16": "vgg16", "vgg19": "vgg19", "resnet": "resnet", "densenet": "densenet", "mobilenet_v1": "mobilenet",
    "mobilenet_v2": "mobilenet_v2", "xception": "xception", "inception_v3": "inception_v3",
    "inception_resnet_v2": "inception_resnet_v2", "nasnet": "nasnet",
}  # fmt: skip
LIBRARYS = "(the library's; none is stated for the weights)"
HALF = [[0.5] * 3, [0.5] * 3]
CAFFE = [[round(v / 255, 8) for v in (103.939, 116.779, 123.68)], [round(1 / 255, 8)] * 3]
KERAS_DIALECTS = {
    "": "efficientnet", "mobilenet": "mobilenet_v1", "inception_v3": "inception", "inception_resnet_v2": "inception",
}  # fmt: skip
PADDED = ("", "mobilenet", "mobilenet_v2", "xception", "inception_v3", "nasnet")  # as TensorFlow does
# timm's names of networks that have no form of ours, and why
TIMM_MISFITS = {
    "seresnet50": "timm's seresnet50 strides on its 3×3 and has another stem; legacy_seresnet50 is the paper's",
    "seresnext50_32x4d": "timm's seresnext50_32x4d is another graph; legacy_seresnext50_32x4d is the paper's",
    "senet154": "timm's senet154 is another graph; legacy_senet154 is the paper's",
    "semnasnet_100": "MnasNet with squeeze and excite, MnasNet-A1; ours is B1",
}
OTHER_IMAGES = ("ssl", "swsl", "wsl", "jft", "12k", "bamboo", "yfcc", "ig1b")  # trained on more than ImageNet-1k
CORAL = {  # file -> model, side, claimed top-1 and top-5
    "imagenet_mobilenet_v1_1.0_224_uint8": ("mobilenet_v1_1_224", 224, 69.7, 89.5),
    "imagenet_mobilenet_v1_0.75_192_uint8": ("mobilenet_v1_0.75_192", 192, 66.2, 87.1),
    "imagenet_mobilenet_v1_0.5_160_uint8": ("mobilenet_v1_0.5_160", 160, 57.7, 81.3),
    "imagenet_mobilenet_v1_0.25_128_uint8": ("mobilenet_v1_0.25_128", 128, 39.9, 65.8),
    "imagenet_mobilenet_v2_1.0_224_uint8": ("mobilenet_v2", 224, 70.8, 89.9),
    "imagenet_mobilenet_v2_1.0_224_float32": ("mobilenet_v2", 224, 70.8, 89.9),
}
AKAMASTER = (
    "https://raw.githubusercontent.com/akamaster/pytorch_resnet_cifar10/"
    "d5489e8995e81e91ce6b1d69dcc98ad579b0b153/pretrained_models/"
)
BOTH_CRANES = {134: "crane (bird)", 517: "crane (machine)", 638: "maillot", 639: "maillot (tank suit)"}


def row(model: str, **known: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        "model": model, "dataset": "imagenet", "tag": "", "publisher": "", "name": "", "file": "", "urls": [],
        "sha256": "", "md5": "", "size_mb": None, "size_stated": False, "licence": "", "top1": None, "top5": None,
        "preprocess": None, "dialect": "", "options": {}, "eps": None, "default": False, "misfit": "",
    }  # fmt: skip
    assert known.keys() <= empty.keys(), known
    return empty | known


def values_mb(model: str) -> float:
    """Of the numbers alone, float32."""
    with without_numbers():
        return round(sum(t.numel() for t in create_model(model).state_dict().values()) * 4 / 1e6, 1)


def of_torchvision(model: str, one: dict[str, Any], models: Any) -> dict[str, Any]:
    weights = next(w for n in models.list_models() for w in models.get_model_weights(n) if w.url.endswith(one["file"]))
    prepared = one["preprocess"]
    numbers: Any = [prepared["mean"], prepared["std"]]
    if numbers == [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]:
        numbers = "imagenet"
    if model in ("googlenet_bn", "inception_v3"):
        numbers = HALF  # torchvision's networks turn the ImageNet scale into this one, inside (transform_input)
    features = one["enum"] == "IMAGENET1K_FEATURES"
    return row(
        model, tag="torchvision." + ("features" if features else one["enum"][-2:].lower()), publisher="torchvision",
        name=str(weights), file=one["file"], urls=[weights.url], sha256=one["hash"].removeprefix("sha256 prefix "),
        size_mb=round(one["file_size_mb"] * 2**20 / 1e6, 1), size_stated=True,
        licence=f"BSD-3-Clause {LIBRARYS}", top1=one.get("top1_acc"), top5=one.get("top5_acc"),
        preprocess=[prepared["crop"], prepared["resize"], prepared["interpolation"], "rgb", numbers],
        misfit="it holds the convolutions alone; its classifier is not a number" if features else "",
    )  # fmt: skip


def of_timm(model: str, one: dict[str, Any], timm: Any) -> dict[str, Any]:
    arch, _, suffix = one["tag"].partition(".")
    known = timm.models.get_pretrained_cfg(one["tag"]).to_dict()
    prepared, measured = one["preprocess"], one.get("measured_at") or {}
    side = measured.get("img") or prepared["input"]
    share = measured.get("crop_pct") or prepared["crop_pct"]
    squashed = prepared["crop_mode"] == "squash"
    numbers: Any = [prepared["mean"], prepared["std"]]
    if numbers == [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]:
        numbers = "imagenet"
    url = known.get("url", "")
    file = url.rpartition("/")[2] if url else f"{one['tag']}.safetensors"
    dialect = next((f"timm.{f}" for f in ("vgg", "mobilenet_v2", "mnasnet", "efficientnet") if model.startswith(f)), "")
    misfit = TIMM_MISFITS.get(arch, "")
    if known.get("num_classes") != 1000:
        misfit = f"it has {known['num_classes'] or 'many thousand'} classes of its own"
    digits = file.rpartition(".")[0].rpartition("-")[2]
    return row(
        model, tag=f"timm.{'tf_' if arch.startswith('tf_') else ''}{suffix}", publisher="timm", name=one["tag"],
        file=file, urls=[url or f"https://huggingface.co/timm/{one['tag']}/resolve/main/model.safetensors"],
        sha256=digits if url and len(digits) >= 8 and not set(digits) - set("0123456789abcdef") else "",
        size_mb=values_mb(model), licence=one.get("license") or "", top1=one.get("top1_acc"), top5=one.get("top5_acc"),
        preprocess=[side, 0 if squashed else int(side / share),
                    measured.get("interpolation") or prepared["interpolation"], "rgb", numbers],
        dialect=dialect, options={"tensorflow": True} if arch.startswith("tf_efficientnet") else {},
        eps=1e-5 if arch == "efficientnet_b5" else None, misfit=misfit,
    )  # fmt: skip


def of_keras(model: str, one: dict[str, Any]) -> dict[str, Any]:
    mode, side = one["preprocess"]["mode"], one["preprocess"]["size"]
    folder = next((place for start, place in KERAS_FOLDERS.items() if model.startswith(start)), "")
    base = KERAS + folder + "/" if folder else KERAS.replace("tensorflow/", "")  # EfficientNet's lie elsewhere
    ours = f"{model}.paper" if model in ("resnet50", "resnet101", "resnet152") else model
    dialect = f"keras.{KERAS_DIALECTS.get(folder, folder)}"
    misfit = ""
    if model.startswith("resnet") and model.endswith("v2"):
        dialect, misfit = (
            "",
            "Keras' network of this name is another graph: biases, strides in the last block of a stage",
        )
    if model.startswith("nasnet"):
        dialect = f"keras.{model.replace('_a', '')}"
    return row(
        ours, tag="keras", publisher="Keras", name=f"keras.applications {model}", file=one["file"],
        urls=[base + one["file"]], md5=(one["hash"] or "").removeprefix("md5 "), size_mb=values_mb(ours),
        licence=f"Apache-2.0 {LIBRARYS}", top1=one.get("top1_acc"), top5=one.get("top5_acc"),
        preprocess=[side, round(side / 0.875), "bilinear", "bgr" if mode == "caffe" else "rgb",
                    {"caffe": CAFFE, "tf": HALF, "torch": "imagenet", "inside": "imagenet"}[mode]],
        dialect=dialect, options={"tensorflow": True} if folder in PADDED and not misfit else {},
        misfit=misfit,
    )  # fmt: skip


def of_akamaster(model: str, one: dict[str, Any], shared: Path) -> list[dict[str, Any]]:
    depth = model.removeprefix("cifar_resnet")
    digits = one["hash"].split()[-1]
    beside = shared / "weights" / f"cifar10_resnet{depth}_akamaster.json"
    if beside.is_file():
        digits = json.loads(beside.read_text())["source"]["sha256"]
    known = {
        "dataset": "cifar10", "publisher": "akamaster/pytorch_resnet_cifar10", "licence": "BSD-2-Clause",
        "top1": round(100 - one["top1_err"], 2), "preprocess": [32, 32, "bilinear", "rgb", "imagenet"],
        "size_mb": values_mb(model),
    }  # fmt: skip
    name, tag, urls = f"resnet{depth}", "akamaster", [AKAMASTER + one["file"]]
    found = [row(model, tag=tag, name=name, file=one["file"], urls=urls, sha256=digits, default=True, **known)]
    if beside.is_file():
        found.append(row(model, tag=f"{tag}.safetensors", name=name, file=f"{beside.stem}.safetensors", **known))
    return found


def converted() -> list[dict[str, Any]]:
    """Files that others have turned into safetensors, known by their names; they can't be downloaded as they are."""
    found = []
    for file, (model, side, top1, top5) in CORAL.items():
        found.append(row(
            model, tag=f"coral.{file.rpartition('_')[2]}", publisher="google-coral/test_data", name=file,
            file=f"{file}.safetensors", licence="Apache-2.0", top1=top1, top5=top5, options={"tensorflow": True},
            dialect="tflite.mobilenet", preprocess=[side, round(side / 0.875), "bilinear", "rgb", HALF],
            size_mb=values_mb(model)))  # fmt: skip
    name, model = "imagenet_mobilenet_v1_0.75_224_keras_float32", "mobilenet_v1_0.75_224"
    found.append(row(
        model, tag="keras.safetensors", publisher="Keras", name=name, file=f"{name}.safetensors", licence="Apache-2.0",
        dialect="keras.mobilenet_v1", options={"tensorflow": True}, preprocess=[224, 256, "bilinear", "rgb", HALF],
        size_mb=values_mb(model)))  # fmt: skip
    mean = [round(v / 255, 8) for v in (104, 117, 123)]
    found.append(row(
        "squeezenet1_0", tag="deepcompressed", publisher="songhan/SqueezeNet-Deep-Compression",
        name="compressed_SqueezeNet.net", file="imagenet_squeezenet1_0_deepcompressed.safetensors",
        licence="BSD-2-Clause", top1=57.5, top5=80.3, dialect="caffe.squeezenet",
        preprocess=[227, 256, "bilinear", "bgr", [mean, [round(1 / 255, 8)] * 3]],
        size_mb=values_mb("squeezenet1_0")))  # fmt: skip
    return found


def choose_defaults(rows: list[dict[str, Any]]) -> None:
    """torchvision's newest; else the best that timm has from ImageNet alone; else Keras'."""

    def rank(one: dict[str, Any]) -> tuple[int, str | float]:
        if one["publisher"] == "torchvision":
            return 2, one["tag"]
        if one["publisher"] == "timm":
            return 1, one["top1"] or 0.0
        return 0, 0.0

    for model in {one["model"] for one in rows}:
        mine = [one for one in rows if one["model"] == model and one["dataset"] == "imagenet" and one["urls"]
                and not one["misfit"] and not any(word in one["tag"] for word in OTHER_IMAGES)]  # fmt: skip
        best = max((rank(one)[0] for one in mine), default=None)
        if best is not None:
            max((one for one in mine if rank(one)[0] == best), key=lambda one: rank(one)[1])["default"] = True  # type: ignore[arg-type, return-value]


def main(shared: Path) -> None:
    library = torch.library.Library("torchvision", "DEF")  # operators that torchvision looks for when imported
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import timm
    from torchvision import models
    from torchvision.models import _meta

    rows = []
    for architecture in json.loads((shared / "facts" / "facts.json").read_text())["architectures"]:
        for one in architecture.get("pretrained") or ():
            model = architecture["id"]
            match one["publisher"].split(" (")[0].split()[0]:
                case "torchvision":
                    rows.append(of_torchvision(model, one, models))
                case "timm":
                    rows.append(of_timm(model, one, timm))
                case "keras.applications":
                    rows.append(of_keras(model, one))
                case "akamaster/pytorch_resnet_cifar10":
                    rows += of_akamaster(model, one, shared)
    rows += converted()
    choose_defaults(rows)
    for one in rows:
        entry(one["model"])  # every model is one of ours
    tags = Counter((one["model"], one["dataset"], one["tag"]) for one in rows if not one["misfit"])
    twice = [tag for tag, count in tags.items() if count > 1]
    assert not twice, twice
    made = "tests/models/make_catalogue.py, 2026-11-21; torchvision 0.28.0, timm 1.0.31, Keras 3.15.1"
    lines = ",\n  ".join(json.dumps(one, ensure_ascii=False) for one in rows)
    (PACKAGE / "published.json").write_text(f'{{"made": {json.dumps(made)}, "weights": [\n  {lines}\n]}}\n')
    names = [BOTH_CRANES.get(i, name) for i, name in enumerate(_meta._IMAGENET_CATEGORIES)]
    assert len(set(names)) == len(names) == 1000
    cifar = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    source = "torchvision 0.28.0, models/_meta.py (BSD-3-Clause); two cranes and two maillots told apart here"
    both = {
        "imagenet": {"source": source, "names": names},
        "cifar10": {"source": "Krizhevsky 2009, batches.meta", "names": cifar},
    }
    (PACKAGE / "class_names.json").write_text(json.dumps(both, indent=0, ensure_ascii=False) + "\n")
    print(len(rows), "files of weights,", sum(not one["misfit"] for one in rows), "fit")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
