"""The predictions file: exact, whole, readable by others, suspicious of changes."""

import csv
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from striate.data.dataset import ArrayImages, Split
from striate.data.preprocess import Preprocess
from striate.errors import ArtefactError, ShapeError
from striate.evaluation.predictions import Predictions, load, predict_split, save

nasty = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        "=1+1",
        "'=x",
        "''@y",
        "'",
        "a,b",
        'say "cheese"',
        "two\nlines",
        "two\r\nlines",
        "\r",
        "\t",
        "+",
        "-",
        "@SUM(A1)",
        "",
        " ",
        "\x00",
        "﻿",
    ]
)


def rows(n: int, k: int, seed: int = 0, temperature: float = 1.0) -> np.ndarray:
    z = np.random.default_rng(seed).normal(size=(n, k)) * temperature
    return (np.exp(z - z.max(1, keepdims=True)) / np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True)).astype(
        np.float32
    )


def example(**changes: object) -> Predictions:
    values = {
        "keys": ("x.png", "y.png"),
        "truth": np.array([0, 1]),
        "probabilities": rows(2, 3),
        "classes": ("a", "b", "c"),
        "role": "test",
    }
    return Predictions(**(values | changes))  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(
    classes=st.lists(nasty, min_size=2, max_size=5, unique=True),
    keys=st.lists(nasty, min_size=1, max_size=6, unique=True),
    seed=st.integers(0, 2**32),
    temperature=st.sampled_from([0.01, 1, 60]),
)
def test_what_is_read_is_what_was_written_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, classes: list[str], keys: list[str], seed: int, temperature: float
) -> None:
    path = tmp_path_factory.mktemp("p") / "predictions.csv"
    truth = np.random.default_rng(seed).integers(0, len(classes), size=len(keys))
    wrote = Predictions(tuple(keys), truth, rows(len(keys), len(classes), seed, temperature), tuple(classes), "val")
    save(wrote, path)
    read = load(path)
    assert (read.keys, read.classes, read.role) == (wrote.keys, wrote.classes, wrote.role)
    np.testing.assert_array_equal(read.truth, wrote.truth)
    np.testing.assert_array_equal(read.probabilities, wrote.probabilities)
    with path.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))], (
        "a spreadsheet would run it"
    )


def test_the_file_is_plain_csv_with_names_in_it(tmp_path: Path) -> None:
    save(example(probabilities=np.array([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])), tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_bytes() == (
        b"key,split,truth,predicted,a,b,c\r\nx.png,test,a,a,0.5,0.25,0.25\r\ny.png,test,b,c,0.125,0.125,0.75\r\n"
    )


def test_a_file_name_that_is_not_utf_8_comes_back_as_the_same_bytes(tmp_path: Path) -> None:
    key = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    save(example(keys=(key, "y")), tmp_path / "p.csv")
    assert load(tmp_path / "p.csv").keys[0] == key
    assert b"caf\xe9.png" in (tmp_path / "p.csv").read_bytes()


GOOD = "key,split,truth,predicted,a,b\r\nx,test,a,b,0.25,0.75\r\ny,test,b,b,0.5,0.5\r\n".replace(
    "b,b,0.5,0.5", "b,a,0.5,0.5"
)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("key,split", "key,role", "line 1: expected the columns key, split, truth, predicted"),
        (",a,b\r", ",a,a\r", "line 1: two classes have the same name"),
        ("x,test,a,b,0.25,0.75", "x,test,a,b,0.25", "line 2: 5 columns, expected 6"),
        ("x,test,a,b", "x,test,A,b", "line 2: 'A', 'b' should be classes"),
        ("0.25,0.75", "0.25,lots", "line 2: expected a probability"),
        ("0.25,0.75", "0.25,0.85", "line 2: the probabilities should lie in 0..1 and sum to 1, not to 1.1"),
        ("0.25,0.75", "-0.5,1.5", "line 2: the probabilities should lie in 0..1"),
        ("0.25,0.75", "nan,0.75", "line 2: the probabilities should"),
        ("a,b,0.25,0.75", "a,a,0.25,0.75", "'x' is said to be predicted as 'a', but the most probable class is 'b'"),
        ("y,test", "y,val", "rows of several splits: 'test', 'val'"),
        ("y,test", "x,test", "the key 'x' is there twice"),
        ("x,test", '"x,test', "not a CSV file"),
        (GOOD[31:], "", "no rows"),
        (GOOD, "", "line 1: expected the columns"),
        (GOOD, "\x89PNG\r\n\x1a\n\x00\x00", "line 1: expected the columns"),
    ],
)
def test_a_damaged_or_changed_file_is_refused_with_line_and_reason(
    tmp_path: Path, old: str, new: str, says: str
) -> None:
    path = tmp_path / "p.csv"
    assert old in GOOD
    path.write_bytes(GOOD.encode())
    load(path)
    path.write_bytes(GOOD.replace(old, new).encode())
    with pytest.raises(ArtefactError, match=r"p\.csv") as error:
        load(path)
    assert says in str(error.value)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200) | st.text(st.sampled_from('key,split\r\n"ab01.5='), max_size=80).map(str.encode))
