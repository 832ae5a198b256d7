"""The report: a page that parses, needs nothing from elsewhere, and shows the numbers of the functions it asks."""

import copy
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate.data.preprocess import Preprocess
from striate.data.wording import percent
from striate.errors import ImageError, UnknownName, UsageError
from striate.look.explain.explained import explain
from striate.look.explain.faithful import Faithfulness
from striate.look.explain.randomised import Randomisation
from striate.look.report.evidence import verdict
from striate.look.report.looked import Refused, Subject
from striate.look.report.report import Report, report, report_on, words_of
from striate.look.units.unit import unit
from striate.models.registry import create_model, entry
from striate.run.classifier import Classifier
from tests.look.planted import planted

HOSTILE = '<script>alert("1")</script> & \u202egnp.exe'
CLASSES = (HOSTILE, "falling", "upright")
VOID = {"meta", "img", "br", "link", "input", "hr"}


class Read(HTMLParser):
    """A page taken apart: every element with its attributes, and whether all of them are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, {key: value or "" for key, value in attributes}))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        if not self.open or self.open.pop() != name:
            self.wrong.append(name)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, name: str) -> list[dict[str, str]]:
        return [attributes for element, attributes in self.elements if element == name]


@pytest.fixture(scope="module")
def classifier(reader: nn.Sequential) -> Classifier:
    gray = Preprocess(size=(32, 32), resize="stretch", order="gray", mean=(0.5,), std=(0.25,))
    return Classifier(reader, CLASSES, gray)


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    x, _, _ = planted(2, 6)
    shown = ((x * 0.25 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return [one[0] for one in shown]


@pytest.fixture(scope="module")
def made(classifier: Classifier, pictures: list[np.ndarray]) -> Report:
    return report(classifier, pictures)


@pytest.fixture(scope="module")
def read(made: Report) -> Read:
    return Read(made.html)


def test_the_page_is_one_well_formed_document(read: Read) -> None:
    assert (read.open, read.wrong) == ([], [])
    names = Counter(name for name, _ in read.elements)
    assert [names[name] for name in ("html", "head", "body", "main", "h1")] == [1] * 5
    levels = [int(name[1]) for name, _ in read.elements if re.fullmatch("h[1-6]", name)]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(read: Read, made: Report) -> None:
    assert {name for name, _ in read.elements} & {"script", "link", "iframe", "object", "embed", "form"} == set()
    for _, attributes in read.elements:
        assert not any(key.startswith("on") for key in attributes)
        for key in ("src", "href", "srcset", "poster", "data", "xlink:href"):
            if key in attributes:
                assert attributes[key].startswith(("data:image/", "#")), attributes[key][:80]
    styles = "".join(re.findall("<style>(.*?)</style>", made.html, re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles


def test_every_picture_has_words_and_every_name_of_a_place_is_its_own(read: Read) -> None:
    assert len(read.all("img")) > 20
    assert all(image["alt"].strip() for image in read.all("img"))
    drawn = [one for one in read.all("svg") if one.get("aria-hidden") != "true"]
    assert all(one["role"] == "img" for one in drawn)
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert max(Counter(ids).values()) == 1
    links = {link["href"].removeprefix("#") for link in read.all("a")}
    assert links
    assert links <= set(ids)


def test_names_of_classes_and_files_are_only_read(
    classifier: Classifier, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / '"><img src=x onerror=alert(1)> &amp;.png'
    Image.fromarray(pictures[0]).save(path)
    page = report(classifier, path, about=HOSTILE, check=False)
    read = Read(page.html)
    assert "script" not in {name for name, _ in read.elements}
    assert not any("onerror" in attributes for _, attributes in read.elements)
    assert HOSTILE.replace("\u202e", "\ufffd") in read.text  # shown, with the sign that turns words around replaced
    assert path.name in read.text
    assert str(tmp_path) not in page.html  # a page that is passed on tells no folders


def test_the_numbers_are_those_of_the_functions(
    made: Report, read: Read, classifier: Classifier, pictures: list[np.ndarray]
) -> None:
    for looked, picture in zip(made.images, pictures, strict=True):
        (said,) = classifier.predict([picture])
        assert looked.prediction == said
        assert percent(said.probability) in read.text.replace("\u00a0", " ").replace(" %", "\u00a0%")
        alone = explain(classifier, {looked.name: looked.source}, "gradcam")
        assert torch.equal(looked.where.maps, alone.maps)
        assert looked.where.randomisation == alone.randomisation
        x = classifier.preprocess([looked.source])
        assert looked.unit.torch == unit(classifier.module, x, "0").torch
    one = made.images[0]
    box = one.where.places[0].box
    assert f"rows {box.top} to {box.top + box.height - 1} and columns {box.left}" in read.text
    area = float(one.where.faithful.areas()["deletion"].mean())
    assert f"area {area:.2f}, by chance" in read.text
    assert f"{made.network.costs.cost.macs:,}" in made.html or "MACs" in read.text
    assert len(one.stages) == 2


def test_a_doubtful_map_is_warned_of_where_it_stands(classifier: Classifier, pictures: list[np.ndarray]) -> None:
    page = report(classifier, pictures[:1])
    warned = replace_warning(page)
    assert "hardly depends on what has been learnt" in Read(warned.html).text
    assert warned.warnings[0].startswith("image 1: Grad-CAM: this map hardly depends")
    assert Read(warned.html).text.count("Doubt.") > Read(page.html).text.count("Doubt.")


def replace_warning(page: Report) -> Report:
    """The same report, with a map that stays alike while weights are lost."""
    alike = Randomisation(("7", "0"), (0.5, 1.0), ((0.9,), (0.8,)))
    looked = replace(page.images[0], where=replace(page.images[0].where, randomisation=alike))
    return Report(page.subject, page.network, (looked,))


def curves(deletion: float, insertion: float) -> Faithfulness:
    """Areas as asked for, both 0.3 by chance."""
    flat = {"deletion": deletion, "insertion": insertion, "deletion_by_chance": 0.3, "insertion_by_chance": 0.3}
    return Faithfulness(**{name: torch.full((1, 5), area) for name, area in flat.items()})


@pytest.mark.parametrize(
    ("deletion", "insertion", "goes", "comes", "shown"),
    [
        (0.1, 0.6, "clearly", "clearly", True),
        (0.1, 0.31, "clearly", "hardly", True),
        (0.29, 0.6, "hardly", "clearly", True),
        (0.29, 0.31, "hardly", "hardly", False),
    ],
)
def test_the_verdict_says_what_the_curves_show(
    deletion: float, insertion: float, goes: str, comes: str, shown: bool
) -> None:
    said = verdict(None, curves(deletion, insertion))
    assert f"the class goes {goes} sooner" in said
    assert f"it comes {comes} sooner" in said
    assert ("not shown to be what the network uses" not in said) == shown


def test_a_class_can_be_asked_for(classifier: Classifier, pictures: list[np.ndarray]) -> None:
    predicted = classifier.predict(pictures[:1])[0].label
    other = next(name for name in CLASSES if name != predicted)
    page = report(classifier, pictures[0], about=other, check=False)
    assert page.images[0].where.about == (other,)
    assert page.images[0].rival == predicted
    assert "as was asked" in Read(page.html).text
    assert "Can these be believed?" not in Read(page.html).text  # nothing was tested


def test_the_network_is_left_as_it_was(reader: nn.Sequential, pictures: list[np.ndarray]) -> None:
    gray = Preprocess(size=(32, 32), resize="stretch", order="gray", mean=(0.5,), std=(0.25,))
    classifier = Classifier(reader, CLASSES, gray)
    reader.train()
    reader[2].eval()
    reader[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in reader.state_dict().items()}
    gradients = [None if w.grad is None else w.grad.clone() for w in reader.parameters()]
    try:
        report(classifier, pictures[:1])
        assert [part.training for part in (reader, reader[0], reader[2])] == [True, True, False]
        assert [weight.requires_grad for weight in (reader[0].weight, reader[2].weight)] == [False, True]
        for weight, was in zip(reader.parameters(), gradients, strict=True):
            assert (weight.grad is None) == (was is None)
            assert was is None or torch.equal(weight.grad, was)
        assert all(not part._forward_hooks and not part._forward_pre_hooks for part in reader.modules())
        assert all(torch.equal(value, before[name]) for name, value in reader.state_dict().items())
    finally:
        reader[0].weight.requires_grad_(True)
        reader.eval()


def test_it_shows_itself_in_a_notebook_and_is_saved_whole(made: Report, tmp_path: Path) -> None:
    shown = made._repr_html_()
    assert not shown.startswith("<!doctype")
    assert "<html" not in shown
    assert "What it says" in shown
    path = made.save(tmp_path / "page.html")
    assert path.read_text(encoding="utf-8") == made.html
    assert [one.name for one in tmp_path.iterdir()] == ["page.html"]
    assert made.html == Report(made.subject, made.network, made.images).html  # the same findings, the same bytes


def test_a_network_without_maps_gets_a_page_that_says_so() -> None:
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    gray = Preprocess(size=(8, 8), resize="stretch", order="gray", mean=(0.5,), std=(0.5,))
    page = report(Classifier(dense, ("a", "b", "c"), gray), np.zeros((8, 8), np.uint8))
    looked = page.images[0]
    assert isinstance(looked.where, Refused)
    assert isinstance(looked.unit, Refused)
    text = Read(page.html).text
    assert "can’t be shown for this network: Sequential has no step that puts out maps" in text
    assert "has no convolution" in text


class Awkward(nn.Module):
    """In place, used twice, two classes told apart by one number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.again = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.out = nn.ReLU(inplace=True), nn.Linear(4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.conv(x))
        x = x + self.relu(self.again(x))
        return self.out(x.mean((2, 3)))


