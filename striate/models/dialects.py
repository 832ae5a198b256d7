"""Tensors under other names and in other layouts -> tensors of our networks.

The names are data: dialects.toml says, for each family of networks and each publisher that names its layers otherwise,
what the layer is called there. This file turns one into the other: kernels from H W in out, a bias in front of a norm
into the norm's mean, dense layers behind a map from H W C, integers into what they stand for.

    y = conv(x) + b,  (y - mean) / sqrt(var + eps)  =  (conv(x) - (mean - b)) / sqrt(var + eps)
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from striate.errors import ArtefactError

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
DENSE = (nn.Conv2d, nn.Linear)
NORM_PARTS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


@dataclass(frozen=True)
class Dialect:
    """How a publisher names and lays out the parameters of some of our networks; dialects.toml explains each field."""

    name: str
    models: tuple[str, ...] = ("*",)
    form: str = "torch"
    names: tuple[tuple[Any, ...], ...] = ()
    counted: Mapping[str, str] = field(default_factory=dict)
    flatten: Mapping[str, Sequence[int]] = field(default_factory=dict)
    norm_of: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    eps: float | None = None
    padding: Mapping[str, Sequence[int]] = field(default_factory=dict)


OWN = Dialect("own")


@cache
def dialects() -> tuple[Dialect, ...]:
    """All of dialects.toml."""
    text = (files("striate.models") / "dialects.toml").read_text(encoding="utf-8")
    lists = ("models", "names", "norm_of")
    found = []
    for name, table in tomllib.loads(text).items():
        values: dict[str, Any] = {key: tuple(map(_frozen, v)) if key in lists else v for key, v in table.items()}
        found.append(Dialect(name, **values))
    return tuple(found)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def spoken(model: str, form: str) -> list[Dialect]:
    """The dialects in which the weights of a model may be written, our own first."""
    own = [OWN] if form == "torch" else []
    return own + [d for d in dialects() if d.form == form and any(fnmatchcase(model, p) for p in d.models)]


def rename(path: str, rules: Sequence[tuple[Any, ...]], seen: dict[int, dict[str, int]]) -> str | None:
    """The name of a layer by the first rule that fits; `seen` counts from call to call, for one model.

    >>> rename("layer1.0.conv2", [("layer(\\\\d)\\\\.(\\\\d+)\\\\.conv(\\\\d)", "conv{1+1}_block{2+1}_{3}_conv")], {})
    'conv2_block1_2_conv'
    """
    for number, (pattern, name, *values) in enumerate(rules):
        if (found := re.fullmatch(pattern, path)) is None:
            continue
        counts = seen.setdefault(number, {})
        if "{n}" in name:
            n = counts.setdefault(found[1], len(counts))
            if values and n >= len(values[0]):
                continue
            name = name.replace("{n}", str(values[0][n] if values else n + 1))
        return re.sub(r"\{(a?)(\d)([+-]\d+)?\}", lambda m: _filled(m, found), name)
    return None


def _filled(place: re.Match[str], found: re.Match[str]) -> str:
    text = found[int(place[2])]
    if place[1]:
        return chr(ord("a") + int(text))
    return str(int(text) + int(place[3])) if place[3] else text


@dataclass
class Reading:
    """A file's tensors under our names and in our layout, before they are compared with the model."""

    dialect: Dialect
    tensors: dict[str, Tensor]
    left: tuple[str, ...]  # names in the file that are nothing of ours
    notes: list[str] = field(default_factory=list)


def read_as(dialect: Dialect, model: nn.Module, stored: Mapping[str, Tensor], described: Mapping[str, Any]) -> Reading:
    """What the tensors of a file are, taken to be written in a dialect; `described` is what lies beside the file."""
    match dialect.form:
        case "keras":
            return _from_keras(dialect, model, stored)
        case "tflite":
            return _from_tflite(dialect, model, stored, described)
    theirs, seen = {}, dict[int, dict[str, int]]()
    for key in model.state_dict():
        path, _, part = key.rpartition(".")
        theirs[key] = f"{name}.{part}" if (name := rename(path, dialect.names, seen)) else key
    tensors = {key: stored[name] for key, name in theirs.items() if name in stored}
    used = set(theirs.values())
    return Reading(dialect, tensors, tuple(name for name in stored if name not in used))


