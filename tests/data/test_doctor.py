"""The doctor finds each planted fault at its place, says nothing of the clean twin, and leaves everything as it was."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from striate.data.checks.finding import Diagnosis, Finding
from striate.data.dataset import ArrayImages, Dataset, Split
from striate.data.doctor import diagnose, examine
from striate.data.preprocess import Preprocess
from striate.data.screen import screen
from striate.errors import DatasetError, UnknownName
from tests.data.faults import APART, CLASSES, FAULTS, TRAIN, VAL, Fault, clean, fresh, place, saved
from tests.data.pictures import drawn, encoded


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clean(tmp_path_factory.mktemp("clean") / "set")


@pytest.fixture
def copy(twin: Path, tmp_path: Path) -> Path:
    """The clean twin, to be spoilt: files are linked, so that a copy costs nothing."""
    for path in twin.rglob("*.png"):
        there = tmp_path / "set" / path.relative_to(twin)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.hardlink_to(path)
    return tmp_path / "set"


def look(root: Path, **options: object) -> Diagnosis:
    return diagnose(str(root), size=64, **options).diagnosis


def check(diagnosis: Diagnosis, fault: Fault) -> Finding:
    finding = diagnosis.of(fault.kind)
    assert finding is not None, f"{fault.kind} was not found, only {[f.kind for f in diagnosis.findings]}"
    named = [key for group in finding.examples for key in group]
    for name in fault.names:
        assert any(key == name or name in key.replace("\\x1b", "\x1b") for key in named), (name, named)
    return finding


def test_of_the_clean_twin_nothing_is_said(twin: Path) -> None:
    diagnosis = look(twin)
    assert diagnosis.findings == ()
    assert diagnosis.worst() is None
    assert diagnosis.images == {"train": 3 * TRAIN, "val": 3 * VAL}
    assert diagnosis.classes == CLASSES


@pytest.mark.parametrize("name", FAULTS)
def test_each_planted_fault_is_found_at_its_place_and_nothing_else(name: str, copy: Path) -> None:
    fault = FAULTS[name](copy)
    diagnosis = look(copy)
    finding = check(diagnosis, fault)
    others = {f.kind for f in diagnosis.findings} - {fault.kind, *fault.also}
    # A copy in another class or split is that and no other kind of copy; the rest has nothing to do with copies.
    assert others == set(), others
    assert finding.message.endswith(".")
    assert finding.action
    assert finding.count >= 1


def test_all_faults_together_are_all_found(copy: Path) -> None:
    faults = [plant(copy) for name, plant in FAULTS.items() if name not in APART]
    diagnosis = look(copy)
    for fault in faults:
        check(diagnosis, fault)
    assert len({fault.kind for fault in faults}) >= 25
    order = ["error", "warning", "note"]
    severities = [order.index(finding.severity) for finding in diagnosis.findings]
    assert severities == sorted(severities)
    assert diagnosis.worst() == "error"


def test_looking_changes_nothing(copy: Path) -> None:
    for name in ("truncated", "copy_in_class", "hidden", "dead_link"):
        FAULTS[name](copy)

    def state() -> dict[str, str]:
        files = [path for path in copy.rglob("*") if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = state()
    look(copy)
    assert state() == before


def test_a_diagnosis_survives_json(copy: Path) -> None:
    for name in ("truncated", "odd_name", "copy_across_splits"):
        FAULTS[name](copy)
    diagnosis = look(copy)
    told = json.loads(json.dumps(diagnosis.to_json(), allow_nan=False))
    assert [finding["kind"] for finding in told["findings"]] == [finding.kind for finding in diagnosis.findings]
    assert told["images"] == diagnosis.images


def test_the_same_folder_gives_the_same_diagnosis_with_any_number_of_workers(copy: Path, tmp_path: Path) -> None:
    for name in ("truncated", "saved_again", "mirrored_in_val", "web_page"):
        FAULTS[name](copy)
    one = look(copy, workers=1)
    assert look(copy, workers=3) == one
    assert look(copy, cache=tmp_path / "cache") == one
    assert look(copy, cache=tmp_path / "cache") == one


def test_examples_are_bounded_and_the_count_is_not(copy: Path) -> None:
    for i in range(30):
        place(copy, f"train/apples/cut{i:02}.png", saved(fresh(500 + i))[:-50])
    finding = look(copy).of("cut-short")
    assert finding is not None
    assert finding.count == 30
    assert len(finding.examples) == 20
    assert finding.message.startswith("30 images are")


def test_one_is_said_in_the_singular(copy: Path) -> None:
    FAULTS["truncated"](copy)
    finding = look(copy).of("cut-short")
    assert finding is not None
    assert finding.message == "1 image is cut short."


def test_how_much_of_the_validation_leaks_is_told(copy: Path) -> None:
    for i in range(3):
        place(copy, f"val/apples/leak{i}.png", (copy / f"train/apples/{i:03}.png").read_bytes())
    finding = look(copy).of("leak")
    assert finding is not None
    assert f"{3 / (3 * VAL + 3):.1%} of what is measured on" in finding.message


def test_three_forms_of_one_picture_are_one_finding_of_three_images(copy: Path) -> None:
    from tests.data.faults import picture

    original = picture(copy, "train/apples/002.png")
    place(copy, "train/apples/low.jpg", saved(original, "JPEG", quality=40))
    place(copy, "train/apples/half.png", saved(original.resize((48, 36))))
    finding = look(copy).of("near-duplicate")
    assert finding is not None
    assert finding.count == 1
    assert set(finding.examples[0]) == {"train/apples/002.png", "train/apples/low.jpg", "train/apples/half.png"}


def test_a_folder_that_nobody_divided_is_examined_as_training_would_divide_it(tmp_path: Path) -> None:
    for k, name in enumerate(CLASSES[:2]):
        for i in range(30):
            place(tmp_path, f"{name}/{i:02}.png", encoded(drawn(900 + 50 * k + i, 40, 40), "PNG"))
    diagnosis = look(tmp_path)
    assert {"train", "val"} <= set(diagnosis.images)
    assert sum(diagnosis.images.values()) == 60
    assert diagnosis.of("leak") is None


def test_one_class_alone_is_examined_and_refused(tmp_path: Path) -> None:
    for i in range(12):
        place(tmp_path, f"only/{i:02}.png", encoded(drawn(i, 40, 40), "PNG"))
    place(tmp_path, "only/cut.png", encoded(drawn(99, 40, 40), "PNG")[:100])
    diagnosis = look(tmp_path)
    assert diagnosis.of("single-class") is not None
    assert diagnosis.of("cut-short") is not None


def test_a_set_without_one_readable_image_is_examined(tmp_path: Path) -> None:
    for name in CLASSES:
        place(tmp_path, f"train/{name}/x.jpg", b"not an image, whatever it is called")
    examination = diagnose(str(tmp_path))
    assert examination.preprocess is None
    assert examination.diagnosis.of("class-lost") is not None
    finding = examination.diagnosis.of("not-an-image")
    assert finding is not None
    assert finding.count == 3


def test_what_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownName):
        diagnose("diggits")
    with pytest.raises(DatasetError):
        diagnose(str(tmp_path))


def test_the_embedded_digits_are_in_order_and_too_small_to_search_for_near_duplicates() -> None:
    diagnosis = diagnose("digits").diagnosis
    assert diagnosis.findings == ()
    assert any("Near-duplicates were not looked for" in note for note in diagnosis.notes)


def test_images_in_memory_are_searched_for_copies_too() -> None:
    pixels = np.stack([drawn(seed, 40, 40) for seed in range(60)])
    pixels[31] = pixels[3]  # the same, in the other class
    pixels[40] = pixels[32][:, ::-1]  # a mirror image
    labels = np.repeat([0, 1], 30)
    train = Split(ArrayImages(pixels), labels, tuple(f"train/{i}" for i in range(60)))
    diagnosis = examine(screen(Dataset("made", ("a", "b"), {"train": train}, 3)))
    conflict, near = diagnosis.of("label-conflict"), diagnosis.of("near-duplicate")
    assert conflict is not None
    assert conflict.examples == (("train/3", "train/31"),)
    assert near is not None
    assert near.examples == (("train/32", "train/40"),)


@pytest.mark.parametrize(("resize", "said"), [("crop", "cut off"), ("letterbox", "margins"), ("stretch", "squeezed")])
def test_what_becomes_of_a_thin_image_depends_on_the_preprocessing(copy: Path, resize: str, said: str) -> None:
    FAULTS["thin"](copy)
    screened = diagnose(str(copy), near=False).screened
    finding = examine(screened, preprocess=Preprocess(size=(64, 64), resize=resize), near=False).of("thin")
    assert finding is not None
    assert said in finding.action


@pytest.mark.slow
def test_photographs_of_cats_and_dogs_hold_one_picture_twice_and_no_other(shared: Path) -> None:
    diagnosis = diagnose(str(shared / "data" / "cats_dogs"), size=150).diagnosis
    near = diagnosis.of("near-duplicate")
    assert near is not None
    assert near.examples == (("train/dogs/dog.180.jpg", "train/dogs/dog.74.jpg"),)  # seen: the same photograph
    assert {finding.kind for finding in diagnosis.findings} <= {"near-duplicate", "small-for-network"}
