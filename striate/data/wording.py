"""Names in a sentence: quoted so that a newline or a control sign in a name can't break the line, cut when many."""

from collections.abc import Iterable
from itertools import islice


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
