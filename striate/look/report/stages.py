"""What each stage makes of the image: its liveliest maps, all of them on request, and numbers over the depth."""

import io

from PIL import Image

from striate.data.wording import percent, plural
from striate.look.activations.activations import Activations
from striate.look.activations.sheet import draw_sheet, strip
from striate.look.activations.sheet import png as sheet_png
from striate.look.activations.tally import LayerActivations
from striate.look.markup import Markup, raw, tag
from striate.look.report import pictures
from striate.look.report.charts import Axis, Curve, chart, legend
from striate.look.report.looked import Looked, Refused
from striate.look.report.parts import absent, figure, folded, section

MOST = 12  # maps in a strip
DEPTH = Axis("depth", ticks=(0.0, 1.0), names=("first layer", "last layer"))


def stages(looked: Looked) -> Markup:
    """A strip a resolution, and the curves."""
    found, every, title = looked.stages, looked.layers, "What each stage makes of it"
    if isinstance(found, Refused):
        return section(title, absent(found, "Activations"))
    if not len(found):
        return section(title, absent(Refused("none of its steps puts out maps"), "Activations"))
    return section(
        title,
        tag("p", f"The image goes through {plural(len(found), 'stage')}, a resolution each. Of every stage the "
            f"{MOST} liveliest maps stand here, those that differ most from place to place; all of them are folded "
            "below. Look how edges and colours become fewer, coarser and more particular signs."),
        *(_stage(layer, looked.name) for layer in found),
        _curves(every) if isinstance(every, Activations) else None,
        class_="stages",
    )  # fmt: skip


def _stage(layer: LayerActivations, name: str) -> Markup:
    assert layer.maps is not None
    maps = layer.maps[0]
    size = f"{plural(layer.shape[0], 'map')} of {' × '.join(map(str, layer.shape[1:]))}"
    zeros = f", {percent(layer.sparsity, 0)} zeros" if layer.rectified else ""
    blank = int(layer.blank.sum())
    empty = f", {plural(blank, 'map')} blank" if blank else ""
    read = "" if layer.retained is None else f"; {percent(layer.retained, 0)} of the image can be read off it"
    said = f"{size}{zeros}{empty}{read}."
    return raw(
        tag("div", figure(pictures.stored(strip(maps, MOST), f"The liveliest maps of {layer.name} for {name}"),
                          f"{layer.name}:", said), class_="strip"),
        folded(f"All {plural(layer.shape[0], 'map')} of {layer.name}",
               pictures.stored(_sheet(layer), f"All maps of {layer.name} for {name}")),
    )  # fmt: skip


def _sheet(layer: LayerActivations) -> bytes:
    """The whole sheet, as WebP where that is smaller."""
    assert layer.maps is not None
    drawn = sheet_png(draw_sheet(layer, layer.maps[0]))
    stored = io.BytesIO()
    Image.open(io.BytesIO(drawn), formats=("PNG",)).convert("RGB").save(stored, "WEBP", quality=72, method=4)
    return min(drawn, stored.getvalue(), key=len)


def _curves(found: Activations) -> Markup | None:
    """Zeros, blank maps and what is retained, over the depth."""
    layers = list(found)
    deep = max(1, len(layers) - 1)
    charts = []
    rectified = [(i / deep, layer) for i, layer in enumerate(layers) if layer.rectified and layer.places > 1]
    if len(rectified) > 1 and any(layer.sparsity > 0 for _, layer in rectified):
        zeros = [(at, layer.sparsity) for at, layer in rectified]
        blank = [(at, layer.blank_share) for at, layer in rectified]
        drawn = chart(
            [Curve(blank, "other"), Curve(zeros)],
            DEPTH,
            Axis(""),
            f"Share of zeros over depth, {percent(zeros[0][1])} to {percent(zeros[-1][1])}; of blank maps, "
            f"{percent(blank[0][1])} to {percent(blank[-1][1])}",
        )
        keys = legend(("main", "zeros"), ("other", "blank maps"))
        said = f"{percent(zeros[0][1], 0)} of the values in the first, {percent(zeros[-1][1], 0)} in the last."
        charts.append(figure(raw(keys, drawn), "Zeros after rectifiers:", said))
    retained = [(i / deep, layer.retained) for i, layer in enumerate(layers) if layer.retained is not None]
    if len(retained) > 1:
        drawn = chart(
            [Curve(retained)],
            DEPTH,
            Axis(""),
            f"What can be read off each layer of the image: {percent(retained[0][1])} of the first, "
            f"{percent(retained[-1][1])} of the last",
        )
        place = (
            "" if found.by_place is None else f" One that knew only the place would reach {percent(found.by_place, 0)}."
        )
        charts.append(
            figure(raw(legend(("main", "of the image’s colours, read by a linear regression")), drawn),
                   "What is left of the image:", f"the colours of 14 × 14 places, predicted from the layer.{place}")
        )  # fmt: skip
    if not charts:
        return None
    return tag("div", *charts, class_="charts")
