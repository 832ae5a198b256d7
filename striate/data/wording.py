"""Names in a sentence: quoted so that a newline or a control sign in a name can't break the line, cut when many.

And shares in per cent, never rounded to what they are not.
"""

from collections.abc import Iterable
from itertools import islice

SPACE = "\u00a0"  # keeps a number and its unit on one line


def several(names: Iterable[object], limit: int = 5) -> str:
    """The names, quoted, with the number of those that are left out.

    >>> several(["cat", "dog"])
    "'cat', 'dog'"
    >>> several("abcd", limit=2)
    "'a', 'b' and 2 more"
    """
    rest = iter(names)
    shown = ", ".join(repr(str(name)) for name in islice(rest, limit))
    more = sum(1 for _ in rest)
    return f"{shown} and {more:,} more" if more else shown


def plural(n: int, noun: str) -> str:
    """A count with its noun.

    >>> plural(1, "image"), plural(1200, "image"), plural(2, "class")
    ('1 image', '1,200 images', '2 classes')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}{'es' if noun.endswith('s') else 's'}"


def percent(share: float, digits: int = 1) -> str:
    """A share in 0..1 with its sign. It is 100 % or 0 % only where it is exactly that.

    >>> percent(355 / 360), percent(1.0), percent(0.99996), percent(0.0)
    ('98.6\\xa0%', '100\\xa0%', '99.996\\xa0%', '0\\xa0%')
    """
    return f"{points(share, digits)}{SPACE}%"


def points(share: float, digits: int = 1) -> str:
    """`percent` without the sign.

    >>> points(0.5), points(1e-7)
    ('50.0', '0.00001')
    """
    if share in (0, 1):
        return f"{100 * share:.0f}"
    while digits < 8 and 0 < share < 1 and float(f"{100 * share:.{digits}f}") in (0, 100):
        digits += 1
    return f"{100 * share:.{digits}f}"
