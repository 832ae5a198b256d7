"""Splits are stable when files come and go, keep groups whole, and leave no class out that has enough images."""

import hashlib
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.dataset import ROLES, ArrayImages, Split
from striate.data.split import TEST, TRAIN, UNDIVIDED, VAL, Rule, complete, groups_of, sides, spread
from striate.errors import DatasetError, UsageError

PINNED = "tttettttteettettttettttttvtetevttttettttteeettttvtveteettttt"
PINNED_ALL = "3333329ee442704d510e9966fb42e22c33c5ddf28a3e648e180455cd4a765bce"


def split_of(keys: list[str], labels: list[int]) -> Split:
    pixels = np.zeros((len(keys), 1, 1, 1), dtype=np.uint8)
    return Split(ArrayImages(pixels), np.array(labels, dtype=np.int64), tuple(keys))


def many(n: int, classes: int = 2) -> tuple[list[str], np.ndarray]:
    return [f"class {i % classes}/{i}.png" for i in range(n)], np.arange(n) % classes


def by_hand(key: str, seed: int) -> float:
    """The documented hash in whole numbers of Python, without NumPy."""
    word = (1 << 64) - 1

    def mix(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & word
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & word
        return z ^ (z >> 31)

    golden = 0x9E3779B97F4A7C15
    z = mix((seed + golden) & word)
    z = mix(z ^ 0)
    z = mix(z ^ zlib.crc32(b"split"))
    z = mix(z ^ int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big"))
    return (mix((z + golden) & word) >> 11) / 2**53


@pytest.mark.parametrize("seed", [0, 7, 2**40])
def test_the_hash_is_the_documented_one_to_the_last_bit(seed: int) -> None:
    keys = ["cats/1.jpg", "", "train/00017", "chats/é\n.png", "x" * 300]
    assert spread(keys, seed).tolist() == [by_hand(key, seed) for key in keys]


def test_the_side_of_an_image_is_pinned_for_all_time() -> None:
    """A change here would move images of everybody's training sets into their test sets."""
    keys, labels = many(400)
    side = sides(keys, labels, val=0.1, test=0.2)
    assert "".join("tve"[i] for i in side[:60]) == PINNED
    assert hashlib.sha256(side.tobytes()).hexdigest() == PINNED_ALL


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_adding_and_removing_images_moves_no_other(data: st.DataObject) -> None:
    keys, labels = many(600, classes=3)
    whole = dict(zip(keys, sides(keys, labels, val=0.2, test=0.2).tolist(), strict=True))
    some = data.draw(st.sets(st.integers(0, 599), min_size=300))
    kept = [i for i in data.draw(st.permutations(range(600))) if i in some]
    part = sides([keys[i] for i in kept], labels[kept], val=0.2, test=0.2)
    assert part.tolist() == [whole[keys[i]] for i in kept]


@pytest.mark.parametrize(("val", "test"), [(0.1, 0.0), (0.1, 0.1), (0.3, 0.2), (0.0, 0.25)])
def test_shares_hold_within_what_chance_allows_in_each_class(val: float, test: float) -> None:
    keys, labels = many(20_000, classes=4)
    side = sides(keys, labels, val, test, seed=3)
    for label in range(4):
        for role, share in ((VAL, val), (TEST, test)):
            found = (side[labels == label] == role).sum()
            assert abs(found - 5_000 * share) <= 4 * np.sqrt(5_000 * share * (1 - share))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(0, 1000))
def test_every_class_is_on_as_many_sides_as_it_has_images_train_first(labels: list[int], seed: int) -> None:
    keys = [f"{label}/{i}" for i, label in enumerate(labels)]
    side = sides(keys, np.array(labels), val=0.1, test=0.1, seed=seed)
    two = sides(keys, np.array(labels), val=0.1, test=0.0, seed=seed)
    for label in set(labels):
        mine = np.array(labels) == label
        n = min(int(mine.sum()), 3)
        assert set(side[mine].tolist()) == set(range(n))
        assert set(two[mine].tolist()) == set(range(min(n, 2)))


def test_the_repair_takes_the_image_that_is_nearest_to_the_side_and_leaves_the_rest() -> None:
    keys = [f"a/{i}" for i in range(8)]
    u = spread(keys)
    val = float(u.min()) / 2  # nobody is below it
    side = sides(keys, np.zeros(8, dtype=np.int64), val=val, test=0.0)
    assert np.flatnonzero(side == VAL).tolist() == [int(u.argmin())]


def test_another_seed_gives_another_split() -> None:
    keys, labels = many(200)
    assert sides(keys, labels, 0.2, 0.2, seed=1).tolist() != sides(keys, labels, 0.2, 0.2, seed=2).tolist()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=60),
    st.integers(0, 1000),
    st.sampled_from([(0.1, 0.1), (0.3, 0.0), (0.4, 0.4)]),
)
def test_a_group_never_lies_on_two_sides_and_train_lacks_no_class(
    images: list[tuple[int, int]], seed: int, shares: tuple[float, float]
) -> None:
    keys = [f"{i}" for i in range(len(images))]
    groups = [f"patient {group}" for group, _ in images]
    labels = np.array([label for _, label in images])
    side = sides(keys, labels, *shares, seed, groups)
    for group in set(groups):
        assert len({s for s, g in zip(side.tolist(), groups, strict=True) if g == group}) == 1
    assert set(labels[side == TRAIN].tolist()) == set(labels.tolist())


