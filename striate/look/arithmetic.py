"""Layers in words, as on the lectures' slides, and what `math.arithmetic` answers about them.

conv3-64        3 x 3, 64 filters              conv7-64/2p3    stride 2, padding 3
conv3-64same    padding that keeps the size    conv3-64d2g4    dilation 2, 4 groups
dwconv3/2p1     depthwise                      conv3-64nobias
pool2           window 2, stride 2             pool3/2p1       window 3, stride 2, padding 1
gap             global average                 fc-4096         dense
2xconv3-64p1    twice
"""

import re
from collections.abc import Sequence

from striate.errors import UsageError, suggest
from striate.math import arithmetic
from striate.math.answers import Answer as Answer
from striate.math.geometry import WORDS, Sides
from striate.math.stack import Layer, Shape, walk

output_size, same_padding, padding_for = arithmetic.output_size, arithmetic.same_padding, arithmetic.padding_for
EXAMPLES = "conv3-64, conv7-64/2p3, conv3-64same, dwconv3/2p1, pool2, pool3/2p1, gap, fc-1000, 2xconv3-64p1"

_WORD = re.compile(
    r"(?:(?P<times>\d+)x)?(?P<kind>conv|dwconv|pool|gap|fc)(?P<k>\d+)?(?:-(?P<c>\d+))?(?:/(?P<s>\d+))?"
    r"(?:p(?P<p>\d+)|(?P<same>same))?(?:d(?P<d>\d+))?(?:g(?P<g>\d+))?(?P<nobias>nobias)?"
)


def layers(words: Sequence[str]) -> list[Layer]:
    """The layers that the words mean; `gap` is a layer of kind "gap", whose window is what it is given.

    >>> [layer.k for layer in layers(["2xconv3-64p1", "pool2"])]
    [3, 3, 2]

    Raises: UsageError that names the word.
    """
    if not words:
        raise UsageError(f"which layers? Some words: {EXAMPLES}")
    found: list[Layer] = []
    for word in words:
        m = _WORD.fullmatch(word.lower())
        if m is None:
            raise UsageError(f"{word!r} is no layer; expected words such as {EXAMPLES}")
        layer = _layer(word, m)
        found += [layer] * int(m["times"] or 1)
    return found


def image(text: str) -> Shape:
    """HEIGHTxWIDTHxCHANNELS, or SIDExCHANNELS for a square -> (C, H, W).

    >>> image("224x224x3"), image("28x1")
    ((3, 224, 224), (1, 28, 28))

    Raises: UsageError.
    """
    parts = re.split(r"[x×*]", text.strip().lower())
    if not 2 <= len(parts) <= 3 or not all(p.isascii() and p.isdigit() and int(p) for p in parts):
        raise UsageError(f"the input {text!r} is no size; expected HEIGHTxWIDTHxCHANNELS, such as 224x224x3 or 224x3")
    h, *w, c = map(int, parts)
    return c, h, w[0] if w else h


def padding_from(text: str) -> str | int | Sides:
    """Zeros on each side, BEFORE,AFTER, or a word.

    >>> padding_from("1"), padding_from("0,1"), padding_from("same_keras")
    (1, (0, 1), 'same_keras')

    Raises: UsageError.
    """
    if text in WORDS:
        return text
    parts = text.split(",")
    if len(parts) > 2 or not all(p.isascii() and p.isdigit() for p in parts):
        near = suggest(text, WORDS)
        raise UsageError(f"padding is {text!r}; expected a number, BEFORE,AFTER or one of {', '.join(WORDS)}{near}")
    return (int(parts[0]), int(parts[1])) if len(parts) == 2 else int(text)


def parameters(words: Sequence[str], size: str) -> Answer:
    """Weights and biases.  Raises: UsageError, ShapeError."""
    return arithmetic.parameters(_resolved(words, size), image(size))


def macs(words: Sequence[str], size: str) -> Answer:
    """Multiply-adds for one image.  Raises: UsageError, ShapeError."""
    return arithmetic.macs(_resolved(words, size), image(size))


def memory(words: Sequence[str], size: str, bytes_each: int = 4) -> Answer:
    """Bytes of all values of one image.  Raises: UsageError, ShapeError."""
    return arithmetic.memory(_resolved(words, size), image(size), bytes_each)


def receptive_field(words: Sequence[str]) -> Answer:
    """Pixels a side.  Raises: UsageError; ShapeError for layers that see everything."""
    found = layers(words)
    seeing_all = next((layer.name for layer in found if layer.kind == "gap"), None)
    if seeing_all:
        raise UsageError(f"{seeing_all} sees all positions; the receptive field is asked of what comes before it")
    return arithmetic.receptive_field(found)


def _layer(word: str, m: re.Match[str]) -> Layer:
    kind, name = m["kind"], word.partition("x")[2] if m["times"] else word
    if not 1 <= int(m["times"] or 1) <= 10_000:
        raise UsageError(f"{word!r}: expected 1 to 10000 of them")
    _only(word, m, {"conv": "kcspdg", "dwconv": "kspd", "pool": "kspd", "gap": "", "fc": "c"}[kind])
    if kind == "gap":
        return Layer(name, "gap", bias=False)
    if kind == "fc":
        return Layer(name, "dense", c_out=_number(word, m, "c", "outputs, as in fc-1000"), bias=not m["nobias"])
    k = _number(word, m, "k", f"the size of its window, as in {kind}3")
    padding: str | int = "same_keras" if m["same"] else int(m["p"] or 0)
    dilation = int(m["d"] or 1)
    if kind == "pool":
        return Layer(name, "pool", k, 0, int(m["s"] or k), padding, dilation, bias=False)
    c_out = _number(word, m, "c", "filters, as in conv3-64") if kind == "conv" and m["c"] else 0
    groups = 0 if kind == "dwconv" else int(m["g"] or 1)
    return Layer(name, "conv", k, c_out, int(m["s"] or 1), padding, dilation, groups, not m["nobias"])


def _only(word: str, m: re.Match[str], allowed: str) -> None:
    """Say so where a word has a part that its kind has not."""
    parts = {"k": "a window", "c": "-channels", "s": "a stride", "p": "padding", "d": "dilation", "g": "groups"}
    given = {key for key in parts if m[key]} | ({"p"} if m["same"] else set())
    for key in sorted(given - set(allowed)):
        raise UsageError(f"{word!r}: {m['kind']} has not {parts[key]}; expected words such as {EXAMPLES}")
    if m["nobias"] and m["kind"] in ("pool", "gap"):
        raise UsageError(f"{word!r}: {m['kind']} has no bias to leave out")


def _number(word: str, m: re.Match[str], key: str, missing: str) -> int:
    if not int(m[key] or 0):
        raise UsageError(f"{word!r} does not say how many {missing}" if key == "c" else f"{word!r} lacks {missing}")
    return int(m[key])


def _resolved(words: Sequence[str], size: str) -> list[Layer]:
    """The layers, with the window of each `gap` known; a convolution without filters is an error."""
    done: list[Layer] = []
    for layer in layers(words):
        if layer.kind == "conv" and not layer.c_out and layer.groups:
            raise UsageError(f"{layer.name!r} does not say how many filters, as in {layer.name[:5]}-64")
        if layer.kind == "gap":
            rows = walk(done, image(size))
            _, h, w = rows[-1].output if rows else image(size)
            if h != w:
                raise UsageError(f"{layer.name!r} after {h}×{w} positions; this arithmetic knows square windows only")
            layer = Layer(layer.name, "pool", h, 0, h, bias=False)
        done.append(layer)
    return done
