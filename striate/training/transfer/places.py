"""Where a network can be cut: its steps in the order in which they run, its head, and its blocks.

    resnet18       conv1 bn1 relu maxpool layer1.0 layer1.1 ... layer4.1 avgpool flatten fc
    mobilenet_v2   features.0.0 features.0.1 ... avgpool flatten classifier.0 classifier.1

A chain is opened, whatever it stands in; anything else (a block with a shortcut, branches, a layer) is one step.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.blocks.wiring import Chain
from striate.errors import RecipeError, UnknownName, suggest
from striate.models.registry import create_model, entry
from striate.models.shapes import without_numbers


def steps(module: nn.Module) -> tuple[str, ...]:
    """Names of the steps, in the order in which they run.

    >>> steps(Chain(conv=nn.Conv2d(1, 4, 3), stage=Chain(nn.ReLU(), nn.Identity()), fc=nn.Linear(4, 2)))
    ('conv', 'stage.0', 'stage.1', 'fc')
    """
    return tuple(_walk(module, ""))


def _walk(module: nn.Module, prefix: str) -> Iterator[str]:
    for name, child in module.named_children():
        if type(child) is Chain:
            yield from _walk(child, f"{prefix}{name}.")
        else:
            yield prefix + name


def within(name: str, place: str) -> bool:
    """Whether `name` is the place or stands in it."""
    return name == place or name.startswith(f"{place}.")


def span(known: Sequence[str], place: str, setting: str) -> tuple[int, int]:
    """First and last of the steps that are in a place, as positions in `known`.

    Raises: UnknownName with the nearest names; RecipeError where the place is inside of a step.
    """
    found = [i for i, name in enumerate(known) if within(name, place)]
    if found:
        return found[0], found[-1]
    around = [name for name in known if within(place, name)]
    if around:
        raise RecipeError(
            f"{setting} = {place!r}: that is inside of {around[0]}, whose parts do not run one after the other; "
            f"name {around[0]!r} or another whole step"
        )
    chains = {".".join(name.split(".")[:depth]) for name in known for depth in range(1, name.count(".") + 1)}
    tops = list(dict.fromkeys(name.split(".")[0] for name in known))
    near = suggest(place, [*known, *sorted(chains)], f"its steps are {', '.join(tops)} and those in them")
    raise UnknownName(f"{setting} = {place!r}: the network has no step of that name{near}")


def head_layers(model: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The layers that the number of classes decides about; auxiliary heads and decoders among them.

    >>> head_layers("squeezenet1_1", {"num_classes": 2})
    ('classifier.1',)
    """
    outputs = int(arguments.get("num_classes", entry(model).classes))
    with without_numbers():
        here = create_model(model, **dict(arguments) | {"num_classes": outputs}).state_dict()
        there = create_model(model, **dict(arguments) | {"num_classes": outputs + 1}).state_dict()
    changed = (name.rpartition(".")[0] for name in here if here[name].shape != there[name].shape)
    return tuple(dict.fromkeys(changed))


def frozen_steps(module: nn.Module, where: str, head: str, setting: str = "freeze") -> tuple[str, ...]:
    """The steps that `where` freezes: "none"; "head", all in front of it; or all up to and including a step or chain.

    With "head", what stands between the last step with numbers and the head (pooling, dropout) belongs to the head.

    Raises: as `span`.
    """
    known = steps(module)
    if where == "none":
        return ()
    if where != "head":
        return known[: span(known, where, setting)[1] + 1]
    last = next(i for i, name in enumerate(known) if within(head, name))
    numbered = [i for i in range(last) if any(True for _ in module.get_submodule(known[i]).state_dict())]
    return known[: numbered[-1] + 1] if numbered else ()


def norms_up_to(module: nn.Module, place: str, heads: Sequence[str]) -> tuple[str, ...]:
    """The batch norms whose statistics come with weights that are taken up to a step, "all" of them or "none"."""
    known = steps(module)
    last = {"all": len(known), "none": 0}
    taken = known[: last[place] if place in last else span(known, place, "weights_to")[1] + 1]
    found = (
        name for name, part in module.named_modules() if isinstance(part, _BatchNorm) and part.running_mean is not None
    )
    return tuple(n for n in found if any(within(n, s) for s in taken) and not any(within(n, head) for head in heads))


def blocks(module: nn.Module) -> tuple[tuple[str, ...], ...]:
    """The steps that hold numbers, grouped: each part of a top chain by itself, what stands between chains together.

    >>> net = Chain(conv=nn.Conv2d(1, 4, 3), bn=nn.BatchNorm2d(4), stage=Chain(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)))
    >>> blocks(net)
    (('conv', 'bn'), ('stage.0',), ('stage.1',))
    """
    groups: dict[str, list[str]] = {}
    key, loose = "", 0
    for name in steps(module):
        parts = name.split(".")
        if len(parts) == 1:
            key = key if key.startswith(" ") else f" {loose}"
        else:
            key, loose = ".".join(parts[:2]), loose + 1
        if module.get_submodule(name).state_dict():
            groups.setdefault(key, []).append(name)
    return tuple(tuple(group) for group in groups.values())
