"""Where a sliding window stands: how many positions it has along an axis, and how many zeros are put around the input.

    span  = dilation · (k - 1) + 1                                         what a window covers
    out   = floor((size + before + after - span) / stride) + 1             positions
    lost  = (size + before + after - span) mod stride                      rows at the end that no window reaches

Padding is written as a number (zeros on each side of each axis), as one number or one (before, after) an axis, or as

    "valid"        none (a word may stand for one axis, too)
    "same_keras"   out = ceil(size / stride); zeros = max(0, (out - 1) · stride + span - size), the odd one after
    "same_torch"   zeros = span - 1, the odd one after; only for stride 1, where both are the same

What most PyTorch models do at stride 2 is neither: padding = (k - 1) / 2 on both sides gives the positions of
"same_keras", and where the size is even it begins them one pixel earlier.

Source:  Dumoulin & Visin 2016, arXiv:1603.07285, relationships 1 to 15; the documentation of tf.nn.convolution and
         of torch.nn.Conv2d.
"""

from collections.abc import Sequence

from striate.errors import ShapeError, suggest

Sides = tuple[int, int]  # zeros before and after
Padding = str | int | Sequence[str | int | Sides]
WORDS = ("valid", "same_keras", "same_torch")


def span(k: int, dilation: int = 1) -> int:
    """Rows that a window covers, from its first to its last tap.

    >>> span(3), span(3, dilation=2)
    (3, 5)
    """
    return dilation * (k - 1) + 1


def out_size(size: int, k: int, stride: int = 1, padding: str | int | Sides = 0, dilation: int = 1) -> int:
    """Positions of a window along one axis; rows at the end that no window reaches are left out.

    >>> out_size(224, k=7, stride=2, padding=3)
    112

    Raises: ShapeError where the window is larger than the padded axis.
    """
    return _room(size, k, stride, padding, dilation) // stride + 1


def lost(size: int, k: int, stride: int = 1, padding: str | int | Sides = 0, dilation: int = 1) -> int:
    """Rows at the end that no window reaches, because the stride does not divide.

    >>> lost(7, k=3, stride=3)
    1
    """
    return _room(size, k, stride, padding, dilation) % stride


def zeros(size: int, k: int, stride: int, padding: str | int | Sides, dilation: int = 1) -> Sides:
    """Zeros before and after one axis.

    >>> zeros(224, k=3, stride=2, padding="same_keras"), zeros(224, k=4, stride=1, padding="same_torch")
    ((0, 1), (1, 2))

    Raises: ShapeError for another word, for less than none, and for "same_torch" with a stride.
    """
    match padding:
        case "valid":
            total = 0
        case "same_keras":
            total = max(0, (-(-size // stride) - 1) * stride + span(k, dilation) - size)
        case "same_torch" if stride == 1:
            total = span(k, dilation) - 1
        case "same_torch":
            near = f'padding={(span(k, dilation) - 1) // 2} or "same_keras"'
            raise ShapeError(f'padding "same_torch" and stride {stride}: PyTorch has it for stride 1 only; {near}')
        case str(word):
            raise ShapeError(f"padding is {word!r}; expected numbers or {', '.join(WORDS)}{suggest(word, WORDS)}")
        case int(number):
            return _counted(number, number)
        case (before, after):
            return _counted(before, after)
    return total // 2, total - total // 2


def per_axis(value: int | Sequence[int], axes: int, name: str, least: int = 1) -> tuple[int, ...]:
    """One number for each axis, from one for all of them or one for each; none may be below the least.

    >>> per_axis(2, 2, "stride"), per_axis((1, 2), 2, "stride")
    ((2, 2), (1, 2))

    Raises: ShapeError.
    """
    values = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(values) != axes or min(values) < least:
        raise ShapeError(f"{name} is {value!r}; expected a whole number from {least}, or {axes} of them")
    return values


def zeros_per_axis(
    sizes: Sequence[int], k: Sequence[int], stride: Sequence[int], padding: Padding, dilation: Sequence[int]
) -> tuple[Sides, ...]:
    """Zeros before and after each axis.

    >>> zeros_per_axis((5, 5), (3, 3), (1, 1), ((0, 2), 1), (1, 1))
    ((0, 2), (1, 1))

    Raises: ShapeError.
    """
    words = (padding,) * len(sizes) if isinstance(padding, (str, int)) else tuple(padding)
    if len(words) != len(sizes):
        raise ShapeError(f"padding is {padding!r}; expected one number or one (before, after) for {len(sizes)} axes")
    return tuple(zeros(*axis) for axis in zip(sizes, k, stride, words, dilation, strict=True))


def _room(size: int, k: int, stride: int, padding: str | int | Sides, dilation: int) -> int:
    """Rows that a window can still be moved after its first position."""
    for name, value in (("size", size), ("k", k), ("stride", stride), ("dilation", dilation)):
        if value < 1:
            raise ShapeError(f"{name} is {value}; expected a whole number from 1")
    before, after = zeros(size, k, stride, padding, dilation)
    wide = span(k, dilation)
    if size + before + after < wide:
        most = (size + before + after - 1) // dilation + 1
        raise ShapeError(
            f"a window of {wide} over {size} + {before} + {after} positions has no place; "
            f"k = {most} is the largest that fits, or pad {wide - size - before - after} more"
        )
    return size + before + after - wide


def _counted(before: int, after: int) -> Sides:
    if before < 0 or after < 0:
        raise ShapeError(f"padding is {(before, after)}; expected no less than 0 on each side")
    return before, after
