"""`striate weights`: what is published for which model."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from striate.models.published import Publication


def weights(
    pattern: Annotated[str, typer.Argument(help="Shell pattern of models, for example 'resnet50' or 'mobile*'.")] = "*",
    as_json: Annotated[
        bool, typer.Option("--json", help="Machine-readable, with preprocessing and addresses.")
    ] = False,
) -> None:
    """List published weights: tag, publisher, accuracy, size, licence, and whether they are here already."""
    from striate.models.published import elsewhere, published, weights_cache

    found = published(pattern)
    if as_json:
        typer.echo(json.dumps([one.to_json() for one in found], indent=2, ensure_ascii=False))
        return
    if not found:
        typer.echo(f"None are published for {pattern}{elsewhere(pattern, 'imagenet')}.")
        return
    for line in _table(found):
        typer.echo(line)
    typer.echo(
        '\n* what weights="imagenet" means (for the CIFAR networks "cifar10"); others: "imagenet:TAG". Accuracy is per '
        "cent, as the\npublisher claims it; sizes with ~ are counted from the values. "
        f"Downloads go to {weights_cache()}."
    )


def _table(found: "list[Publication]") -> list[str]:
    rows = [("", "model", "tag", "publisher", "top-1", "size", "licence", "")]
    for one in sorted(found, key=lambda one: (bool(one.misfit), one.model, not one.default, one.tag)):
        rows.append((
            "*" if one.default else "", one.model, one.tag, one.publisher.rpartition("/")[2],
            f"{one.top1:.1f}" if one.top1 else "-", f"{'' if one.size_stated else '~'}{one.size_mb:,.0f} MB",
            one.licence.partition(" (")[0],
            _state(one),
        ))  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    sides = "<<<<>><"
    return [
        "  ".join(
            [*(f"{cell:{side}{wide}}" for cell, side, wide in zip(row, sides, widths, strict=False)), row[-1]]
        ).rstrip()
        for row in rows
    ]


def _state(one: "Publication") -> str:
    if one.misfit:
        return f"does not fit: {one.misfit}"
    return "here" if one.cached else "" if one.urls else "by path only"
