"""Which tar files are meant: a file, a folder of them, a pattern with braces or stars, several joined by ::.

    shards/train-{0000..0031}.tar      shards/*.tar      a/train-{0..3}.tar::b/val-0.tar      https://host/{0..7}.tar

The role is told by a word in the name: train, val (valid, validation) or test.
"""

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from striate.data.folder import SPLIT_NAMES
from striate.data.split import UNDIVIDED
from striate.data.wording import several
from striate.errors import DatasetError

ENDING = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
MOST = 100_000  # shards that a pattern stands for
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


def is_address(source: str) -> bool:
    """Whether what was typed is to be fetched from somewhere: https:, gs: and so on."""
    return bool(_ADDRESS.match(source))


def is_pattern(source: str) -> bool:
    """Whether what was typed names tar files (by their ending), on a disk or elsewhere."""
    parts = source.split("::")
    return all(part.lower().endswith((ENDING, *COMPRESSED)) or is_address(part) for part in parts) and bool(source)


def shards_in(folder: Path) -> list[Path]:
    """The tar files of a folder, or of its folders called like splits, sorted; none where it has class folders."""
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    splits = [path for path in inside if path.name.lower() in SPLIT_NAMES]
    found = [path for place in (folder, *splits) for path in place.iterdir() if not path.name.startswith(".")]
    if len(splits) < len(inside) or any(path.is_dir() for path in found if path not in splits):
        return []
    return sorted(path for path in found if path.name.lower().endswith(ENDING) and path.is_file())


def expanded(source: str) -> list[str]:
    """The names or addresses that a pattern stands for, in order.

    >>> expanded("a/train-{008..010}.tar::a/val-{x,y}.tar")
    ['a/train-008.tar', 'a/train-009.tar', 'a/train-010.tar', 'a/val-x.tar', 'a/val-y.tar']

    Raises: DatasetError where nothing is there, for a name that is there twice, and for more than can be meant.
    """
    names: list[str] = []
    for part in source.split("::"):
        for name in _braces(part):
            if len(names) >= MOST:
                raise DatasetError(f"{source}: over {MOST:,} shards")
            if is_address(name) or not glob.has_magic(name) or Path(name).exists():
                names.append(name)
                continue
            found = sorted(glob.glob(name))  # noqa: PTH207 (a pattern of the user's, absolute or not)
            if not found:
                raise DatasetError(f"{name}: no file fits this pattern, seen from {Path.cwd()}")
            names += found
    if twice := sorted(name for name, times in Counter(names).items() if times > 1):
        raise DatasetError(f"{source}: named twice: {several(twice)}")
    return names


def whole(source: str) -> str:
    """The same pattern, as it is understood from any working directory."""
    return "::".join(part if is_address(part) else os.path.abspath(part) for part in source.split("::"))  # noqa: PTH100


def short_name(source: str) -> str:
    """What a set of shards is called: without ending, ranges and stars; by its folder where nothing else is left.

    >>> short_name("/data/pets-{0000..0031}.tar"), short_name("https://host/flowers/train-{0..7}.tar")
    ('pets', 'flowers')
    """
    parts = re.split(r"[/\\]", source.split("::", maxsplit=1)[0])
    for part in reversed(parts):
        stem = part[: -len(ENDING)] if part.lower().endswith(ENDING) else part
        stem = re.sub(r"[-_.]*[{\[*?].*$", "", stem).strip("-_. ")
        said_nothing = stem.lower() in {*SPLIT_NAMES, "", "shard", "shards", "data"}
        if not said_nothing and ":" not in stem:
            return stem
    return "shards"


def role_of(name: str) -> str:
    """The role that a shard's name says, or UNDIVIDED.

    >>> role_of("a/imagenet1k-validation-07.tar"), role_of("pets-3.tar"), role_of("test/0.tar")
    ('val', 'all', 'test')

    Raises: DatasetError for a name that says two.
    """
    said = _words(re.split(r"[/\\]", name)[-1])
    said = said or _words("".join(re.split(r"[/\\]", name)[-2:-1]), exactly=True)
    if len(said) > 1:
        raise DatasetError(f"{name}: its name says {several(sorted(said))}; expected train, val or test, one of them")
    return next(iter(said), UNDIVIDED)


def _words(text: str, exactly: bool = False) -> set[str]:
    words: Sequence[str] = [text] if exactly else re.split(r"[^a-zA-Z]+", text)
    return {SPLIT_NAMES[word.lower()] for word in words if word.lower() in SPLIT_NAMES}


def _braces(pattern: str) -> Iterator[str]:
    """{0000..0031} and {a,b} written out, from the left; other braces stay what they are."""
    for match in _BRACES.finditer(pattern):
        before, inside, after = pattern[: match.start()], match[1], pattern[match.end() :]
        if ends := _RANGE.fullmatch(inside):
            first, last = int(ends[1]), int(ends[2])
            wide = max(map(len, ends.groups())) if any(e.startswith("0") and len(e) > 1 for e in ends.groups()) else 0
            choices: Iterator[str] = (f"{i:0{wide}}" for i in range(first, last + 1 if last >= first else first))
            if last < first:
                raise DatasetError(f"{pattern}: {{{inside}}} counts down; expected {{{ends[2]}..{ends[1]}}}")
            if last - first >= MOST:
                raise DatasetError(f"{pattern}: over {MOST:,} shards")
        elif "," in inside:
            choices = iter(inside.split(","))
        else:
            continue
        for choice in choices:
            for rest in _braces(after):
                yield f"{before}{choice}{rest}"
        return
    yield pattern
