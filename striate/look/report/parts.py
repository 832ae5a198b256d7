"""The pieces that the sections are put together from."""

from striate.look.markup import Child, Markup, raw, tag
from striate.look.report.looked import Refused


def section(title: str, *children: Child, class_: str | None = None) -> Markup:
    """A part of the report under its heading."""
    return tag("section", tag("h3", title), *children, class_=class_)


def quoted(name: str) -> Markup:
    """The name of a class, told apart from the words around it."""
    return raw("“", tag("b", tag("bdi", name.strip() or "␣")), "”")


def figure(picture: Markup, title: str, *caption: Child, class_: str | None = None) -> Markup:
    """A picture, and below it what it is and what to look for."""
    return tag("figure", picture, tag("figcaption", tag("b", title), " ", *caption), class_=class_)


def warning(*words: Child) -> Markup:
    """Something that the reader must not miss."""
    return tag("p", tag("b", "Doubt. "), *words, class_="warning", role="note")


def absent(found: Refused, what: str) -> Markup:
    """Why something is not there."""
    return tag("p", f"{what} can’t be shown for this network: {found.why}.", class_="absent")


def folded(summary: str, *content: Child) -> Markup:
    """Something for those who want to know."""
    return tag("details", tag("summary", summary), *content)