def test_a_users_own_network_gets_its_page() -> None:
    torch.manual_seed(0)
    own = Classifier(Awkward(), ("cat", "dog"), Preprocess(size=(24, 30), resize="crop", order="bgr", mean=(0,) * 3,
                                                           std=(1,) * 3))  # fmt: skip
    image = np.random.default_rng(0).integers(0, 256, (60, 50, 3), np.uint8)
    page = report(own, image)
    assert np.array_equal(page.images[0].seen, own.preprocess.pixels(image).transpose(1, 2, 0)[:, :, ::-1])
    read = Read(page.html)
    assert (read.open, read.wrong) == ([], [])
    assert "is cut off" in read.text
    assert page.images[0].where.layer == "again" or page.images[0].where.layer is not None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_network_on_a_graphics_card_says_the_same(
    reader: nn.Sequential, classifier: Classifier, pictures: list[np.ndarray], made: Report
) -> None:
    there = Classifier(copy.deepcopy(reader).cuda(), classifier.classes, classifier.preprocess)
    page = report(there, pictures)
    for ours, theirs in zip(made.images, page.images, strict=True):
        assert theirs.prediction.label == ours.prediction.label
        assert theirs.prediction.probability == pytest.approx(ours.prediction.probability, abs=1e-4)
        torch.testing.assert_close(theirs.where.maps.cpu(), ours.where.maps, atol=1e-3, rtol=0)
    assert (Read(page.html).open, Read(page.html).wrong) == ([], [])


