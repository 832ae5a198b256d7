"""docs/results.md and its pictures, from the recipes and their stored results alone.

A picture is named in the page and lies in docs/images/results/. Nothing is written here: `results_page` gives every
file with its content, and tests hold that the ones in docs/ are these.
"""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from striate.reproduce.experiment import Experiment, Published, Trained, Transferred
from striate.reproduce.fastest.way import Way
from striate.reproduce.intervals import Interval
from striate.reproduce.pictures import error_curves, gradient_curves, trade
from striate.reproduce.reading import names, read_forms
from striate.reproduce.result import Outcome, Result, stored
from striate.reproduce.verdict import beside_claim

PAGE = PurePosixPath("results.md")
IMAGES = PurePosixPath("images/results")
FIRST = (  # the order of the page; what is not named here comes after, by name
    "mnist_lenet5", "mnist_lenet5_1998", "mnist_convnet", "fastest_mnist", "capsnet_mnist", "alexnet_cifar",
    "cifar10_degradation", "cifar10_degradation_paper", "cifar10_stochastic_depth", "cifar10_densenet_bc",
    "cifar10_squeeze_excitation", "cifar10_depthwise", "fastest_cifar10", "ingredient_activation",
    "ingredient_initialisation", "ingredient_batch_norm", "ingredient_dropout", "ingredient_augmentation",
    "ingredient_pooling", "ingredient_lrn", "mobilenet_v1", "deep_compression",
)  # fmt: skip

_HEAD = """# Results

What the lectures and papers claim, measured here. Each result has a recipe (`recipes/NAME.toml`: claim, settings,
seeds) and is stored beside it as data (`recipes/results/`); this page is generated from these. One command runs a
recipe again and says whether it reproduces:

```sh
striate reproduce --list                     # claims, stored results, what they cost
striate reproduce mnist_lenet5 --quick       # exit code 0: reproduces; 1: does not
striate reproduce --all --quick
```

- **The small form** (`--quick`) has its own stored result: fewer images and passes. Its figures say nothing about the
  whole form. A recipe that would say nothing in small has none: `--all --quick` leaves it out and says so.
- **Test images choose nothing**: the weights of the last epoch count, whatever the curve says.
- **Intervals** are 95 % over seeds (Student's t); differences are paired, seed by seed. A seed decides the first
  weights, the order, the augmentation and which training images are drawn. With two or three seeds intervals are wide:
  where one of a difference includes 0, nothing was shown. They are not corrected for how many arms are compared.
- **A repetition reproduces** when the mean of every arm lies where the stored runs let one expect it, in 95 of 100
  repetitions all arms together (`striate/reproduce/intervals.py`).
- A training whose numbers cease to be finite is counted as always giving one class. In pictures the line is the mean of
  the seeds, the band reaches from the lowest to the highest.
- Decks are numbered from 0. Times are stated where the machine did nothing else; where none is, none was measured.
  Milliseconds of a step are those of one run alone, the arms in turns. Several runs may go side by side, each with the
  threads that are named: that changes no figure.
"""


def results_page(recipes: Path) -> dict[PurePosixPath, str]:
    """Every file of the page, by its place in docs/.

    Raises: RecipeError, ArtefactError for a recipe or a result that is damaged, or a result older than its recipe.
    """
    files: dict[PurePosixPath, str] = {}
    parts, waiting = [_HEAD], []
    known = names(recipes)
    for name in sorted(known, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name)):
        forms = read_forms(recipes / f"{name}.toml")
        found = [(form, result) for form in forms if (result := stored(form)) is not None]
        if not found:
            claim, no_small = forms[0].claim, "" if forms[1:] else "; no small form"
            waiting.append(f"- **{claim.title}** (`{name}`{no_small}): {claim.says} ({claim.who})")
            continue
        parts.append(_section(forms[0], found, files))
    if waiting:
        parts.append("## Not run yet\n\nThe recipes are there; nothing is claimed.\n\n" + "\n".join(waiting) + "\n")
    files[PAGE] = "\n".join(parts)
    return files


