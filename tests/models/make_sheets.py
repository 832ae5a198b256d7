"""Write striate/models/sheets.json: what papers print of each model, what others count, what others' weights reach.

    python tests/models/make_sheets.py SHARED

reads SHARED/facts/facts.json, where every figure says where it is printed and how that was checked. Only figures and
their places are taken over; nothing is computed but accuracies from printed errors (100 - error).
"""

import json
import re
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from striate.models.registry import entry, list_models

SHEETS = Path(__file__).parents[2] / "striate" / "models" / "sheets.json"
# What a paper prints, as it is called here. Several numbers in one figure are told apart in the figure itself.
PRINTED = {
    "params_printed": "parameters", "macs_printed": "MACs", "size_printed": "size of the weights",
    "top1_err": "top-1 error, %", "top5_err": "top-5 error, %",
    "single_crop": "single crop, top-1 / top-5 error, %", "multi_scale": "multi-scale, top-1 / top-5 error, %",
    "multi_crop": "multi-crop, top-1 / top-5 error, %", "readme": "authors' README, top-1 / top-5 error, %",
    "top1_acc": "top-1 accuracy, %", "top5_acc": "top-5 accuracy, %",
    "cifar10_err": "CIFAR-10 error, %", "cifar10": "CIFAR-10 error, %", "cifar100_err": "CIFAR-100 error, %",
    "svhn_err": "SVHN error, %", "mnist_err": "MNIST error, %", "test_error_mnist": "MNIST error, %",
}  # fmt: skip
# Models that the facts do not list: the architecture whose paper is theirs, too; none of its figures is about them.
PAPER_OF = {"*.paper": "", "cifar_plain*": "cifar_resnet20", "plain*": "resnet18", "cifar_densenet_bc*": "densenet121",
            "nasnet_a_cifar": "nasnet_a_large", "nasnet_[bc]": "nasnet_b_c"}  # fmt: skip
TITLES = {"nasnet_a_cifar": "NASNet-A for CIFAR-10 (6 @ 768)", "nasnet_b": "NASNet-B (4 @ 1536)",
          "nasnet_c": "NASNet-C (3 @ 960)"}  # fmt: skip
# Figures of models that the facts list only in passing: with the table, and the claim that gives them.
BY_HAND = {
    "plain18": ("Table 2", {"top-1 error, %": "27.94 (10-crop)"}),
    "plain34": ("Table 2", {"top-1 error, %": "28.54 (10-crop)"}),
    "nasnet_a_cifar": ("Table 1", {"parameters": "3.3M", "CIFAR-10 error, %": "3.41"}),
    "nasnet_b": (
        "Table 3",
        {"parameters": "5.3M", "MACs": "488M", "top-1 accuracy, %": "72.8", "top-5 accuracy, %": "91.3"},
    ),
    "nasnet_c": (
        "Table 3",
        {"parameters": "4.9M", "MACs": "558M", "top-1 accuracy, %": "72.5", "top-5 accuracy, %": "91.0"},
    ),
}
# Of a figure that is about several models: the one that is about this.
ONE_OF_SEVERAL = {
    "alexnet_2gpu": (40.7, "one network, validation"), "zfnet": (38.4, "one network, validation"),
    "zfnet_b": (37.5, "one network, validation"), "inception_v3": (21.2, "single crop"),
    "inception_v4": (20.0, "single crop"), "inception_resnet_v1": (21.3, "single crop"),
    "inception_resnet_v2": (19.9, "single crop"), "nasnet_a_mobile": (26.0, "single crop"),
    "nasnet_a_large": (17.3, "single crop, 331 pixels"), "resnet152v2": (21.1, "320 pixels, scale augmentation"),
    "wide_resnet50_2": (21.9, "single crop"), "resnet34": (24.52, "10-crop, option B"),
    "resnet101": (21.75, "10-crop"), "resnet152": (21.43, "10-crop"),
    "efficientnet_b0": (22.9, "fourth version of the paper"),
    "shufflenet_v2_x0_5": (39.7, "as printed"), "shufflenet_v2_x2_0": (25.1, "as printed"),
    "plain18": (27.94, "10-crop"), "plain34": (28.54, "10-crop"),
    "nasnet_b": (27.2, "single crop"), "nasnet_c": (27.5, "single crop"),
}  # fmt: skip
# Whose weights are not in striate/models/published.json; accuracies of those that are, are there.
SHORT = {
    "TF-Slim": "TF-Slim",
    "Cadene": "Cadene",
    "BVLC": "BVLC Caffe",
    "Caffe": "Caffe model zoo",
    "pytorchcv": "pytorchcv",
}


def sheets(facts: Path) -> dict[str, Any]:
    """One sheet for each registered model."""
    architectures = {a["id"]: a for a in json.loads(facts.read_text(encoding="utf-8"))["architectures"]}
    return {name: sheet(name, architectures) for name in list_models()}


