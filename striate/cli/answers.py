"""Predictions over files: where the images are, and how the answers are written."""

import csv
import io
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from striate.cli.downloads import download_bars
from striate.data.decode import looks_like_an_image
from striate.errors import DataError, UsageError
from striate.run.classifier import Answer, answers, load

if TYPE_CHECKING:
    from striate.data.shards.images import StoredImage

Form = Literal["text", "json", "csv"]


def print_answers(
    run: Path, files: list[str], *, weights: str | None, top: int, form: Form, both: bool, batch: int
) -> None:
    """Raises: DataError, after all that could be answered, naming what could not be."""
    if both:
        raise UsageError("--json and --csv exclude each other")
    if weights is None:
        classifier = load(run)
    else:
        with download_bars() as show:
            classifier = load(str(run), weights=weights, progress=show)
    for note in classifier.notes:
        typer.echo(f"note: {note}", err=True)
    failed: list[Answer] = []
    if form == "csv":
        typer.echo(_csv(["file", *(f"{what}{i + 1}" for i in range(top) for what in ("class", "probability"))]))
    n = 0
    for answer in _all(files, classifier, top, batch):
        n += 1
        if answer.prediction is None:
            failed.append(answer)
            if form == "json":
                typer.echo(json.dumps({"file": answer.name, "error": answer.error}, ensure_ascii=False))
            continue
        typer.echo(_line(answer, form))
    if n == 0:
        raise DataError(f"no image files in {', '.join(files)}")
    if failed:
        listed = "\n".join(f"  {answer.error}" for answer in failed)
        raise DataError(f"{len(failed)} of {n} images can't be read:\n{listed}")


def _line(answer: Answer, form: Form) -> str:
    assert answer.prediction is not None
    ranked = answer.prediction.top
    if form == "json":
        top = [{"class": name, "probability": round(p, 6)} for name, p in ranked]
        return json.dumps({"file": answer.name, "top": top}, ensure_ascii=False)
    if form == "csv":
        return _csv([answer.name, *(v for name, p in ranked for v in (name, f"{p:.6f}"))])
    return f"{_one_line(answer.name)}\t" + "\t".join(f"{_one_line(name)} {p:.2%}" for name, p in ranked)


def _all(files: list[str], classifier: "object", top: int, batch: int) -> Iterator[Answer]:
    from striate.errors import ImageError
    from striate.run.classifier import Classifier

    assert isinstance(classifier, Classifier)
    for word in files:
        if word != "-":
            yield from answers(classifier, _expand(Path(word)), top=top, batch=batch)
            continue
        content = sys.stdin.buffer.read()
        if looks_like_an_image(content):
            try:
                yield Answer("-", classifier.predict(content, top=top)[0], None)
            except ImageError as error:
                yield Answer("-", None, str(error))
        else:
            names = [line for line in content.decode("utf-8", "surrogateescape").splitlines() if line.strip()]
            yield from answers(classifier, (p for name in names for p in _expand(Path(name))), top=top, batch=batch)


def _expand(path: Path) -> "Iterable[Path | StoredImage]":
    """The image files of a folder, in order of their names; those in tar shards; a file as it is."""
    from striate.data.folder import image_files
    from striate.data.shards.listing import images_in
    from striate.data.shards.patterns import ENDING, expanded, shards_in

    if path.name.lower().endswith(ENDING) and not path.is_dir():
        return images_in([Path(name) for name in expanded(str(path))]).each()
    if path.is_dir():
        shards = shards_in(path)
        return images_in(shards).each() if shards else image_files(path)
    return [path]


def _csv(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _one_line(name: str) -> str:
    """A name that stays on its line and shows what can't be written."""
    clean = name.encode("utf-8", "backslashreplace").decode()
    return clean if clean.isprintable() else repr(clean)[1:-1]