def _section(whole: Experiment, found: list[tuple[Experiment, Result]], files: dict[PurePosixPath, str]) -> str:
    claim = whole.claim
    lines = [f"## {claim.title}", "", f"> {claim.says}", f"> ({claim.who})", ""]
    for form, result in found:
        lines += [f"{_form(form, result)}", "", *_table(form, result), ""]
        if said := beside_claim(form, result):
            lines += [said + (" The small form was not made to reach it." if form.quick else ""), ""]
        for kind, picture in (
            ("training", error_curves(result, "train") if form.work.counted == "training" else None),
            ("error", error_curves(result, "test")),
            ("gradients", gradient_curves(result)),
            ("trade", trade(result, claim.metric) if form.work.kind != "training" else None),
        ):
            if picture is not None:
                place = IMAGES / f"{whole.name}{'.quick' if form.quick else ''}.{kind}.svg"
                files[place] = picture + "\n"
                lines += [f"![{_said(kind, claim.title)}]({place})", ""]
    if claim.differs:
        lines += [claim.differs, ""]
    _, result = found[0]
    lines += [f"`{claim.command}` · {result.machine}, {result.made}", ""]
    return "\n".join(lines)


def _form(form: Experiment, result: Result) -> str:
    how = _how(form, result.images)
    if result.seconds is not None:
        beside = f", {result.together} runs side by side" if result.together > 1 else ""
        how += f"; {result.seconds / 60:.1f} minutes{beside}"
    return f"**{'Small form' if form.quick else 'Whole form'}**: {how}."


def _how(form: Experiment, images: int) -> str:
    tested = f"{images:,} test images, {'1 run' if form.work.seeds == 1 else f'{form.work.seeds} seeds'}"
    match form.arms[0].does:
        case Trained(recipe):
            trained = f"{form.work.train_images:,}" if form.work.train_images else "all"
            sides = {arm.recipe.size for arm in form.trained.values()}
            side = f" of {recipe.size}×{recipe.size} pixels" if len(sides) == 1 else ""
            return f"{trained} training images{side}, {recipe.epochs} epochs, {tested}"
        case Way(epochs=epochs):
            return f"all training images, {epochs:g} epochs, {tested}"
        case Published():
            return f"{images:,} photographs, evaluation only"
        case Transferred():
            return tested


def _table(form: Experiment, result: Result) -> list[str]:
    against = form.against
    details = result.outcomes[0].runs[0].details
    columns: list[tuple[str, Callable[[Outcome], str]]] = [
        ("", lambda one: one.name),
        (form.claim.metric, lambda one: _mean(one.mean)),
    ]
    if against:
        partners = set(against.values())

        def gap(one: Outcome) -> str:
            if one.name not in against:
                return ""
            than = "" if len(partners) == 1 else f" against {against[one.name]}"
            return _gap(result.difference(one.name, against[one.name])) + than

        columns.append((f"against {min(partners)}" if len(partners) == 1 else "difference", gap))
    if any(run.curve for one in result.outcomes for run in one.runs):
        other = "train" if form.work.counted == "test" else "test"
        title = {"train": "training accuracy at the end, %", "test": "test accuracy, %"}[other]
        columns.append((title, lambda one: _at_the_end(one, other)))
    counts = [one.runs[0].details.get("parameters") for one in result.outcomes]
    if "top5" not in details and None not in counts and (len(counts) == 1 or len(set(counts)) > 1):
        columns.append(("parameters", lambda one: f"{one.runs[0].details['parameters']:,}"))
    columns += _costs(result)
    if any(run.diverged for one in result.outcomes for run in one.runs):
        columns.append(("diverged", lambda one: f"{sum(run.diverged for run in one.runs)} of {len(one.runs)}"))
    if "top5" in details:
        columns.append(("top-5, %", lambda one: f"{one.runs[0].details['top5']:.1f}"))
        columns.append(("claimed top-1 on ImageNet, %", lambda one: _or_dash(one.runs[0].details.get("claimed"))))
        columns.append(("parameters", lambda one: f"{one.runs[0].details['parameters']:,}"))
        columns.append(("million multiply-adds", lambda one: f"{one.runs[0].details['macs'] / 1e6:,.0f}"))
    if "seconds" in details:
        columns.append(("seconds of a run", _seconds))
    if "bytes" in details:
        columns.append(("bytes of the file", lambda one: f"{one.runs[0].details['bytes']:,}"))
        columns.append(("of its weights stored", lambda one: _share(one.runs[0].details)))
    head = [f"| {' | '.join(title for title, _ in columns)} |", f"| {' | '.join('---' for _ in columns)} |"]
    return head + [f"| {' | '.join(cell(one) for _, cell in columns)} |" for one in result.outcomes]


