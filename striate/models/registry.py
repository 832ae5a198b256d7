"""The list of models: name -> how to build it, and what one must know to use it.

Every file in this folder registers the models of one paper when it is imported; the list is read on first use, so
that importing this module costs nothing (no torch).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, partial
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from striate.errors import ShapeError, UnknownName, UsageError, suggest

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Entry:
    """One line of the zoo."""

    name: str
    build: "Callable[..., nn.Module]"  # build(num_classes, in_chans) -> logits; fixed_size adds input_size=(H, W)
    # what can be given to build by keyword only is an option of the model: create_model(name, survival=0.5)
    year: int
    paper: str  # "arXiv:1512.03385"
    about: str  # what it introduced, in one sentence
    input: tuple[int, int, int]  # (C, H, W) that the paper uses
    classes: int  # outputs that the paper uses; 1 is a sigmoid that tells two classes apart
    head: str  # name of the last linear layer: transfer learning replaces it
    stem: str  # name of the first convolution: another number of channels replaces it
    look: str  # name of the last step that still has positions: Grad-CAM reads it
    smallest: int = 1  # side in pixels of the smallest square image it can take
    fixed_size: bool = False  # built for one image size, because it flattens positions into features
    aliases: tuple[str, ...] = ()


_entries: dict[str, Entry] = {}  # by name
_names: dict[str, str] = {}  # name or alias -> name


def register(entry: Entry) -> None:
    """Add a model to the zoo."""
    for name in (entry.name, *entry.aliases):
        if name in _names:
            raise ValueError(f"two models are called {name!r}: {_names[name]} and {entry.name}")
        _names[name] = entry.name
    _entries[entry.name] = entry


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that match a shell pattern, by year; an alias that matches finds its model, too.

    >>> list_models("deck_*convnet")
    ['deck_mnist_convnet']
    """
    _load()
    found = {name for alias, name in _names.items() if fnmatchcase(alias, pattern)}
    return sorted(found, key=_place)


def entry(name: str) -> Entry:
    """What is known about a model, by its name or an alias.

    Raises: UnknownName, with the nearest names.
    """
    _load()
    if name not in _names:
        raise UnknownName(f"no model is called {name!r}{suggest(name, _names, 'run `striate models` to see them all')}")
    return _entries[_names[name]]


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    input_size: tuple[int, int] | None = None,
    weights: str | Path | None = None,
    features_only: bool = False,
    stages: Sequence[int] | None = None,
    **options: Any,
) -> "nn.Module":
    """Build a model: images (N, in_chans, H, W) -> logits (N, num_classes).

    What is not given is the paper's. `num_classes=1` is one logit for two classes (sigmoid). `input_size=(H, W)` is
    for the models that flatten (`Entry.fixed_size`) and only checked for the others, which take any size from
    `Entry.smallest` on. `weights` is "imagenet", "imagenet:TAG" or "cifar10" for published ones, downloaded once
    (`striate weights NAME` lists them), or the path of a `.safetensors`, `.pth` or Keras' `.h5` file; another
    `num_classes` or `in_chans` than the file's keeps all but the head (see `striate.models.weights`).
    `features_only=True` gives the network without its head, whose output is a list of maps, one for each resolution,
    or those of `stages` (0, 1, ... or -1, ... from the end): see `striate.models.features`.
    Some models have options of their own:

    - `aux=True` (googlenet, googlenet_bn, inception_v3): the paper's auxiliary heads; in training the model then gives
      a named tuple, `logits` first, in evaluation logits alone.
    - `survival=0.5` (residual networks): stochastic depth, the probability of the last block to take part in a step.
    - `tensorflow=True` (mobilenet_v1, mobilenet_v2, efficientnet, xception, inception_v3, nasnet_a): padding, pooling
      and constants as in TensorFlow, which weights that were trained there need, Keras' and TF-Slim's for example.

    Raises: UnknownName; UsageError for a number that makes no sense, or an option that the model does not have;
    ShapeError for an image that is too small; ArtefactError for weights that do not fit.
    """
    from striate.models.weights import build_with_weights

    found = entry(name)
    classes = _count("num_classes", num_classes, found.classes)
    channels = _count("in_chans", in_chans, found.input[0])
    size = found.input[1:] if input_size is None else input_size
    if len(size) != 2 or not all(isinstance(side, int) for side in size):
        raise UsageError(f"input_size is {input_size!r}; expected (height, width) in pixels")
    if min(size) < found.smallest:
        least = f"{found.smallest}×{found.smallest}"
        raise ShapeError(f"{found.name} can't take images of {size[0]}×{size[1]} pixels; the smallest are {least}")
    known = [p.name for p in signature(found.build).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    if unknown := sorted(options.keys() - set(known)):
        has = f"its options are {', '.join(known)}" if known else "it has none of its own"
        raise UsageError(f"{found.name} has no option {unknown[0]!r}; {has}")
    arguments = (classes, channels, size) if found.fixed_size else (classes, channels)
    if stages is not None and not features_only:
        raise UsageError(f"stages is {stages!r}, which only features_only=True can give")
    build = partial(found.build, *arguments)
    model = build(**options) if weights is None else build_with_weights(
        found, build, options, weights, fresh_head=num_classes is not None, adapt_stem=in_chans is not None
    )  # fmt: skip
    if features_only:
        from striate.models.features import features

        return features(model, found.head, channels, stages)
    return model


def _count(argument: str, value: int | None, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{argument} is {value!r}; expected a whole number from 1 on (the paper has {default})")
    return value


def _place(name: str) -> tuple[int, str, int]:
    """Year, then file, then the order in the file: which file was imported first makes no difference."""
    build = _entries[name].build
    return _entries[name].year, getattr(build, "func", build).__module__, list(_entries).index(name)


@cache
def _load() -> None:
    """Import every file of this folder once: each registers its models."""
    package = "striate.models"
    for module in iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
