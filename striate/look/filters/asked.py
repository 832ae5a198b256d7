"""What is asked of a classifier in words: a layer, some of its channels, a unit, a class; in which size."""

from collections.abc import Sequence

from striate.errors import UsageError
from striate.look.explain.explained import number_of
from striate.look.filters.canvas import Canvas, size_of
from striate.look.filters.objectives import Channel, Logit, Objective, Unit
from striate.look.filters.patterns import channels
from striate.look.filters.reach import reach
from striate.look.filters.route import device_of, dtype_of, undisturbed
from striate.run.classifier import Classifier

LECTURES = 150  # pixels, the side of the lectures' filter patterns


def canvas_for(classifier: Classifier, layer: str | None, size: int | tuple[int, int] | None = None) -> Canvas:
    """In the size that is asked for; else the lectures' 150 pixels for maps, if the network's images are not smaller.

    What has no places any more, a dense layer or a class, gets the size of the network's images.

    Raises: UsageError for a size that there can't be; UnknownName, ShapeError for the layer.
    """
    own = Canvas.of(classifier.preprocess)
    if size is not None:
        return Canvas.of(classifier.preprocess, size_of(size))
    if layer is None:
        return own
    module = classifier.module
    with undisturbed(module):
        shape = reach(module, own.gray(device_of(module)).to(dtype_of(module)), [layer])[layer].shape
    if len(shape) == 2:
        return own
    return Canvas.of(classifier.preprocess, (min(own.size[0], LECTURES), min(own.size[1], LECTURES)))


def objectives(
    classifier: Classifier, canvas: Canvas, *, layer: str | None = None, which: Sequence[int] | None = None,
    unit: tuple[int, int, int] | None = None, about: Sequence[str] = (),
) -> list[Objective]:  # fmt: skip
    """Classes by name or number; or of a layer some channels, one unit (channel, row, column), or all channels.

    Raises: UnknownName for a layer or class that is not there; UsageError for a combination that makes no sense.
    """
    if about:
        if layer is not None or which is not None or unit is not None:
            raise UsageError("a class is read from the whole network: ask for it without a layer, channel or unit")
        return [Logit(k, classifier.classes[k]) for k in (number_of(name, classifier.classes) for name in about)]
    if layer is None:
        raise UsageError("which layer? Name one (`striate summary` lists them), or a class")
    if unit is not None:
        if which is not None:
            raise UsageError("a unit names its channel itself: ask for channels or for a unit")
        return [Unit(layer, *unit)]
    return list(channels(classifier.module, layer, canvas)) if which is None else [Channel(layer, c) for c in which]


def numbers(words: Sequence[str]) -> list[int]:
    """Channels as they are typed, each once.

    >>> numbers(["3", "8,9", "12-15"])
    [3, 8, 9, 12, 13, 14, 15]

    Raises: UsageError.
    """
    found: dict[int, None] = {}
    for word in ",".join(words).split(","):
        first, dash, last = word.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)) or (dash and int(last) < int(first)):
            raise UsageError(f"channel {word!r}: expected whole numbers, as 3 or 3,8,9 or 0-15")
        if dash and int(last) - int(first) > 100_000:
            raise UsageError(f"channel {word!r}: that are more channels than any layer has")
        found.update(dict.fromkeys(range(int(first), int(last or first) + 1)))
    return list(found)