def test_groups_come_from_the_key_and_a_key_without_one_is_named() -> None:
    assert groups_of(["a/p1_2.png", "b/p1_3.png"], r"/(\w+)_", "x") == ["p1", "p1"]
    with pytest.raises(DatasetError, match=r"pets: group_by .* finds nothing in 2 images: 'b/x.png', 'c/y.png'"):
        groups_of(["a/p1_2.png", "b/x.png", "c/y.png"], r"/(\w+)_", "pets")
    with pytest.raises(DatasetError, match="'b'"):  # a group that takes no part finds nothing either
        groups_of(["a", "b"], "(a)|b", "pets")


@pytest.mark.parametrize(("expression", "said"), [("(", "not a regular"), ("a", "0 groups"), ("(a)(b)", "2 groups")])
def test_an_expression_that_can_not_be_used_is_refused_before_anything_is_read(expression: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Rule(group_by=expression)


@pytest.mark.parametrize("shares", [(-0.1, None), (1.0, None), (0.5, 0.5), (0.95, None), (0.1, float("nan"))])
def test_shares_that_leave_nothing_to_train_on_are_refused(shares: tuple[float, float | None]) -> None:
    with pytest.raises(UsageError, match="share"):
        Rule(val=shares[0], test=shares[1])


def some(role: str, n: int = 120) -> Split:
    keys, labels = many(n)
    return split_of([f"{role}/{key}" for key in keys], labels.tolist())


@pytest.mark.parametrize(
    ("given_roles", "test_share", "expected", "said"),
    [
        ((UNDIVIDED,), None, {"train", "val", "test"}, "nobody had divided"),
        ((UNDIVIDED,), 0.0, {"train", "val"}, "evaluation will use val"),
        (("train",), None, {"train", "val"}, "evaluation will use val"),
        (("train",), 0.2, {"train", "val", "test"}, "Set apart"),
        (("train", "test"), None, {"train", "val", "test"}, "for val (a share of 0.1)"),
        (("train", "val"), None, {"train", "val"}, "evaluation will use val"),
        (("train", "val"), 0.2, {"train", "val", "test"}, "for test (a share of 0.2)"),
        (("train", "val", "test"), 0.2, {"train", "val", "test"}, "its own test split"),
    ],
)
def test_missing_splits_are_set_apart_and_the_user_is_told(
    given_roles: tuple[str, ...], test_share: float | None, expected: set[str], said: str
) -> None:
    given_splits = {role: some(role) for role in given_roles}
    splits, notes = complete("pets", given_splits, ("a", "b"), Rule(test=test_share))
    assert set(splits) == expected
    assert tuple(splits) == tuple(role for role in ROLES if role in expected)
    assert any(said in note for note in notes), notes
    before = sorted(key for split in given_splits.values() for key in split.keys)
    assert sorted(key for split in splits.values() for key in split.keys) == before
    for role in set(given_roles) - {"train", UNDIVIDED}:
        assert splits[role] is given_splits[role]


def test_nothing_is_said_where_nothing_was_decided() -> None:
    assert complete("pets", {role: some(role) for role in ROLES}, ("a", "b"), Rule())[1] == ()


def test_a_share_of_zero_leaves_the_training_images_whole() -> None:
    splits, notes = complete("pets", {"train": some("train"), "test": some("test")}, ("a", "b"), Rule(val=0))
    assert set(splits) == {"train", "test"}
    assert "nothing tells which epoch was the best" in notes[0]


def test_no_training_split_is_an_error_that_names_what_there_is() -> None:
    with pytest.raises(DatasetError, match="'val', 'test' but no 'train'"):
        complete("pets", {"val": some("val"), "test": some("test")}, ("a", "b"), Rule())


def test_a_group_in_two_given_splits_is_an_error_that_names_it() -> None:
    given_splits = {"train": split_of(["anna_1", "ben_1"], [0, 1]), "test": split_of(["anna_2"], [0])}
    with pytest.raises(DatasetError, match=r"1 group .*'anna in train and test'"):
        complete("pets", given_splits, ("a", "b"), Rule(group_by="(.+)_"))


def test_classes_that_do_not_go_round_are_named() -> None:
    keys, labels = many(300)
    split = split_of([*keys, "rare/1.png", "odd/1.png", "odd/2.png"], [*labels.tolist(), 2, 3, 3])
    splits, notes = complete("pets", {UNDIVIDED: split}, ("a", "b", "rare", "odd"), Rule())
    assert 2 in splits["train"].labels
    assert 2 not in splits["val"].labels
    assert any(note == "val has no image of 'rare': too few images to go round." for note in notes)
    assert any(note == "test has no image of 'rare', 'odd': too few images to go round." for note in notes)
