"""The primary output of an evaluation: what the network said about every image. Everything else derives from it.

    key,split,truth,predicted,cat,dog
    cat/17.jpg,test,cat,dog,0.31,0.69

One row an image, one column a class after the first four; UTF-8, RFC 4180 (quoted where needed, CRLF), so a name may
hold commas, quotes and line breaks. A text that a spreadsheet would run as a formula (it begins with = + - @, a tab
or a return) is written with an apostrophe in front; reading takes it off again.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from striate import durable
from striate.data.dataset import Split
from striate.data.loader import Loader
from striate.data.preprocess import Preprocess
from striate.data.wording import several
from striate.errors import ArtefactError, ShapeError
from striate.run.inference import evaluating, probabilities

FIXED = ("key", "split", "truth", "predicted")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_SUM_SLACK = 1e-3  # rows written by other programs may be rounded


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network said about the N images of one split."""

    keys: tuple[str, ...]
    truth: NDArray[np.int64]  # (N,) index into classes
    probabilities: NDArray[
        np.float32
    ]  # (N, K), rows sum to 1; float32, so that nine digits in a file give it back exactly
    classes: tuple[str, ...]
    role: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "truth", np.asarray(self.truth, dtype=np.int64))
        object.__setattr__(self, "probabilities", np.asarray(self.probabilities, dtype=np.float32))
        n, k = len(self.keys), len(self.classes)
        if self.truth.shape != (n,) or self.probabilities.shape != (n, k):
            raise ShapeError(
                f"{n} keys and {k} classes need truth ({n},) and probabilities ({n}, {k}), "
                f"not {self.truth.shape} and {self.probabilities.shape}"
            )
        if n and not (self.truth.min() >= 0 and self.truth.max() < k):
            raise ShapeError(f"truth must lie in 0..{k - 1}, found {self.truth.min()}..{self.truth.max()}")
        if len(set(self.classes)) < k:
            raise ShapeError(f"class names must differ: {several(self.classes, 20)}")

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """(N,) the most probable class; of equals the first."""
        return np.asarray(self.probabilities.argmax(1), dtype=np.int64)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(N,) the probability of the predicted class."""
        return np.asarray(self.probabilities.max(1), dtype=np.float64)

    @property
    def right(self) -> NDArray[np.bool_]:
        """(N,) whether the predicted class is the true one."""
        return np.asarray(self.predicted == self.truth)


def predict_split(
    module: nn.Module,
    split: Split,
    preprocess: Preprocess,
    *,
    classes: Sequence[str],
    role: str,
    batch: int = 256,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Run a network over a split, in float32, on the device of its weights; its mode is afterwards as it was.

    Raises: ShapeError where it has another number of outputs than there are classes; ArtefactError where an output is
    not finite; DatasetError for an image that can't be read.
    """
    weight = next(module.parameters(), None)
    device = torch.device("cpu") if weight is None else weight.device
    loader = Loader(split, preprocess, classes=len(classes), batch=batch, workers=workers, device=device)
    rows: list[NDArray[np.float32]] = []
    done = 0
    with evaluating(module):
        for one in loader.in_order():
            answer = module(one.images)
            logits = answer[0] if isinstance(answer, tuple) else answer
            found = probabilities(logits, len(classes)).cpu().numpy()
            if len(bad := np.flatnonzero(~np.isfinite(found).all(axis=1))):
                raise ArtefactError(
                    f"the network's answer to {split.keys[done + int(bad[0])]!r} is not finite; its weights are damaged"
                )
            rows.append(found)
            done += len(found)
            if progress:
                progress(done, len(split))
    whole = np.concatenate(rows) if rows else np.zeros((0, len(classes)), np.float32)
    return Predictions(split.keys, split.labels, whole, tuple(classes), role)


def save(predictions: Predictions, path: Path) -> None:
    """Write the file, all or nothing."""
    names = [_guard(name) for name in predictions.classes]
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow([*FIXED, *names])
    numbers = predictions.probabilities.astype(np.str_)  # the shortest decimals that give the same float32
    for key, truth, predicted, row in zip(
        predictions.keys, predictions.truth.tolist(), predictions.predicted.tolist(), numbers, strict=True
    ):
        rows.writerow([_guard(key), predictions.role, names[truth], names[predicted], *row.tolist()])
    # a file name that is not UTF-8 arrives as surrogates and leaves as the bytes that it was
    durable.write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))


def load(path: Path) -> Predictions:
    """Read what `save` wrote.  Raises: ArtefactError, naming file, line and what is wrong there."""
    try:
        text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise ArtefactError(f"{path}: can't be read ({error.strerror or error})") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if tuple(header[:4]) != FIXED or len(header) < 5:
            raise ArtefactError(
                f"{path}, line 1: expected the columns {', '.join(FIXED)} and one a class, found {several(header)}"
            )
        classes = tuple(_unguard(name) for name in header[4:])
        index = {name: i for i, name in enumerate(classes)}
        if len(index) < len(classes):
            raise ArtefactError(f"{path}, line 1: two classes have the same name; they are {several(classes, 20)}")
        keys, truth, said, roles, numbers = [], [], [], set(), []
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if len(row) != len(header):
                raise ArtefactError(f"{where}: {len(row)} columns, expected {len(header)}")
            key, role, *names = row[:4]
            true, predicted = (_unguard(name) for name in names)
            if true not in index or predicted not in index:
                raise ArtefactError(
                    f"{where}: {several([true, predicted])} should be classes; those are {several(classes, 20)}"
                )
            keys.append(_unguard(key))
            roles.add(role)
            truth.append(index[true])
            said.append(index[predicted])
            numbers.append(_numbers(row[4:], where))
    except csv.Error as error:
        raise ArtefactError(f"{path}, line {reader.line_num}: not a CSV file ({error})") from error
    if len(roles) != 1:
        raise ArtefactError(
            f"{path}: {f'rows of several splits: {several(sorted(roles))}' if roles else 'no rows'}; expected one split"
        )
    if len(set(keys)) < len(keys):
        raise ArtefactError(f"{path}: the key {_first_twice(keys)!r} is there twice; expected one row an image")
    found = Predictions(tuple(keys), np.array(truth, np.int64), np.array(numbers, np.float32), classes, roles.pop())
    if len(wrong := np.flatnonzero(found.predicted != np.array(said))):
        i = int(wrong[0])
        raise ArtefactError(
            f"{path}: {found.keys[i]!r} is said to be predicted as {classes[said[i]]!r}, but the most probable class "
            f"is {classes[found.predicted[i]]!r}: the file was changed after it was written"
        )
    return found


def positive(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Probabilities as float64, none below the smallest float32: what has a logarithm."""
    return np.maximum(np.asarray(probabilities, dtype=np.float64), float(np.finfo(np.float32).smallest_subnormal))


def _numbers(cells: Sequence[str], where: str) -> list[float]:
    try:
        row = [float(cell) for cell in cells]
    except ValueError:
        raise ArtefactError(f"{where}: expected a probability for each class, found {several(cells)}") from None
    if not (all(0 <= value <= 1 for value in row) and abs(sum(row) - 1) <= _SUM_SLACK):
        raise ArtefactError(f"{where}: the probabilities should lie in 0..1 and sum to 1, not to {sum(row):g}")
    return row


def _guard(text: str) -> str:
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def _unguard(text: str) -> str:
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text


def _first_twice(keys: Iterable[str]) -> str:
    seen: set[str] = set()
    return next(key for key in keys if key in seen or seen.add(key))  # type: ignore[func-returns-value]