def set_constants(model: nn.Module, dialect: Dialect, eps: float | None = None) -> None:
    """What the weights were trained with and does not lie in them: the norms' eps, a layer's padding."""
    value = dialect.eps if eps is None else eps
    for layer in model.modules():
        if isinstance(layer, NORMS) and value is not None:
            layer.eps = value
    for name, padding in dialect.padding.items():
        padded = model.get_submodule(name)
        assert isinstance(padded, nn.Conv2d)
        padded.padding = (padding[0], padding[1])


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    yield from ((path, layer) for path, layer in model.named_modules() if isinstance(layer, (*NORMS, *DENSE)))


def _from_keras(dialect: Dialect, model: nn.Module, stored: Mapping[str, Tensor]) -> Reading:
    parts = {layer: dict(_part(n) for n in names) for layer, names in _by_layer(stored)}
    ours = dict(_layers(model))
    theirs = _keras_names(dialect, ours, parts)
    tensors, biases, notes = dict[str, Tensor](), dict[str, Tensor](), []
    for path, layer in ours.items():
        if (name := theirs.get(path)) is None:
            continue
        held = {part: stored[key] for part, key in parts[name].items()}
        if isinstance(layer, NORMS):
            tensors |= {f"{path}.{mine}": held[part] for mine, part in NORM_PARTS.items() if part in held}
            if "gamma" not in held and "beta" in held:
                tensors[f"{path}.weight"] = torch.ones_like(held["beta"])
            continue
        kernel = _kernel(path, layer, held)
        if kernel is not None:
            tensors[f"{path}.weight"] = _ours(kernel, layer, dialect.flatten.get(path))
        if "bias" in held:
            (biases if layer.bias is None else tensors)[f"{path}.bias"] = held["bias"]
    for key, bias in biases.items():
        if (norm := rename(key.removesuffix(".bias"), dialect.norm_of, {})) and f"{norm}.running_mean" in tensors:
            tensors[f"{norm}.running_mean"] = tensors[f"{norm}.running_mean"] - bias
    if biases:
        notes.append(f"{len(biases)} biases in front of norms were taken into their means")
    used = {key for name in theirs.values() for key in parts[name].values()}
    # EfficientNet normalises its images inside: here `Preprocess` does
    unused = tuple(key for key in stored if key not in used and not re.match(r"normalization(_\d+)?/", key))
    return Reading(dialect, tensors, unused, notes)


def _by_layer(stored: Mapping[str, Tensor]) -> Iterator[tuple[str, list[str]]]:
    for layer, names in groupby(sorted(stored, key=lambda n: n.partition("/")[0]), lambda n: n.partition("/")[0]):
        yield layer, list(names)


def _part(name: str) -> tuple[str, str]:
    return name.partition("/")[2], name


