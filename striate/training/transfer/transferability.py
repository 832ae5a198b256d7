"""How general is each layer: the first n of a trained network are given to another task, and the rest is learnt anew.

    nothing   the whole network from nothing: what the task gives by itself
    frozen    the first n layers from the run, frozen (AnB of the paper); falls where layers are special to their task,
              or where neighbours that were learnt together are parted
    tuned     the same, trained further with the rest (AnB+)

All have the same settings, images prepared in the same way, and as many epochs. What is stated is the accuracy on the
val split after the last epoch, so nothing was chosen by it.

Source: Yosinski, Clune, Bengio & Lipson, "How transferable are features in deep neural networks?", 2014,
arXiv:1411.1792.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from striate import durable
from striate.data.sources import called
from striate.errors import DatasetError, UsageError
from striate.models.features import spine_of
from striate.models.registry import entry
from striate.run.folder import Run
from striate.training.job import train
from striate.training.options import Options
from striate.training.recipe import Recipe
from striate.training.report import Report
from striate.training.transfer.places import span, steps

FILE = "transferability.json"
LR = 0.002  # where none is given: one for all, for a comparison


@dataclass(frozen=True)
class Point:
    """One way to begin, over the seeds."""

    place: str  # last step from the run; "" for none
    way: str  # nothing, frozen, tuned
    accuracies: tuple[float, ...]  # on the val split, after the last epoch; one a seed

    @property
    def mean(self) -> float:
        return sum(self.accuracies) / len(self.accuracies)


@dataclass(frozen=True)
class Study:
    """What came out, in the order of the layers."""

    run: str
    model: str
    data: str
    images: int  # of the val split
    epochs: int
    points: tuple[Point, ...]

    def to_json(self) -> dict[str, Any]:
        """With the means."""
        return asdict(self) | {"points": [asdict(point) | {"mean": point.mean} for point in self.points]}

    def of(self, way: str) -> list[Point]:
        """The points of one way, from the first layer on."""
        return [point for point in self.points if point.way == way]


def transferability(
    run: Path | str,
    data: str,
    out: Path,
    *,
    places: Sequence[str] = (),
    seeds: int = 1,
    options: Options | None = None,
    report: Report | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Study:
    """Train on `data` from the first layers of a run, frozen and tuned, up to each of `places` (its stages by default).

    Each training is a run of its own in `out`; where some are there already, the study goes on with the others.

    Raises: ArtefactError where `run` is none; UnknownName for a place that is not in its network; UsageError for a
    setting that the study decides itself; DatasetError without a val split; and as `striate.train`.
    """
    source, given = Run(run), dict(settings or {})
    decided = {"model", "data", "weights", "weights_to", "freeze", "unfreeze", "seed"}
    if clash := sorted(decided & given.keys()):
        raise UsageError(f"{', '.join(clash)} can't be set here: the study decides it for each training")
    report, options = report or Report(), options or Options()
    name = source.identity.spec.name
    network = source.identity.spec.build()
    known = steps(network)
    chosen = list(places) or stages(source)
    for place in chosen:
        span(known, place, "layer")
    common = {"lr": LR, **given, "weights": str(source.folder.resolve())}
    Recipe.make({"model": name, "data": data, **common})
    points, images, epochs = [], 0, 0
    ways = [("", "nothing"), *((place, way) for place in chosen for way in ("frozen", "tuned"))]
    for i, (place, way) in enumerate(ways):
        found = []
        for seed in range(seeds):
            folder = out / f"{place or 'nothing'}{'-' + way if place else ''}-{seed}"
            report.note(f"{i * seeds + seed + 1} of {len(ways) * seeds}: {folder.name}")
            trained = train(data, name, out=folder, resume=True, options=options, report=report, seed=seed, **common,
                            weights_to=place or "none", freeze=place if way == "frozen" else "none")  # fmt: skip
            last = trained.rows[-1]
            if last["val_accuracy"] is None:
                raise DatasetError(
                    f"{data}: the study compares on a val split, and there is none; val_share=0.1 makes one"
                )
            found.append(last["val_accuracy"])
            images, epochs = sum(trained.run.config["data"]["counts"]["val"].values()), last["epoch"]
        points.append(Point(place, way, tuple(found)))
    study = Study(source.name, name, called(data), images, epochs, tuple(points))
    durable.write_json(out / FILE, study.to_json())
    return study


def stages(run: Run) -> list[str]:
    """The last step of each resolution: where the study cuts by default."""
    spec = run.identity.spec
    module = spec.build()
    spine = spine_of(module, entry(spec.name).head, run.preprocess.channels)
    after = [*(step.reduction for step in spine[1:]), 0]
    return [step.name for step, reduction in zip(spine, after, strict=True) if reduction != step.reduction]
