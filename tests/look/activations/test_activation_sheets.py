"""Sheets: a tile where its channel belongs, contrast as it is said, blank maps marked; folders and pages."""

import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from striate.errors import EnvironmentFault, UnknownName, UsageError
from striate.look.activations.activations import activations
from striate.look.activations.depth import curves, things_to_note, way
from striate.look.activations.folder import PAGE, Named, one_picture, write_sheets
from striate.look.activations.overview import fragment
from striate.look.activations.sheet import HEAD, MARGIN, draw_sheet, png, strip
from striate.look.activations.steps import Step
from striate.look.activations.tiles import COLOURS, GAP, GUTTER, HEIGHT, PAPER, STROKE, WIDTH
from striate.models.registry import create_model


def step(*shape: int, name: str = "relu") -> Step:
    return Step(name, "ReLU", "ReLU", shape, False, True)


def grid(maps: torch.Tensor, scale: str = "channel") -> np.ndarray:
    """The numbers of the tiles alone."""
    sheet = draw_sheet(step(*maps.shape), maps, scale)  # type: ignore[arg-type]
    return sheet.numbers[HEAD:, MARGIN + GUTTER :]


def test_every_channel_stands_in_its_place_pixel_by_pixel() -> None:
    maps = torch.zeros(20, 4, 6)
    for k in range(20):
        maps[k, k % 4, k % 6] = 1
    drawn = grid(maps)
    zoom = next(n for n in range(1, 200) if drawn[0, n * 6] == PAPER and (drawn[0, : n * 6] != PAPER).all())
    across = 1
    while drawn[0, across * (6 * zoom + GAP)] != PAPER:
        across += 1
    for k in range(20):
        top, left = k // across * (4 * zoom + GAP), k % across * (6 * zoom + GAP)
        tile = drawn[top : top + 4 * zoom, left : left + 6 * zoom]
        assert np.array_equal(tile[::zoom, ::zoom], (maps[k] * (COLOURS - 1)).byte().numpy())
        assert np.array_equal(tile, tile[::zoom, ::zoom].repeat(zoom, 0).repeat(zoom, 1))


def test_each_channel_has_its_own_scale_or_all_have_one() -> None:
    maps = torch.stack([torch.linspace(0, 1, 16).view(4, 4), torch.linspace(0, 10, 16).view(4, 4)])
    own, shared = grid(maps), grid(maps, "shared")
    half = own.shape[1] // 2
    assert own[:, :half].max() >= COLOURS - 1
    tiles = shared[shared < COLOURS]
    assert tiles.max() == COLOURS - 1
    first = shared[: shared.shape[0] - MARGIN, : (shared.shape[1] - MARGIN) // 4]
    assert first[first < COLOURS].max() <= round((COLOURS - 1) / 10)
    with pytest.raises(UnknownName, match="did you mean 'shared'"):
        grid(maps, "share")


def test_signs_have_colours_of_their_own_and_zero_is_in_their_middle() -> None:
    drawn = grid(torch.tensor([-2.0, 0.0, 1.0, 2.0]).view(1, 2, 2))
    found = sorted({int(n) for n in drawn.ravel()} - {PAPER, STROKE})
    assert found[0] == COLOURS
    assert found[-1] == 2 * COLOURS - 1
    assert abs(found[1] - (1.5 * COLOURS - 0.5)) <= 1
    assert abs((found[2] - found[1]) - (found[3] - found[2])) <= 1


def test_blank_maps_are_struck_through_and_no_other() -> None:
    maps = torch.rand(9, 8, 8)
    maps[4], maps[6] = 0, 3
    drawn = grid(maps)
    struck = drawn == STROKE
    where = np.argwhere(struck)
    wide = 8 * next(n for n in range(1, 60) if drawn[0, n * 8] == PAPER and (drawn[0, : n * 8] != PAPER).all()) + GAP
    assert {int(x // wide) for _, x in where} == {4, 6}
    text = io.BytesIO(png(draw_sheet(step(9, 8, 8), maps)))
    with Image.open(text, formats=["PNG"]) as picture:
        assert picture.mode == "P"


@pytest.mark.parametrize(
    "shape",
    [(2048, 7, 7), (64, 112, 112), (64, 224, 224), (3, 500, 300), (1, 1, 1), (1000,), (10,), (4096,), (2048, 1, 1),
     (1152, 8), (12, 1, 40), (4032, 11, 11), (6, 28, 28), (5, 3, 4, 4), (17, 1000, 2)],
)  # fmt: skip
def test_every_form_fits_on_a_sheet(shape: tuple[int, ...]) -> None:
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0)).relu()
    wide, tall = draw_sheet(step(*shape), maps, heading="a name " * 40).size
    assert 700 <= wide <= WIDTH + 2 * MARGIN
    assert tall <= 1.4 * HEIGHT
    assert len(strip(maps)) < 120_000


def test_a_bright_corner_does_not_leave_the_rest_dark() -> None:
    maps = torch.full((1, 40, 40), 1.0)
    maps[0, :20] = 0.5
    maps[0, 0, 0] = 1000.0
    found = np.unique(grid(maps))
    assert COLOURS // 2 - 1 <= sorted(found)[0] <= COLOURS // 2


def test_values_that_are_not_finite_can_be_drawn() -> None:
    maps = torch.rand(4, 5, 5)
    maps[0, 0], maps[1, 1], maps[2, 2] = torch.nan, torch.inf, -torch.inf
    assert png(draw_sheet(step(4, 5, 5), maps))


@pytest.fixture
def images() -> Named:
    stored = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stored, "PNG")
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return Named(x, ("a/<one>.png", "b/twö & so.png"), (stored.getvalue(), stored.getvalue()))