def test_any_bytes_at_all_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("p") / "p.csv"
    path.write_bytes(b"key,split,truth,predicted,a,b\r\n" + content)
    with suppress(ArtefactError):
        load(path)


def test_a_missing_file_is_an_artefact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="No such file"):
        load(tmp_path / "nowhere.csv")


@pytest.mark.parametrize(
    "changes",
    [
        {"keys": ("x",)},
        {"truth": np.array([0, 3])},
        {"truth": np.array([-1, 0])},
        {"classes": ("a", "b", "b")},
        {"classes": ("a", "b")},
    ],
)
def test_parts_that_do_not_fit_together_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ShapeError):
        example(**changes)


PREPROCESS = Preprocess(size=(4, 4), order="gray", mean=(0.5,), std=(0.25,))


def split_of(n: int) -> Split:
    pixels = np.random.default_rng(0).integers(0, 256, size=(n, 4, 4, 1), dtype=np.uint8)
    return Split(ArrayImages(pixels), np.arange(n, dtype=np.int64) % 2, tuple(f"i{i}" for i in range(n)))


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_split_is_predicted_in_order_whatever_the_batch_and_the_mode_stays(outputs: int) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, outputs)).train()
    module[1].eval()
    split = split_of(10)
    whole = predict_split(module, split, PREPROCESS, classes=("a", "b"), role="test")
    calls: list[tuple[int, int]] = []
    pieces = predict_split(
        module,
        split,
        PREPROCESS,
        classes=("a", "b"),
        role="test",
        batch=3,
        progress=lambda done, of: calls.append((done, of)),
    )
    np.testing.assert_allclose(whole.probabilities, pieces.probabilities, rtol=1e-6)
    assert calls[:2] == [(3, 10), (6, 10)]
    assert calls[-1] == (10, 10)
    assert [m.training for m in module.modules()] == [True, True, False, True, True]
    assert whole.keys == split.keys
    x = PREPROCESS([split.images.read(i) for i in range(10)])
    z = module.eval()(x).detach()
    want = torch.cat([1 - z.sigmoid(), z.sigmoid()], 1) if outputs == 1 else z.softmax(1)
    np.testing.assert_allclose(whole.probabilities, want.numpy(), rtol=1e-5)


def test_a_network_that_answers_nan_is_named_with_the_image() -> None:
    class Breaks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = torch.zeros(len(x), 2)
            z[-1] = torch.nan
            return z

    with pytest.raises(ArtefactError, match="'i2' is not finite; its weights"):
        predict_split(Breaks(), split_of(7), PREPROCESS, classes=("a", "b"), role="test", batch=3)


def test_a_network_with_other_classes_is_refused() -> None:
    with pytest.raises(ShapeError):
        predict_split(
            nn.Sequential(nn.Flatten(), nn.Linear(16, 5)), split_of(4), PREPROCESS, classes=("a", "b"), role="test"
        )
