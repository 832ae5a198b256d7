"""HTML and SVG out of Python calls: text is escaped because there is no way to forget it.

A child is text, unless it is `Markup`, which only `tag` and `raw` make. So a class called <script> is shown, never run.
"""

import re
from collections.abc import Iterable
from html import escape
from typing import Union

# what HTML can't hold (control signs, halves of surrogate pairs), and what turns the reading direction around
_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
_VOID = {"br", "img", "meta", "col"}


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = Union[str, int, None, Iterable["Child"]]  # noqa: UP007 (a recursive alias needs it)


def tag(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """One element. `class_` is written class, other underscores hyphens; None and False leave an attribute out.

    >>> tag("td", "a < b", class_="name", colspan=2)
    '<td class="name" colspan="2">a &lt; b</td>'
    """
    words = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    return Markup(f"<{name}{words}>" if name in _VOID else f"<{name}{words}>{raw(*children)}</{name}>")


def raw(*children: Child) -> Markup:
    """The children one after the other, without an element around them."""
    return Markup("".join(_text(child) for child in children))


def shown(text: str) -> str:
    """Text with what can't be shown, or would turn other text around, replaced by a visible sign."""
    return _UNSHOWABLE.sub("\ufffd", text)


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        return escape(shown(child))
    if isinstance(child, int):
        return str(child)
    return "".join(_text(one) for one in child)


def _attribute(key: str, value: str | float) -> str:
    key = "class" if key == "class_" else key.replace("_", "-")
    if value is True:
        return f" {key}"
    text = f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else escape(shown(str(value)))
    return f' {key}="{text}"'