ZOO = ("lenet5_1998", "cifar_resnet20", "squeezenet1_1", "mobilenet_v2", "deck_mnist_convnet", "deck_cats_dogs")
SLOW = (
    "capsnet_mnist",
    "densenet121",
    "googlenet",
    "efficientnet_b0",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "nasnet_a_mobile",
)


@pytest.mark.parametrize("name", [*ZOO, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_networks_of_the_zoo_get_their_page(name: str) -> None:
    torch.manual_seed(0)
    known = entry(name)
    c, h, _ = known.input
    fixed = name in ("lenet5_1998", "capsnet_mnist", "deck_mnist_convnet")
    side = h if fixed else 96 if name in SLOW else min(h, 48)
    net = create_model(name, input_size=(side, side))
    order, mean = ("gray", (0.5,)) if c == 1 else ("rgb", (0.5,) * 3)
    made = Preprocess(size=(side, side), resize="stretch", order=order, mean=mean, std=mean)
    subject = Subject(Classifier(net, [str(k) for k in range(max(2, known.classes))], made), name, name)
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    page = report_on(subject, image, check=False)
    looked = page.images[0]
    read = Read(page.html)
    refused = {key: value.why for key, value in vars(looked).items() if isinstance(value, Refused)}
    assert refused == {}
    assert not isinstance(page.network.costs, Refused)
    assert looked.where.layer is not None
    assert len(page.html) < 3_000_000
    assert (read.open, read.wrong) == ([], [])


@pytest.mark.slow
def test_a_page_of_a_large_photograph_stays_small() -> None:
    """224 pixels, all stages at full size: below 3 MB, though the source has 12 million pixels of noise."""
    torch.manual_seed(0)
    prepare = Preprocess(size=(224, 224), short_side=256)
    own = Classifier(create_model("mobilenet_v2"), [str(k) for k in range(1000)], prepare)
    image = np.random.default_rng(0).integers(0, 256, (3000, 4000, 3), np.uint8)
    assert len(report(own, image, model="mobilenet_v2", check=False).html) < 3_000_000


def test_mistakes_are_told(classifier: Classifier, pictures: list[np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no images to report on"):
        report(classifier, [])
    with pytest.raises(UnknownName, match="no class is called 'fallin'; did you mean 'falling'"):
        report(classifier, pictures[:1], about="fallin")
    with pytest.raises(UnknownName, match="no model is called 'resnet19'"):
        report(classifier, pictures[:1], model="resnet19")
    with pytest.raises(UsageError, match="a classifier has its weights"):
        report(classifier, pictures[:1], weights="imagenet")
    with pytest.raises(UsageError, match="'mobilenet_v2' is for a classifier"):
        report("runs/first", pictures[:1], model="mobilenet_v2")
    with pytest.raises(UsageError, match="a float; expected a run"):
        report(3.5, pictures[:1])  # type: ignore[arg-type]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"broken\.png"):
        report(classifier, tmp_path / "broken.png")


def test_it_is_a_name_of_the_package() -> None:
    assert striate.report is report


def test_a_command_is_named_without_folders(tmp_path: Path) -> None:
    weights = tmp_path / "my weights.safetensors"
    weights.write_bytes(b"")
    assert words_of("resnet18", weights) == "resnet18 --weights 'my weights.safetensors'"
