"""Sheets of a whole network in a folder, one after the other while the images run through, and a page over them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from striate import durable
from striate.data.dataset import Pixels
from striate.errors import UsageError
from striate.look import cells
from striate.look.activations.activations import Activations, checked, chosen, measure
from striate.look.activations.overview import Shown, page
from striate.look.activations.sheet import draw_sheet, png, stacked, strip
from striate.look.activations.steps import Fold, Step, folded, makers, steps_of
from striate.look.activations.tiles import Scale
from striate.look.png import picture_png
from striate.run.classifier import Classifier
from striate.run.inference import evaluating

PAGE = "index.html"
FOLDED = "folded"
TOGETHER = 4  # images that run at once
TALL = 2400  # pixels of several sheets in one picture, about
SIDE = 224  # pixels of the images on the page, at least

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Named:
    """Images as the network is given them, with what to call them and how they look."""

    x: Tensor  # (N, c, H, W), normalised
    names: tuple[str, ...]
    pictures: tuple[bytes, ...]  # a PNG each


@dataclass(frozen=True)
class Written:
    """What is in the folder now."""

    found: Activations
    files: tuple[Path, ...]
    folds: tuple[Fold, ...]
    page: Path


def named(classifier: Classifier, images: Sequence[tuple[str, Pixels]]) -> Named:
    """Images by name, (H, W, 1 or 3) bytes, as a classifier's network is given them."""
    preprocess = classifier.preprocess
    seen = [preprocess.pixels(one) for _, one in images]
    x = preprocess.normalise(torch.from_numpy(np.stack(seen)))
    shown = [one.transpose(1, 2, 0)[:, :, :: -1 if preprocess.order == "bgr" else 1] for one in seen]
    pictures = tuple(picture_png(cells.fitted(one, max(SIDE, *one.shape[:2]))) for one in shown)
    return Named(x, tuple(name for name, _ in images), pictures)


def write_sheets(
    module: nn.Module, images: Named, folder: Path, layers: Sequence[str] | str | None = FOLDED, *, title: str,
    scale: Scale = "channel", progress: Progress | None = None,
) -> Written:  # fmt: skip
    """A sheet for each image and layer, and a page with the curves; the numbers are of all layers.

    `layers` are names of steps; "stages"; "folded" for all but blocks that repeat; None for all. Several images have a
    folder each. Each file is written whole or not at all; at no time are the maps of more than one layer kept here.

    Raises: UnknownName, ShapeError as `activations`; EnvironmentFault where the folder can't be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; the sheets of a network go to a folder")
    x = checked(module, images.x)
    with torch.inference_mode(False), evaluating(module):
        seen = steps_of(module, x[:1])
    wanted, folds = _wanted(module, seen.found, layers)
    file_of = {step.name: f"{i + 1:03d}-{_safe(step.name)}.png" for i, step in enumerate(wanted)}
    places = (
        [Path()] if len(x) == 1 else [Path(f"{i + 1:02d}-{_safe(Path(n).stem)}") for i, n in enumerate(images.names)]
    )
    for place in places:
        durable.make_folder(folder / place)
    strips: dict[str, list[bytes]] = {}
    files: list[Path] = []
    total = len(wanted) * len(x)

    def draw(step: Step, y: Tensor, first: int) -> None:
        if step.name not in file_of:
            return
        for i, maps in enumerate(y):
            heading = f"{Path(images.names[first + i]).name}  ·  {title}"
            file = folder / places[first + i] / file_of[step.name]
            durable.write_bytes(file, png(draw_sheet(step, maps, scale, heading)))
            files.append(file)
            strips.setdefault(step.name, []).append(strip(maps))
            if progress is not None:
                progress(len(files), total)

    every = {step.name for step in makers(seen.found)} | file_of.keys()
    found = measure(module, x, every, keep=False, each=draw, batch=TOGETHER)
    found = _with_notes(found, seen.notes)
    shown = [
        Shown(
            found[step.name],
            tuple((place / file_of[step.name]).as_posix() for place in places),
            tuple(strips[step.name]),
        )
        for step in wanted
    ]
    inputs = [(Path(name).name, picture) for name, picture in zip(images.names, images.pictures, strict=True)]
    durable.write_text(folder / PAGE, page(found, title, inputs, shown, folds))
    return Written(found, tuple(files), tuple(folds), folder / PAGE)


def one_picture(
    module: nn.Module, images: Named, layers: Sequence[str] | str = "stages", *, title: str, scale: Scale = "channel"
) -> tuple[bytes, Activations]:
    """The sheets of some layers for one image, one below the other, as a PNG; and their numbers.

    Raises: UsageError for several images, and for more layers than make one picture.
    """
    if len(images.x) != 1:
        raise UsageError(f"one picture shows one image, not {len(images.x)}; name a folder for the sheets of several")
    x = checked(module, images.x)
    with torch.inference_mode(False), evaluating(module):
        seen = steps_of(module, x)
    wanted = chosen(module, seen.found, layers)
    if len(wanted) > 12:
        raise UsageError(f"{len(wanted)} layers are too many for one picture, which has at most 12; name a folder")
    found = _with_notes(measure(module, x, {step.name for step in wanted}, keep=True), seen.notes)
    heading = f"{Path(images.names[0]).name}  ·  {title}"
    tall = max(360, TALL // len(found))
    sheets = [draw_sheet(layer, layer.maps[0], scale, heading, tall=tall) for layer in found if layer.maps is not None]
    return png(stacked(sheets)), found


def _wanted(
    module: nn.Module, steps: Sequence[Step], layers: Sequence[str] | str | None
) -> tuple[list[Step], list[Fold]]:
    if layers is None:
        return makers(steps), []
    return folded(steps) if layers == FOLDED else (chosen(module, steps, layers), [])


def _with_notes(found: Activations, notes: Sequence[str]) -> Activations:
    every = tuple(dict.fromkeys([*found.notes, *notes]))
    return Activations(found.layers, found.images, found.size, found.by_place, every)


def _safe(name: str) -> str:
    """A name that every file system takes.

    >>> _safe("features.denseblock1.relu:2"), _safe("../a b")
    ('features.denseblock1.relu_2', 'a_b')
    """
    return re.sub(r"[^\w.-]", "_", name, flags=re.ASCII).lstrip("._")[:80] or "layer"
