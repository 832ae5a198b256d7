"""The tree of errors in the docstring is the tree in the code; every class can be told to a shell and to a browser."""

import re
import signal
from collections.abc import Iterator

import pytest

from striate import errors
from striate.errors import Interrupted, StriateError, suggest

EXIT_CODES = {2, 3, 4, 5, 129, 130, 143}
ROW = re.compile(
    r"^(?P<indent>[ │├└─]*)(?P<name>[A-Z]\w+) +(?P<exit>[\d/]+) +(?P<status>\d{3})( {2,}(?P<about>\S.*))?$"
)


def rows() -> list[tuple[str, str, int, str, int, str]]:
    """(name, parent, depth, exit codes, status, about) of each line of the table in the docstring."""
    found: list[tuple[str, str, int, str, int, str]] = []
    above = ["StriateError"]
    for line in (errors.__doc__ or "").splitlines():
        if match := ROW.match(line):
            depth = (len(match["indent"]) - 4) // 4
            found.append(
                (match["name"], above[depth - 1], depth, match["exit"], int(match["status"]), match["about"] or "")
            )
            above[depth:] = [match["name"]]
    return found


def tree(kind: type[StriateError] = StriateError) -> Iterator[type[StriateError]]:
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from tree(child)


def made(kind: type[StriateError], number: int = 2) -> StriateError:
    return kind("m", number) if issubclass(kind, Interrupted) else kind("m")


def test_the_table_names_every_class_once_and_no_other() -> None:
    names = [row[0] for row in rows()]
    assert len(names) > 10
    assert sorted(names) == sorted(kind.__name__ for kind in tree())


@pytest.mark.parametrize(("name", "parent", "depth", "codes", "status", "about"), rows(), ids=lambda v: str(v)[:20])
def test_each_class_is_what_its_line_in_the_table_says(
    name: str, parent: str, depth: int, codes: str, status: int, about: str
) -> None:
    kind = getattr(errors, name)
    assert kind.__bases__[0].__name__ == parent
    assert kind.http_status == status
    stated = [int(code) for code in codes.split("/")]
    if kind is Interrupted:
        assert stated == [Interrupted("m", n).exit_code for n in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)]
    else:
        assert [made(kind).exit_code] == stated
    assert set(stated) <= EXIT_CODES
    assert kind.__doc__


def test_no_class_says_that_all_went_well_or_that_it_is_a_bug() -> None:
    for kind in (StriateError, *tree()):
        assert made(kind).exit_code not in (0, 1)
        assert 400 <= kind.http_status <= 599


@pytest.mark.parametrize(
    ("kind", "also"),
    [("UnknownName", LookupError), ("ShapeError", ValueError), ("MissingExtra", ImportError)],
)
def test_errors_that_python_has_a_name_for_can_be_caught_by_it(kind: str, also: type[Exception]) -> None:
    assert issubclass(getattr(errors, kind), also)
    assert str(getattr(errors, kind)("what went wrong")) == "what went wrong"  # a KeyError would put quotes around it


def test_what_is_a_bug_is_not_caught_with_the_rest() -> None:
    for bug in (TypeError, AttributeError, AssertionError, KeyError, OSError):
        assert not issubclass(bug, StriateError)
        assert not any(issubclass(kind, bug) for kind in tree())


@pytest.mark.parametrize(
    ("typed", "known", "otherwise", "said"),
    [
        ("resnet81", ["resnet18", "lenet5"], "", "; did you mean 'resnet18'?"),
        ("catt", ["cat", "cats", "dog"], "", "; did you mean 'cat' or 'cats'?"),
        ("xyz", ["resnet18", "lenet5"], "see the list", "; see the list"),
        ("xyz", ["resnet18"], "", ""),
        ("xyz", [], "", ""),
        ("", ["a"], "", ""),
    ],
)
def test_the_nearest_right_answer_is_offered(typed: str, known: list[str], otherwise: str, said: str) -> None:
    assert suggest(typed, known, otherwise) == said
    assert suggest(typed, (name for name in known), otherwise) == said


def test_at_most_three_names_are_offered() -> None:
    assert suggest("resnet", [f"resnet{n}" for n in range(9)]).count("resnet") == 3
