"""Which images train, which choose among models, which give the final score.

    u(image) = hash(seed, key of the image, or of its group),   evenly spread over 0 <= u < 1

    0 |- test -|- val -|------------------ train ------------------| 1

An image's side depends on its own key and on nothing else, so images that are added or removed never move another one.
The price is that shares hold on average: of 1,000 images at a share of 0.1, about 100 +- 10 are set apart.

One repair: a class that would be missing on a side, though it has enough images, gives it the image (or group) whose u
is nearest to that side. Only there, in classes of a few images, can a later file move an earlier one back.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.data.dataset import ROLES, Labels, Split
from striate.data.keyed import uniform
from striate.data.wording import plural, several
from striate.errors import DatasetError, UsageError

UNDIVIDED = "all"  # images for which nobody has chosen a role yet
DEFAULT_TEST = 0.1
TRAIN, VAL, TEST = range(3)  # positions in ROLES, and the order in which a small class fills them


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How images are set apart where the data set itself does not say."""

    val: float = 0.1
    test: float | None = None  # None: 0.1 of what nobody has divided, nothing of what has a train folder
    group_by: str | None = None  # a regular expression with one group, searched in the key
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse shares that leave nothing to train on, and expressions that can't be used."""
        test = DEFAULT_TEST if self.test is None else self.test
        if not (0 <= self.val < 1 and 0 <= test < 1 and self.val + test < 1):
            raise UsageError(
                f"a share of {self.val} for val and {test} for test: each must be at least 0, and both together below 1"
            )
        if self.group_by is not None:
            _pattern(self.group_by)