def _keras_names(
    dialect: Dialect, ours: Mapping[str, nn.Module], parts: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Our layer -> Keras'. A name that its authors have changed since is found by what remains, in order."""
    seen = dict[int, dict[str, int]]()
    named = {path: name for path in ours if (name := rename(path, dialect.names, seen))}
    for kind, base in dialect.counted.items():
        waiting = [p for p, layer in ours.items() if p not in named and isinstance(layer, NORMS) == (kind == "norm")]
        numbered = sorted((n for n in parts if re.fullmatch(rf"{base}(_\d+)?", n)), key=lambda n: _number(n, base))
        if len(waiting) == len(numbered):
            named |= dict(zip(waiting, numbered, strict=True))
    found = {path: name for path, name in named.items() if name in parts}
    lost, free = [p for p in ours if p not in found], [n for n in parts if n not in found.values()]
    for path in lost:  # the head is called predictions, probs, fc1000 or Logits
        kind = "beta" if isinstance(ours[path], NORMS) else "kernel"
        alike = [n for n in free if kind in parts[n]]
        if len(alike) == 1 and sum(isinstance(ours[p], NORMS) == (kind == "beta") for p in lost) == 1:
            found[path] = alike[0]
    return found


def _number(name: str, base: str) -> int:
    return int(name.removeprefix(base).removeprefix("_") or 0)


def _kernel(path: str, layer: nn.Module, held: Mapping[str, Tensor]) -> Tensor | None:
    """The array of a layer: a separable convolution of Keras holds two of ours."""
    if "pointwise_kernel" in held:
        depthwise = isinstance(layer, nn.Conv2d) and layer.groups > 1
        return held["depthwise_kernel" if depthwise else "pointwise_kernel"]
    return held.get("kernel", held.get("depthwise_kernel"))


def _ours(kernel: Tensor, layer: nn.Module, map_: Sequence[int] | None) -> Tensor:
    if isinstance(layer, nn.Conv2d) and kernel.ndim == 4:  # H W in out, of a depthwise one H W channel 1
        return kernel.permute((2, 3, 0, 1) if layer.groups > 1 else (3, 2, 0, 1)).contiguous()
    if kernel.ndim == 4:  # a head that is a 1×1 convolution
        return kernel.flatten(0, 2).T.contiguous()
    if map_ is not None and kernel.ndim == 2 and kernel.shape[0] == (c := map_[0]) * map_[1] * map_[2]:
        return kernel.T.reshape(-1, *map_[1:], c).permute(0, 3, 1, 2).flatten(1).contiguous()
    if kernel.ndim != 2:
        raise ValueError(f"a kernel of shape {tuple(kernel.shape)}")
    return kernel.T.contiguous()


def _from_tflite(
    dialect: Dialect, model: nn.Module, stored: Mapping[str, Tensor], described: Mapping[str, Any]
) -> Reading:
    """Convolutions in the order of the graph; each norm is the identity, and only adds the bias."""
    convolutions = [node for node in described.get("graph", ()) if str(node.get("op")).endswith("CONV_2D")]
    layers = [(path, layer) for path, layer in _layers(model) if isinstance(layer, DENSE)]
    norms = [path for path, layer in _layers(model) if isinstance(layer, NORMS)]
    if len(convolutions) != len(layers):
        return Reading(dialect, {}, tuple(stored))
    values = real_values(stored, described)
    tensors, used = dict[str, Tensor](), set[str]()
    for (path, layer), norm, node in zip(layers, [*norms, None], convolutions, strict=True):
        _, kernel, bias = node["inputs"]
        if kernel not in values or bias not in values:
            continue
        used |= {kernel, bias}
        depthwise = isinstance(layer, nn.Conv2d) and layer.groups > 1
        weight = values[kernel].permute((3, 0, 1, 2) if depthwise else (0, 3, 1, 2)).contiguous()
        tensors[f"{path}.weight"] = weight.flatten(1) if isinstance(layer, nn.Linear) else weight
        if norm is None:
            tensors[f"{path}.bias"] = values[bias]
            continue
        one = torch.ones(len(values[bias]))
        tensors |= {
            f"{norm}.weight": one, f"{norm}.bias": values[bias],
            f"{norm}.running_mean": 0 * one, f"{norm}.running_var": one - (dialect.eps or 0.0),
        }  # fmt: skip
    notes = ["norms were folded into the convolutions by the publisher: here they only add a bias"]
    return Reading(dialect, tensors, tuple(name for name in stored if name not in used), notes)


def real_values(stored: Mapping[str, Tensor], described: Mapping[str, Any]) -> dict[str, Tensor]:
    """What quantised tensors stand for: scale · (q - zero point), float32; others as they are."""
    values = dict(stored)
    for about in described.get("tensors", ()):
        name = about.get("name")
        if name not in stored or not about.get("scale") or stored[name].is_floating_point():
            continue
        scale, zero = (torch.tensor(about[key], dtype=torch.float64) for key in ("scale", "zero_point"))
        if len(scale) > 1:
            axis = int(about.get("axis", 0))
            shape = [-1 if i == axis else 1 for i in range(stored[name].ndim)]
            if len(scale) != stored[name].shape[axis]:
                raise ArtefactError(f"{name} has {len(scale)} scales for an axis of {stored[name].shape[axis]}")
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        values[name] = (scale * (stored[name].double() - zero)).float()
    return values
