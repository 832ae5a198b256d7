"""Markup: what goes in as text comes out as text, whatever it is."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from striate.evaluation.drawing import clip
from striate.look.markup import Markup, raw, shown, tag


class Reader(HTMLParser):
    """What a browser would find: elements with their attributes, and all text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


anything = st.text() | st.sampled_from(
    ["<script>alert(1)</script>", "</b>", "&amp;", "a\"b'c", "\x00", "\ud800", "\u202eevil", "<!--"]
)


@given(anything, anything)
def test_any_text_is_shown_and_never_becomes_an_element(child: str, attribute: str) -> None:
    found = read(tag("b", child, title=attribute))
    assert [name for name, _ in found.elements] == ["b"]
    assert found.text == shown(child)
    assert found.elements[0][1] == {"title": shown(attribute)}


@given(st.lists(anything, max_size=4))
def test_nested_children_keep_their_order(words: list[str]) -> None:
    found = read(tag("p", [tag("i", word) for word in words], None, raw("x", 7)))
    assert [name for name, _ in found.elements] == ["p"] + ["i"] * len(words)
    assert found.text == "".join(map(shown, words)) + "x7"


def test_signs_that_turn_the_reading_direction_are_made_visible() -> None:
    assert shown("invoice\u202egpj.exe") == "invoice\ufffdgpj.exe"
    assert shown("\x1b[31m\x00") == "\ufffd[31m\ufffd"
    assert shown("ascii, Ünïcödé, 漢字, עברית, 🐱\n") == "ascii, Ünïcödé, 漢字, עברית, 🐱\n"


def test_attributes_that_are_none_or_false_are_left_out() -> None:
    assert (
        tag("a", hidden=True, title=None, open=False, stroke_width=1.50, class_="x")
        == '<a hidden stroke-width="1.5" class="x"></a>'
    )
    assert tag("img", alt="") == '<img alt="">'
    assert isinstance(tag("i"), Markup)


@given(st.text(max_size=60))
def test_a_cut_name_is_one_short_line(name: str) -> None:
    short = clip(name)
    assert 1 <= len(short) <= 16
    assert "\n" not in short
