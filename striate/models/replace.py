"""Another head or another first convolution for a network that is there already: transfer to other classes or images.

Which layers these are is told by building the network of the registry twice, as it is and as it is to be: what then
has another shape is replaced. So auxiliary heads, capsules and decoders that depend on the number of classes follow,
and a new layer begins with the first weights that the network's file gives it.
"""

from typing import Any, TypeVar

from torch import nn

from striate.errors import ShapeError, UsageError
from striate.models.registry import Entry, create_model, entry
from striate.models.shapes import without_numbers

Model = TypeVar("Model", bound=nn.Module)
Shapes = dict[str, tuple[int, ...]]


def replace_head(
    model: Model, name: str, num_classes: int, *, input_size: tuple[int, int] | None = None, **options: Any
) -> Model:
    """Give the model, built as `create_model(name, input_size=..., **options)`, a new head for so many classes.

    All other weights stay; the model is changed in place, and given back. The new layers are on the device of the old
    ones, and of their type.

    >>> model = create_model("lenet5")
    >>> replace_head(model, "lenet5", 3).get_submodule("output")
    Linear(in_features=84, out_features=3, bias=True)

    Raises: UnknownName; UsageError for a number that makes no sense; ShapeError if the model has other layers than
    the registry's of that name, with those options.
    """
    return _replace(model, name, dict(num_classes=num_classes), input_size, options)


def replace_stem(
    model: Model, name: str, in_chans: int, *, input_size: tuple[int, int] | None = None, **options: Any
) -> Model:
    """Give the model, built as `create_model(name, input_size=..., **options)`, a first layer for so many channels.

    As `replace_head` in all else. What a trained first convolution has learnt is lost with it; to keep it, load the
    weights into a network that is built for these channels.

    Raises: as `replace_head`.
    """
    return _replace(model, name, dict(in_chans=in_chans), input_size, options)


def _replace(model: Model, name: str, wanted: dict[str, int], size: tuple[int, int] | None, options: Any) -> Model:
    if clash := options.keys() & {"num_classes", "in_chans", "weights", "features_only", "stages"}:
        raise UsageError(f"{', '.join(sorted(clash))} can't be an option here: the model that is given says it")
    known, found = entry(name), _shapes(model)
    asked = options | {"input_size": size, "num_classes": _outputs(model, known), "in_chans": _inputs(model, known)}
    with without_numbers():
        same = _shapes(create_model(name, **asked))
        there = _shapes(create_model(name, **asked | wanted))
    if found != same:
        raise ShapeError(f"this {type(model).__name__} is not {known.name} as the registry builds it with these "
                         f"options: {_difference(found, same)}")  # fmt: skip
    changed = sorted({key.rpartition(".")[0] for key, shape in there.items() if shape != same[key]})
    fresh = create_model(name, **asked | wanted) if changed else model
    for layer in changed:
        before, after = model.get_submodule(layer), fresh.get_submodule(layer)
        like = next(iter([*before.parameters(), *before.buffers()]))
        model.set_submodule(layer, after.to(like.device, like.dtype).train(before.training))
    return model


def _outputs(model: nn.Module, known: Entry) -> int:
    head = _layer(model, known, known.head)
    return int(head.out_channels if isinstance(head, nn.Conv2d) else head.out_features)


def _inputs(model: nn.Module, known: Entry) -> int:
    return int(_layer(model, known, known.stem).in_channels)


def _layer(model: nn.Module, known: Entry, name: str) -> Any:
    try:
        return model.get_submodule(name)
    except AttributeError:
        raise ShapeError(f"this {type(model).__name__} is not {known.name}: it has no layer {name}") from None


def _shapes(model: nn.Module) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}


def _difference(found: Shapes, expected: Shapes) -> str:
    """The first weight in which they differ, in words."""
    for key, shape in expected.items():
        if found.get(key) != shape:
            return f"{key} is {found[key]}, not {shape}" if key in found else f"it has no {key}"
    return f"it has {next(key for key in found if key not in expected)}, too"