def _mean(one: Interval) -> str:
    """The interval of a share ends where shares end.

    >>> _mean(Interval(98.2, 95.1, 101.3, 3))
    '98.20 (95.1 to 100)'
    """
    if one.low is None or one.high is None:
        return f"{one.mean:.2f}"
    low, high = max(0.0, one.low), min(100.0, one.high)
    return f"{one.mean:.2f} ({_number(low)} to {_number(high)})"


def _gap(one: Interval) -> str:
    if one.low is None or one.high is None:
        return f"{one.mean:+.2f}"
    return f"{one.mean:+.2f} ({one.low:+.1f} to {one.high:+.1f})"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0") if value in (0.0, 100.0) else f"{value:.1f}"


def _at_the_end(one: Outcome, images: str) -> str:
    ends = [100 * run.curve[-1][f"{images}_accuracy"] for run in one.runs if run.curve and not run.diverged]
    return f"{sum(ends) / len(ends):.1f}" if ends else "–"


def _seconds(one: Outcome) -> str:
    taken = [run.details["seconds"] for run in one.runs]
    return f"{sum(taken) / len(taken):.1f} ({min(taken):.1f} to {max(taken):.1f})"


def _costs(result: Result) -> list[tuple[str, Callable[[Outcome], str]]]:
    """What was counted and timed of trainings, where their recipe asks for it."""
    details = [one.runs[0].details for one in result.outcomes]
    found: list[tuple[str, Callable[[Outcome], str]]] = []
    if all("macs" in one and "top5" not in one for one in details):
        found.append(("million multiply-adds", lambda one: f"{one.runs[0].details['macs'] / 1e6:,.1f}"))
    if any(one.get("macs_training", one.get("macs")) != one.get("macs") for one in details):
        found.append(("in training, on average", lambda one: _carried_out(one)))
    if all("step_ms" in one for one in details):
        found.append(("milliseconds a training step", lambda one: f"{one.runs[0].details['step_ms']:,.0f}"))
    return found


def _carried_out(one: Outcome) -> str:
    """Multiply-adds of an image in training, and the share of blocks that ran, over all runs of the arm."""
    if "blocks_run" not in one.runs[0].details:
        return "the same"
    macs = [run.details["macs_training"] for run in one.runs]
    run, of = (sum(each.details["blocks_run"][i] for each in one.runs) for i in (0, 1))
    return f"{sum(macs) / len(macs) / 1e6:,.1f}, {100 * run / of:.1f} % of the blocks"


def _share(details: dict[str, float]) -> str:
    kept, of = details["weights_stored"], details["weights"]
    return f"{kept:,} of {of:,}, {100 * kept / of:.0f} %"


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _said(kind: str, title: str) -> str:
    what = {
        "training": "training error over epochs",
        "error": "test error over epochs",
        "gradients": "size of the gradient at each convolution",
        "trade": "accuracy over operations",
    }[kind]
    return f"{title}: {what}"
