"""The network that the report is about: what it costs, and what it looks like."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from striate.look.costs.quantities import brief, by, scaled, size
from striate.look.costs.summary import Summary, summary
from striate.look.diagrams.diagram import diagram
from striate.look.excite.effective import Effective, effective_fields
from striate.look.filters.kernels import Kernels, kernels
from striate.look.markup import Markup, tag
from striate.look.page import tiles
from striate.look.report.looked import Looked, Refused, Subject, attempt
from striate.look.report.parts import absent
from striate.look.report.windows import fields, first_kernels
from striate.models.registry import entry


@dataclass(frozen=True, eq=False)
class Network:
    """What is found out once, whatever the images."""

    about: str  # a line: architecture, year, paper
    classes: int
    costs: Summary | Refused
    fields: tuple[Effective, ...] | Refused  # over all images
    kernels: Kernels | Refused  # of the first convolution


def look_into(subject: Subject, images: Sequence[Looked]) -> Network:
    """The network's costs, its fields measured on the images, its first kernels."""
    preprocess = subject.classifier.preprocess
    shape = (preprocess.channels, *preprocess.size)
    module = subject.classifier.module
    known = entry(subject.model) if subject.model is not None else None
    about = f"{known.name}, {known.year}, {known.paper}" if known else type(module).__name__
    found = attempt(lambda: summary(module, shape))
    if isinstance(found, Summary):
        found = replace(found, name=known.name if known else found.name, about=about)
    order = preprocess.order
    return Network(
        about, len(subject.classifier.classes), found,
        fields=attempt(lambda: effective_fields(module, torch.cat([_prepared(one, subject) for one in images]))),
        kernels=attempt(lambda: kernels(module, order=order)),
    )  # fmt: skip


def _prepared(looked: Looked, subject: Subject) -> Tensor:
    """The image as the network is given it."""
    preprocess = subject.classifier.preprocess
    return preprocess([looked.source])


def network(found: Network, images: Sequence[Looked]) -> Markup:
    """Fields, first kernels, costs and drawing."""
    return tag(
        "section",
        tag("h2", "The network"),
        *_costs(found),
        first_kernels(found.kernels),
        fields(found.fields, images[0].seen),
        id="network",
    )


def _costs(found: Network) -> list[Markup]:
    if isinstance(found.costs, Refused):
        return [absent(found.costs, "What it costs")]
    cost = found.costs.cost
    drawn = Markup(diagram(found.costs).svg())
    return [
        tag("p", f"{found.about}: an image of {by(cost.input)} becomes {found.classes:,} logits.", class_="lede"),
        tiles(
            ("parameters", brief(cost.parameters), f"{cost.parameters:,}; {size(cost.weight_bytes)}"),
            ("MACs", brief(cost.macs), f"{scaled(2 * cost.macs)}FLOPs, a multiply-add being two"),
            ("layers", f"{len(cost.rows):,}", "steps that do something"),
            ("activations", size(cost.bytes), f"{cost.elements:,} values for one image"),
        ),
        tag(
            "figure",
            tag("div", drawn, class_="scroll drawing", tabindex="0", role="group", aria_label="The drawing"),
            tag("figcaption", tag("b", "From the image to the logits."), " Boxes are layers, frames are stages; what "
                "repeats is drawn once, with its count."),
        ),
    ]  # fmt: skip
