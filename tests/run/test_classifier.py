"""A classifier gives one answer to one image, in whatever form it comes, and names the image that it can't read."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from striate.data.decode import decode
from striate.data.preprocess import Preprocess
from striate.errors import ArtefactError, ImageError, ShapeError, UnsupportedImage, UsageError
from striate.models.registry import create_model
from striate.run.classifier import Answer, Classifier, answers, load
from striate.run.folder import MODEL, Identity, ModelSpec, write_identity, write_model
from striate.run.inference import evaluating, probabilities

CLASSES = ("cat", "dog", "owl")


def classifier(order: str = "rgb", outputs: int = 3, classes: tuple[str, ...] = CLASSES, **more: Any) -> Classifier:
    c = 1 if order == "gray" else 3
    torch.manual_seed(1)
    rule = Preprocess(size=(32, 32), order=order, mean=(0.4,) * c, std=(0.2,) * c, **more)  # type: ignore[arg-type]
    return Classifier(create_model("lenet5", num_classes=outputs, in_chans=c), classes, rule)


def photo(mode: str = "RGB", size: tuple[int, int] = (45, 38)) -> Image.Image:
    """Something with a top, a bottom, a left and a right, in one of Pillow's modes."""
    w, h = size
    rows, columns = np.mgrid[:h, :w]
    colour = np.stack([columns * 255 // w, rows * 255 // h, (rows * columns) % 256], axis=2).astype(np.uint8)
    picture = Image.fromarray(colour)
    if mode == "I;16":
        return Image.fromarray((columns * 1400 + rows * 7).astype(np.uint16))
    if mode in ("LA", "RGBA", "PA"):
        picture = picture.convert("RGBA" if mode == "RGBA" else "LA")
        picture.putalpha(Image.fromarray((rows * 255 // h).astype(np.uint8)))
        return picture if mode != "PA" else picture.convert("RGBA").convert("PA")
    return picture.convert(mode)


def png(picture: Image.Image, **more: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", **more)
    return out.getvalue()


def jpeg(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    photo().save(out, "JPEG", exif=exif, quality=95)
    return out.getvalue()


# -- every form of an image --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["rgb", "gray", "bgr"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_path_its_bytes_a_pillow_image_and_an_array_get_one_answer(tmp_path: Path, mode: str, order: str) -> None:
    made = classifier(order, background=(200, 30, 90))
    path = tmp_path / "image.png"
    path.write_bytes(png(photo(mode)))
    data = path.read_bytes()
    pixels = decode(data, "x", background=(200, 30, 90)).pixels
    forms = [path, str(path), data, bytearray(data), memoryview(data), photo(mode), Image.open(path), pixels]
    if pixels.shape[2] == 1:
        forms.append(pixels[:, :, 0])
    found = [made.predict(form)[0] for form in forms]
    assert found == [found[0]] * len(forms)
    together = made.predict(forms)
    assert [p.label for p in together] == [found[0].label] * len(forms)
    assert np.allclose([p.probabilities for p in together], found[0].probabilities, atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_form_of_a_turned_photograph_is_seen_upright(tmp_path: Path, orientation: int) -> None:
    made = classifier()
    path = tmp_path / "image.jpg"
    path.write_bytes(jpeg(orientation))
    upright = ImageOps.exif_transpose(Image.open(path))
    assert upright is not None
    expected = made.predict(np.asarray(upright))[0]
    forms = [path, path.read_bytes(), Image.open(path), Image.open(path).convert("RGB"), upright]
    assert [made.predict(form)[0] for form in forms] == [expected] * len(forms)


def test_the_eight_orientations_are_eight_different_pictures() -> None:
    made = classifier()
    assert len({made.predict(jpeg(orientation))[0].probabilities for orientation in range(1, 9)}) == 8


def test_a_transparent_colour_shows_the_background_in_every_form(tmp_path: Path) -> None:
    made = classifier(background=(0, 255, 0))
    for picture in (photo("L"), photo("RGB"), photo("P")):
        key = picture.getpixel((22, 19))
        path = tmp_path / "keyed.png"
        path.write_bytes(png(picture, transparency=key))
        opened = Image.open(path)
        opened.load()
        assert "transparency" in opened.info
        assert made.predict(opened) == made.predict(path)
        assert made.predict(path) != made.predict(picture)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "HSV", "PA", "RGBX"])
def test_other_modes_of_pillow_are_seen_as_pillow_shows_them(mode: str) -> None:
    made, picture = classifier(), photo(mode)
    shown = picture.convert("RGBA" if mode == "PA" else "RGB")
    found, expected = made.predict([picture, shown])
    assert np.allclose(found.probabilities, expected.probabilities, atol=1e-5)


def test_sixteen_bits_are_scaled_and_not_cut_off() -> None:
    """Pillow's own convert would make one white picture of both."""
    made = classifier("gray")
    dark, light = (Image.fromarray(np.full((32, 32), v, np.uint16)) for v in (257 * 10, 257 * 200))
    as_bytes = [np.full((32, 32), v, np.uint8) for v in (10, 200)]
    assert made.predict([dark, light]) == made.predict(as_bytes)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_values_that_are_no_bytes_are_refused_rather_than_guessed_at(mode: str) -> None:
    with pytest.raises(ShapeError, match=f"image 1: a Pillow image of mode '{mode}'"):
        classifier().predict([photo(), Image.new(mode, (40, 40))])


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((8, 8)), "an array of float64; expected uint8"),
        (np.zeros((8, 8), np.int64), "int64"),
        (np.zeros((8, 8, 4), np.uint8), r"\(8, 8, 4\); expected"),
        (np.zeros((3, 8, 8), np.uint8), r"\(3, 8, 8\); expected"),
        (np.zeros((2, 8, 8, 3), np.uint8), r"\(2, 8, 8, 3\)"),
        (np.zeros(8, np.uint8), r"\(8,\)"),
        (np.zeros((0, 8, 3), np.uint8), r"\(0, 8, 3\)"),
    ],
)
def test_an_array_of_another_form_is_refused_with_its_place_and_what_was_expected(array: np.ndarray, said: str) -> None:
    with pytest.raises(ShapeError, match=f"image 2: .*{said}"):
        classifier().predict([photo(), photo(), array])


@pytest.mark.parametrize("thing", [5, None, 3.5, object(), torch.zeros(1, 8, 8), [photo()], {"a": 1}])
def test_what_is_no_image_is_refused_by_its_kind(thing: Any) -> None:
    with pytest.raises(UsageError, match=r"image 0: a \w+; expected a path"):
        classifier().predict([thing])


def test_what_is_no_list_of_images_is_refused_too() -> None:
    for thing in (5, None, 3.5):
        with pytest.raises(UsageError, match="image 0: a"):
            classifier().predict(thing)  # type: ignore[arg-type]


def test_a_file_that_can_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(png(photo())[:60])
    made = classifier()
    with pytest.raises(UnsupportedImage, match=r"text\.png"):
        made.predict(tmp_path / "text.png")
    with pytest.raises(ImageError, match=r"cut\.png"):
        made.predict([photo(), tmp_path / "cut.png"])
    with pytest.raises(ImageError, match=r"gone\.png"):
        made.predict(str(tmp_path / "gone.png"))
    with pytest.raises(ImageError, match="image 1"):
        made.predict([photo(), b"no image"])


def test_huge_pictures_wait_as_small_ones(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A batch of photographs is prepared one by one: only what the network sees is kept."""
    held: list[int] = []
    prepared = Preprocess.pixels

    def spy(self: Preprocess, image: np.ndarray) -> np.ndarray:
        held.append(image.nbytes)
        return prepared(self, image)

    monkeypatch.setattr(Preprocess, "pixels", spy)
    made = classifier()
    order: list[str] = []
    decode_one = made.read
    monkeypatch.setattr(made, "read", lambda p, i: (order.append(f"{len(held)} prepared"), decode_one(p, i))[1])
    made.predict([photo()] * 3)
    assert order == ["0 prepared", "1 prepared", "2 prepared"]


# -- the answer --------------------------------------------------------------------------------------------------------


def test_an_answer_is_complete_and_in_order() -> None:
    (found,) = classifier().predict(photo(), top=2)
    assert len(found.probabilities) == 3
    assert sum(found.probabilities) == pytest.approx(1, abs=1e-6)
    ranked = sorted(zip(CLASSES, found.probabilities, strict=True), key=lambda pair: -pair[1])
    assert list(found.top) == ranked[:2]
    assert (found.label, found.probability) == ranked[0]
    assert len(classifier().predict(photo(), top=99)[0].top) == 3


def test_classes_that_are_equally_likely_keep_their_stored_order() -> None:
    made = classifier()
    for parameter in made.module.parameters():
        torch.nn.init.zeros_(parameter)
    (found,) = made.predict(photo())
    assert [name for name, _ in found.top] == list(CLASSES)
    assert found.probabilities == pytest.approx((1 / 3,) * 3)


def test_one_logit_is_the_second_of_two_classes() -> None:
    made = classifier(outputs=1, classes=("cat", "dog"))
    (found,) = made.predict(photo())
    with evaluating(made.module):
        z = float(made.module(made.preprocess([np.asarray(photo())])))
    assert found.probabilities == pytest.approx((1 - 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-z))))


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_batches_do_not_change_who_gets_which_answer(batch: int) -> None:
    made = classifier()
    pictures = [np.full((32, 32, 3), 40 * i, np.uint8) for i in range(6)]
    found = made.predict((picture for picture in pictures), batch=batch)
    alone = [made.predict(picture)[0] for picture in pictures]
    assert [p.label for p in found] == [p.label for p in alone]
    assert np.allclose([p.probabilities for p in found], [p.probabilities for p in alone], atol=1e-6)


def test_no_images_have_no_answers() -> None:
    assert classifier().predict([]) == []
    assert list(answers(classifier(), [])) == []


@pytest.mark.parametrize("wrong", [{"top": 0}, {"batch": 0}, {"top": -1}])
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        classifier().predict([photo()], **wrong)  # type: ignore[arg-type]


def test_asking_leaves_the_network_as_it_was() -> None:
    made = classifier()
    made.module.train()
    made.module.get_submodule("C1").eval()
    modes = [m.training for m in made.module.modules()]
    made.predict(photo())
    assert [m.training for m in made.module.modules()] == modes
    assert all(p.grad is None for p in made.module.parameters())
    with pytest.raises(ShapeError):
        made.answer(torch.zeros(1, 3, 64, 64))
    assert [m.training for m in made.module.modules()] == modes
    assert torch.is_grad_enabled()


def test_dropout_and_batch_norm_do_not_make_answers_random() -> None:
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(3072, 3), torch.nn.BatchNorm1d(3)
    ).train()
    made = Classifier(net, CLASSES, Preprocess(size=(32, 32)))
    assert made.predict(photo()) == made.predict(photo())


@pytest.mark.parametrize(("shape", "classes"), [((2, 4), 3), ((2, 1), 3), ((2,), 2), ((2, 3, 4), 3), ((2, 3), 2)])
def test_logits_that_do_not_fit_the_classes_are_refused(shape: tuple[int, ...], classes: int) -> None:
    with pytest.raises(ShapeError, match=f"for {classes} classes"):
        probabilities(torch.zeros(shape), classes)


@pytest.mark.parametrize("size", [0.0, 50.0, 1000.0])
def test_probabilities_stay_probabilities_for_logits_of_any_size(size: float) -> None:
    for logits, classes in ((torch.tensor([[size, -size, 0.0]]), 3), (torch.tensor([[size], [-size]]), 2)):
        p = probabilities(logits, classes)
        assert torch.isfinite(p).all()
        assert torch.allclose(p.sum(1), torch.ones(len(p)))
        assert p.shape == (len(logits), classes)
    expected = torch.tensor([[size, -size]]).softmax(1)
    assert torch.allclose(probabilities(torch.tensor([[-2 * size]]), 2), expected)


# -- many files --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i in range(7):
        Image.fromarray(np.full((32, 32, 3), 30 * i, np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(png(photo())[:60])
    (tmp_path / "folder.png").mkdir()
    return tmp_path


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_files_are_answered_in_order_and_bad_ones_say_why(folder: Path, batch: int) -> None:
    names = ["3.png", "text.png", "0.png", "gone.png", "folder.png", "6.png", "cut.png", "1.png", "0.png"]
    made = classifier()
    found = list(answers(made, [folder / name for name in names], batch=batch, top=1))
    assert [Path(answer.name).name for answer in found] == names
    for answer in found:
        if Path(answer.name).name[0].isdigit():
            assert answer.error is None
            assert answer.prediction is not None
            alone = made.predict(answer.name, top=1)[0]
            assert answer.prediction.label == alone.label
            assert answer.prediction.probabilities == pytest.approx(alone.probabilities, abs=1e-6)
            assert len(answer.prediction.top) == 1
        else:
            assert answer.prediction is None
            assert answer.error is not None
            assert answer.name in answer.error


def test_answers_come_a_batch_at_a_time_and_not_after_the_last_file(folder: Path) -> None:
    read: list[int] = []

    def names() -> Any:
        for i in range(7):
            read.append(i)
            yield folder / f"{i}.png"

    stream = answers(classifier(), names(), batch=3)
    assert isinstance(next(stream), Answer)
    assert read == [0, 1, 2]


def test_all_files_bad_is_an_answer_to_each(folder: Path) -> None:
    found = list(answers(classifier(), [folder / "text.png", folder / "cut.png"]))
    assert all(answer.prediction is None and answer.error for answer in found)


def test_names_that_are_not_text_are_answered_too(folder: Path) -> None:
    name = os.fsdecode(os.fsencode(folder) + b"/\xff.png")
    os.link(folder / "0.png", name)
    (found,) = answers(classifier(), [name])
    assert found.name == name
    assert found.prediction is not None


# -- a run -------------------------------------------------------------------------------------------------------------


def test_a_run_is_loaded_as_the_classifier_that_was_stored(tmp_path: Path) -> None:
    made = classifier("gray", background=(1, 2, 3))
    arguments = {"num_classes": 3, "in_chans": 1, "input_size": (32, 32)}
    identity = Identity(ModelSpec("lenet5", arguments), CLASSES, made.preprocess)
    write_identity(tmp_path, identity, {})
    write_model(tmp_path / MODEL, made.module.state_dict(), identity, {})
    expected = made.predict(photo())
    for found in (load(tmp_path), load(str(tmp_path))):
        assert found.classes == CLASSES
        assert found.preprocess == made.preprocess
        assert found.predict(photo()) == expected
    with pytest.raises(ArtefactError):
        load(tmp_path / "elsewhere")