class Links(HTMLParser):
    """What a page points to."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.links: list[str] = []
        self.alts: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "img":
            self.sources.append(found["src"] or "")
            self.alts.append(found.get("alt"))
        if tag == "a":
            self.links.append(found["href"] or "")


def test_a_folder_holds_a_sheet_a_layer_and_a_page_that_leads_to_each(images: Named, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net, told = create_model("cifar_resnet20").eval(), []
    out = tmp_path / "new" / "folder"
    written = write_sheets(net, images, out, title="a <net>", progress=lambda done, of: told.append((done, of)))
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert PAGE in names
    assert sum(name.endswith(".png") for name in names) == len(written.files) == told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert {name.split("/")[0] for name in names} == {PAGE, "01-one_", "02-tw_so"} or len(names) > 2
    assert len(written.found) == 61
    assert 0 < len(written.files) / 2 < 61
    assert [fold.shown for fold in written.folds] == ["layer1.2", "layer2.2", "layer3.2"]
    text = written.page.read_text(encoding="utf-8")
    page = Links()
    page.feed(text)
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert all(page.alts)
    assert {(out / link).resolve() for link in page.links} == {path.resolve() for path in written.files}
    assert "<one>" not in re.sub(r'"[^"]*"', "", text)
    assert "a &lt;net&gt;" in text
    with Image.open(written.files[0], formats=["PNG"]) as picture:
        picture.load()


def test_all_layers_are_written_where_blocks_are_not_folded(images: Named, tmp_path: Path) -> None:
    net = nn.Sequential(*[nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()) for _ in range(4)])
    one = Named(images.x[:1], images.names[:1], images.pictures[:1])
    assert len(write_sheets(net, one, tmp_path / "folded", title="net").files) == 2
    assert len(write_sheets(net, one, tmp_path / "all", None, title="net").files) == 8


def test_named_layers_alone_are_drawn_and_all_are_counted(images: Named, tmp_path: Path, stranger: nn.Module) -> None:
    one = Named(images.x[:1], images.names[:1], images.pictures[:1])
    written = write_sheets(stranger, one, tmp_path, ["relu", "fc"], title="mine")
    assert [path.name for path in written.files] == ["001-relu.png", "002-relu_2.png", "003-fc.png"]
    assert [layer.name for layer in written.found] == ["conv1", "relu", "pool", "conv2", "relu:2", "fc"]
    assert written.found.notes == ("the network calls relu without a layer, which is no step to be seen",)


def test_one_picture_shows_the_stages_of_one_image(images: Named, stranger: nn.Module) -> None:
    one = Named(images.x[:1], images.names[:1], images.pictures[:1])
    content, found = one_picture(stranger, one, title="mine")
    assert [layer.name for layer in found] == ["relu", "relu:2"]
    with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
        assert picture.height > 2 * HEAD
    with pytest.raises(UsageError, match="one picture shows one image, not 2"):
        one_picture(stranger, images, title="mine")
    many = nn.Sequential(*[nn.ReLU() for _ in range(13)])
    deep = nn.Sequential(*[nn.Conv2d(3, 3, 1) for _ in range(13)])
    with pytest.raises(UsageError, match="13 layers are too many"):
        one_picture(deep, one, [str(i) for i in range(len(many))], title="mine")


def test_where_nothing_can_be_written_nothing_is_left(images: Named, tmp_path: Path, stranger: nn.Module) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(UsageError, match="is a file; the sheets"):
        write_sheets(stranger, images, file, title="net")
    assert file.read_text() == "mine"
    with pytest.raises(EnvironmentFault):
        write_sheets(stranger, images, file / "below", title="net")


def test_the_curve_goes_through_the_activation_functions_on_the_way_of_the_maps() -> None:
    torch.manual_seed(0)
    found = activations(create_model("efficientnet_b0").eval(), torch.randn(1, 3, 64, 64))
    on = [layer for _, layer in way(found).on]
    assert all(layer.label == "SiLU" for layer in on)  # none of the gates' sigmoids
    assert all(layer.places > 1 for layer in on)
    assert "No value of these layers is exactly zero: sparsity is of rectifiers." in things_to_note(found)
    svg = curves(found).svg()
    assert svg.count("<circle") >= len(on) * 3


def test_growing_sparsity_is_said_to_grow() -> None:
    layers: list[nn.Module] = []
    for _ in range(6):
        conv = nn.Conv2d(8, 8, 1)
        with torch.no_grad():
            conv.weight.copy_(torch.eye(8).view(8, 8, 1, 1))
            conv.bias.fill_(-0.25)
        layers += [conv, nn.ReLU()]
    x = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0)) * 1.2
    zeros = things_to_note(activations(nn.Sequential(*layers), x))[0]
    assert "grows with depth (rank correlation +1.00)" in zeros


def test_a_notebook_is_shown_curves_and_numbers(stranger: nn.Module) -> None:
    found = activations(stranger, torch.randn(1, 3, 16, 16), ["relu", "fc"])
    assert fragment(found) == found._repr_html_()
    assert "conv1" not in fragment(found)
    assert found["relu"]._repr_png_()
    assert "data:image/png" in found["relu"]._repr_html_()
    bare = activations(stranger, torch.randn(1, 3, 16, 16))
    assert bare["relu"]._repr_png_() is None
    assert "<svg" in bare._repr_html_()