def complete(
    name: str, given: Mapping[str, Split], classes: Sequence[str], rule: Rule
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """The splits a training needs, made from those that are given (a role each, or UNDIVIDED); and notes for the user.

    Raises: DatasetError where nothing is left to train on or where a group lies in two given splits.
    """
    if UNDIVIDED in given:
        whole, reason = given[UNDIVIDED], "nobody had divided the images"
        val, test = rule.val, DEFAULT_TEST if rule.test is None else rule.test
    elif "train" in given:
        whole, reason = given["train"], "the data set comes without it"
        val = 0.0 if "val" in given else rule.val
        test = 0.0 if "test" in given else rule.test or 0.0
        if rule.group_by:
            _keep_groups_apart(name, given, rule.group_by)
    else:
        raise DatasetError(f"{name} has {several(given)} but no 'train' split, so there is nothing to train on")
    made, short = _carve(name, whole, classes, rule, val, test)
    splits = {role: made[role] if role in made else given[role] for role in ROLES if role in made or role in given}
    notes = []
    carved = [
        f"{len(made[role]):,} for {role} (a share of {share:g})"
        for role, share in (("val", val), ("test", test))
        if role in made
    ]
    if carved:
        together = f", together what {rule.group_by!r} finds the same in" if rule.group_by else ""
        how = f"by a hash of each image's name{together}; {reason}"
        notes.append(f"Set apart from the training images: {' and '.join(carved)}, {how}.")
    notes += short
    if "test" in given and rule.test is not None:
        notes.append("The data set has its own test split; the share asked for was not taken.")
    if "test" not in splits and "val" in splits:
        notes.append(
            "There is no test split: evaluation will use val, which has also chosen the weights, so it flatters."
        )
    if "val" not in splits:
        notes.append("There is no val split, so nothing tells which epoch was the best one.")
    return splits, tuple(notes)


def lacking(splits: Mapping[str, Split], classes: Sequence[str]) -> tuple[str, ...]:
    """A note for each split that has no image of some classes."""
    notes = []
    for role, split in splits.items():
        there = set(np.unique(split.labels).tolist())
        if absent := [name for i, name in enumerate(classes) if i not in there]:
            notes.append(f"{role} has no image of {plural(len(absent), 'class')}: {several(absent)}.")
    return tuple(notes)


def sides(
    keys: Sequence[str], labels: Labels, val: float, test: float, seed: int = 0, groups: Sequence[str] | None = None
) -> NDArray[np.int8]:
    """keys, labels (N,) -> (N,) positions in ROLES: 0 train, 1 val, 2 test. Images of one group stay together."""
    numbers: dict[str, int] = {}
    unit = np.array([numbers.setdefault(name, len(numbers)) for name in (groups or keys)], dtype=np.int64)
    u = spread(numbers, seed)
    side = np.where(u < test, TEST, np.where(u < test + val, VAL, TRAIN)).astype(np.int8)
    _fill_gaps(side, u, np.unique(np.stack([labels, unit]), axis=1), val, test)
    return side[unit]


def spread(names: Iterable[str], seed: int = 0) -> NDArray[np.float64]:
    """A number (N,) for each name, evenly spread over 0 <= u < 1, that depends on seed and name only."""
    digests = b"".join(hashlib.sha256(name.encode(errors="surrogatepass")).digest()[:8] for name in names)
    return uniform(seed, 0, "split", np.frombuffer(digests, dtype=">u8").astype(np.uint64))[:, 0]


def groups_of(keys: Sequence[str], expression: str, name: str) -> list[str]:
    """What the expression's one group finds in each key.

    >>> groups_of(["cats/anna-1.jpg", "dogs/anna-2.jpg"], r"/(.+)-", "pets")
    ['anna', 'anna']

    Raises: UsageError for an expression that can't be used; DatasetError naming the keys in which it finds nothing.
    """
    pattern = _pattern(expression)
    groups = [match[1] if (match := pattern.search(key)) else None for key in keys]
    if astray := [key for key, group in zip(keys, groups, strict=True) if group is None]:
        raise DatasetError(
            f"{name}: group_by {expression!r} finds nothing in {plural(len(astray), 'image')}: {several(astray)}; it "
            "is searched in the path below the data set's folder and has to find its group in each"
        )
    return [group for group in groups if group is not None]


def _carve(
    name: str, split: Split, classes: Sequence[str], rule: Rule, val: float, test: float
) -> tuple[dict[str, Split], list[str]]:
    """train, val and test of one split, as far as the shares are more than 0; notes on classes that do not go round."""
    if not (val or test):
        return {"train": split}, []
    groups = groups_of(split.keys, rule.group_by, name) if rule.group_by else None
    side = sides(split.keys, split.labels, val, test, rule.seed, groups)
    made = {role: split.take(np.flatnonzero(side == i)) for i, role in enumerate(ROLES) if (side == i).any()}
    if "train" not in made:
        raise DatasetError(f"{name}: no image is left to train on after val and test were set apart")
    notes = []
    everywhere = np.unique(split.labels)
    for role, share in (("train", 1.0), ("val", val), ("test", test)):
        short = np.setdiff1d(everywhere, made[role].labels if role in made else [])
        if share and len(short):
            why = "too few groups" if groups else "too few images"
            notes.append(f"{role} has no image of {several(classes[i] for i in short)}: {why} to go round.")
    return made, notes


def _fill_gaps(
    side: NDArray[np.int8], u: NDArray[np.float64], pairs: NDArray[np.int64], val: float, test: float
) -> None:
    """Move units (images or groups) so that no class misses a side that it could fill; `side` changes in place.

    pairs (2, P): each class with each unit that holds an image of it, sorted.
    """
    reach = {TRAIN: (test + val, 1.0), VAL: (test, test + val), TEST: (0.0, test)}
    wanted = [role for role in (TRAIN, VAL, TEST) if reach[role][0] < reach[role][1]]
    units_of, labels_of = _rows(pairs[0], pairs[1]), _rows(pairs[1], pairs[0])
    count = np.zeros((len(units_of), len(ROLES)), dtype=np.int64)
    np.add.at(count, (pairs[0], side[pairs[1]]), 1)

    def may_give(one: int, label: int, role: int) -> bool:
        giver = int(side[one])
        others = labels_of[one][labels_of[one] != label]
        strips_another = role != TRAIN and bool((count[others, giver] < 2).any())
        return bool(count[label, giver] > (giver < role)) and not strips_another  # earlier roles keep their last one

    for label in np.flatnonzero((count[:, wanted] == 0).any(axis=1)).tolist():
        for role in wanted[: len(units_of[label])]:
            if count[label, role]:
                continue
            low, high = reach[role]
            donors = [one for one in units_of[label].tolist() if may_give(one, label, role)]
            if donors:
                _, one = min((max(low - u[one], u[one] - high), one) for one in donors)
                count[labels_of[one], side[one]] -= 1
                count[labels_of[one], role] += 1
                side[one] = role


def _rows(which: NDArray[np.int64], values: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The values that go with 0, 1, 2 ... in `which`."""
    order = np.argsort(which, kind="stable")
    ends = np.cumsum(np.bincount(which))
    return np.split(values[order], ends[:-1]) if len(ends) else []


def _keep_groups_apart(name: str, given: Mapping[str, Split], expression: str) -> None:
    home: dict[str, str] = {}
    astray: dict[str, str] = {}
    for role, split in given.items():
        for group in groups_of(split.keys, expression, name):
            if home.setdefault(group, role) != role:
                astray[group] = f"{home[group]} and {role}"
    if astray:
        shown = several(f"{group} in {roles}" for group, roles in astray.items())
        raise DatasetError(
            f"{name}: {plural(len(astray), 'group')} of group_by {expression!r} in two of the given splits: {shown}; "
            "move their images to one side, or give one undivided folder and let it be divided"
        )


def _pattern(expression: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise UsageError(f"group_by {expression!r} is not a regular expression: {error}") from error
    if pattern.groups != 1:
        raise UsageError(
            f"group_by {expression!r} has {plural(pattern.groups, 'group')} in parentheses; exactly one is needed, as "
            "in '([^/]+)_[0-9]+'"
        )
    return pattern