def sheet(name: str, architectures: dict[str, Any]) -> dict[str, Any]:
    names = () if name in BY_HAND else (name, *entry(name).aliases)
    known = next((architectures[n] for n in names if n in architectures), None)
    base = known or architectures[_base(name)]
    papers = [_paper(name, paper, own=known is not None) for paper in base["paper"]]
    found: dict[str, Any] = {"title": known["name"] if known else _title(name, base), "papers": papers}
    found["counts"] = _counts(base) if known else []
    found["weights"] = _weights(known) if known else []
    if top1 := _printed_top1(name, known, architectures):
        found["printed_top1"] = top1
    return found


def _base(name: str) -> str:
    for pattern, base in PAPER_OF.items():
        if fnmatchcase(name, pattern):
            return base or name.partition(".")[0]
    raise SystemExit(f"{name}: no architecture of the facts has this name or one of its aliases")


def _title(name: str, base: dict[str, Any]) -> str:
    if name in TITLES:
        return TITLES[name]
    if name.endswith(".paper"):
        return f"{base['name']}, as in the paper"
    depth = re.sub(r"\D", "", name.rpartition("_")[2] if "densenet" in name else name)
    return f"DenseNet-BC-{depth} (CIFAR)" if "densenet" in name else f"plain-{depth}"


def _paper(name: str, paper: dict[str, Any], own: bool) -> dict[str, Any]:
    where, printed = paper["where"], {}
    if own:
        printed = {what: str(paper[key]) for key, what in PRINTED.items() if paper.get(key) not in (None, "")}
    elif name.endswith(".paper"):
        printed = {PRINTED[key]: str(paper[key]) for key in ("macs_printed", "top1_err", "top5_err") if key in paper}
    elif name in BY_HAND:
        where, printed = BY_HAND[name]
    number = paper["arxiv"]
    number = f"arXiv:{number}" if re.match(r"\d{4}\.\d{4,5}$", number) else number
    return {"title": paper["title"], "number": number, "where": where, "checked": paper["checked"], "printed": printed}


def _counts(known: dict[str, Any]) -> list[dict[str, Any]]:
    """Which implementations count how much, those that agree together."""
    groups: dict[tuple[int, int | None], list[str]] = {}
    for reference in (one for one in known["references"] if "params_trainable" in one):
        key = (reference["params_trainable"], reference.get("macs"))
        builder = f"{reference['impl']} {reference['builder']}"
        groups.setdefault(key, []).append(builder)
    return [{"parameters": p, "macs": m, "by": names} for (p, m), names in groups.items()]


def _weights(known: dict[str, Any]) -> list[dict[str, Any]]:
    counts = {known["expected"]["params_trainable"], *(known["expected"].get("also_accept") or {}).values()}
    found = []
    for one in known["pretrained"]:
        accuracy = one.get("top1_acc") or (round(100 - one["top1_err"], 3) if one.get("top1_err") else None)
        publisher = next((short for key, short in SHORT.items() if one["publisher"].startswith(key)), None)
        if accuracy is None or publisher is None:
            continue
        if publisher == "pytorchcv" and one.get("params") not in counts:
            continue  # another form under the same name
        found.append(_weight(one, publisher, accuracy, known["input"][1]))
    return found


def _weight(one: dict[str, Any], publisher: str, accuracy: float, usual: int) -> dict[str, Any]:
    how = one.get("preprocess") or {}
    crop = how.get("crop") if isinstance(how.get("crop"), int) else None
    side = crop or how.get("size") or usual
    data = "CIFAR-10" if usual == 32 else "MNIST" if usual == 28 else "ImageNet"
    protocol = f"crop of {side}" if data == "ImageNet" else f"{side} pixels"
    if how.get("resize") and crop:
        protocol += f" after resizing to {how['resize']}"
    return {
        "publisher": publisher, "tag": one["file"], "data": data, "top1": accuracy, "top5": one.get("top5_acc"),
        "side": side, "protocol": protocol,
    }  # fmt: skip


def _printed_top1(name: str, known: dict[str, Any] | None, architectures: dict[str, Any]) -> dict[str, Any] | None:
    """Accuracy on ImageNet's validation set as the paper prints it, where one figure is about this model."""
    if name in ONE_OF_SEVERAL:
        error, how = ONE_OF_SEVERAL[name]
        return {"top1": round(100 - error, 2), "protocol": how}
    papers = known["paper"] if known else []
    for paper in papers:
        shared = sum(paper in other["paper"] for other in architectures.values()) > 1
        for key in ("top1_acc", "top1_err"):
            figure = re.match(r"(\d+(?:\.\d+)?)(?:$|;| / |\s*\(([^)]*)\)?)", str(paper.get(key, "")))
            if figure and not shared:
                value = float(figure[1])
                top1 = round(value if key == "top1_acc" else 100 - value, 2)
                single = "(1-crop / 10-crop)" in str(paper[key])
                return {"top1": top1, "protocol": "single crop" if single else figure[2] or "as printed"}
    return None


if __name__ == "__main__":
    table = sheets(Path(sys.argv[1]) / "facts" / "facts.json")
    lines = [f" {json.dumps(name)}: {json.dumps(one, ensure_ascii=False)}" for name, one in table.items()]
    SHEETS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
