"""The words of an augmentation: read, written back, and refused with the right answer."""

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.data.augment import Augment
from striate.data.augment.operations import MODES, OPERATIONS, Fill
from striate.errors import RecipeError

DECKS = "rotation:40 shift:0.2 shear:0.2 zoom:0.2 hflip fill:nearest"


def reals(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_subnormal=False) | st.integers(int(low), int(high)).map(float)


pairs = st.tuples(st.floats(0.05, 20), st.floats(0.05, 20)).map(lambda pair: tuple(sorted(pair)))
chances = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1, allow_subnormal=False)
augments = st.builds(
    Augment,
    resized_crop=st.none()
    | st.tuples(st.floats(0.001, 1) | st.just(0.08), st.sampled_from([0.5, 3 / 4]), st.sampled_from([1.0, 4 / 3])),
    rotation=reals(0, 180),
    width_shift=reals(0, 10_000) | st.just(0.2),
    height_shift=reals(0, 10_000) | st.just(0.2),
    shear=reals(0, 80),
    zoom=pairs | st.floats(0, 0.95).map(lambda f: (1 - f, 1 + f)),
    crop=st.integers(0, 1024),
    hflip=chances,
    vflip=chances,
    fill=st.none() | st.sampled_from(list(map(Fill, MODES))) | st.integers(0, 255).map(lambda v: Fill("constant", v)),
    randaugment=st.none() | st.tuples(st.integers(1, 10), st.integers(0, 30)),
    brightness=reals(0, 10) | st.just(0.4),
    contrast=reals(0, 10) | st.just(0.4),
    saturation=reals(0, 10) | st.just(0.4),
    hue=st.floats(0, 0.5, allow_subnormal=False),
    cutout=reals(0, 10_000),
    erasing=chances,
    mixup=reals(0, 100),
    cutmix=reals(0, 100),
    rescale=st.floats(0.02, 50) | st.sampled_from([1.0, 1 / 255]),
)  # fmt: skip


@given(augments)
def test_what_is_written_reads_back_as_the_same_augmentation(augment: Augment) -> None:
    assert Augment.parse(str(augment)) == augment


@given(augments, st.randoms())
def test_the_order_and_the_spacing_of_the_words_do_not_matter(augment: Augment, random) -> None:  # type: ignore[no-untyped-def]
    words = str(augment).split()
    random.shuffle(words)
    assert Augment.parse("  ".join(words) + "\n") == augment


@given(augments)
def test_a_description_is_one_sentence_whatever_is_asked_for(augment: Augment) -> None:
    said = augment.describe()
    assert said[0].isupper()
    assert said.endswith(".")
    assert "\n" not in said


def test_the_decks_recipe_is_read_as_keras_means_it_and_spelled_as_it_was_written() -> None:
    augment = Augment.parse(DECKS)
    assert augment == Augment(
        rotation=40, width_shift=0.2, height_shift=0.2, shear=0.2, zoom=(0.8, 1.2), hflip=0.5, fill=Fill("nearest")
    )
    assert str(augment) == DECKS
    assert augment.ops == tuple(DECKS.split())


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ("hflip", {"hflip": 0.5}),
        ("hflip:0.25 vflip", {"hflip": 0.25, "vflip": 0.5}),
        ("zoom:0.5,2", {"zoom": (0.5, 2.0)}),
        ("zoom:1/2,2/1", {"zoom": (0.5, 2.0)}),
        ("colour:0.4", {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4}),
        ("resized_crop", {"resized_crop": (0.08, 3 / 4, 4 / 3)}),
        ("resized_crop:0.25", {"resized_crop": (0.25, 3 / 4, 4 / 3)}),
        ("resized_crop:0.25,1/2,2", {"resized_crop": (0.25, 0.5, 2.0)}),
        ("crop:4 fill:constant,128", {"crop": 4, "fill": Fill("constant", 128)}),
        ("randaugment:2,9", {"randaugment": (2, 9)}),
        ("rescale:1/255", {"rescale": 1 / 255}),
        ("rescale:0.00392", {"rescale": 1 / 255}),
        ("none", {}),
        ("rotation:0 shift:0 hflip:0", {}),
    ],
)
def test_each_form_sets_its_fields(spec: str, fields: dict[str, object]) -> None:
    assert Augment.parse(spec) == dataclasses.replace(Augment(), **fields)  # type: ignore[arg-type]


def test_doing_nothing_is_spelled_none() -> None:
    assert str(Augment()) == "none"
    assert Augment().ops == ()
    assert "left as they are" in Augment().describe()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("hflip zom:0.2", ["operation 2 of 2", "'zom:0.2'", "character 7", "'zoom'"]),
        ("hflip hflip_", ["character 7", "'hflip_'"]),
        ("Rotation:40", ["'rotation'"]),
        ("horizontal_flip", ["'hflip'"]),
        ("color:0.2", ["'colour'"]),
        ("rotation_range:40", ["'rotation'"]),
        ("swirl", ["no operation is called 'swirl'", "rotation", "cutmix"]),
        ("rotation:400", ["DEG is 400", "0 to 180", "rotation:DEG"]),
        ("rotation:-1", ["0 to 180"]),
        ("rotation:nan", ["'nan'", "not a number"]),
        ("rotation:inf", ["not a number"]),
        ("rotation:forty", ["'forty'", "not a number"]),
        ("rotation:1/0", ["not a number"]),
        ("rotation:", ["not a number"]),
        ("rotation", ["takes 1 number", "not 0"]),
        ("rotation:1,2", ["takes 1 number", "not 2"]),
        ("hflip:1.5", ["P is 1.5", "0 to 1"]),
        ("crop:2.5", ["whole number"]),
        ("zoom:1", ["0 to 0.95"]),
        ("zoom:2,1", ["backwards"]),
        ("zoom:1,2,3", ["takes 1 or 2 numbers", "not 3"]),
        ("resized_crop:0.1,0.5", ["0 or 1 or 3"]),
        ("fill:mirror", ["'mirror'", "nearest", "reflect"]),
        ("fill:nearst", ["'nearest'"]),
        ("fill:nearest,3", ["takes a mode"]),
        ("fill:constant,256", ["0 to 255"]),
        ("fill", ["takes a mode"]),
        ("randaugment:2", ["takes 2 numbers"]),
        ("randaugment:2,31", ["0 to 30"]),
        ("rescale:0.001", ["divides by 255 itself"]),
        ("rescale:0", ["0.02 to 50"]),
        ("hflip hflip:0.2", ["hflip was set before, by 'hflip'"]),
        ("shift:0.1 width_shift:0.2", ["width_shift was set before, by 'shift:0.1'"]),
        ("contrast:0.1 colour:0.2", ["contrast was set before"]),
        ("none hflip", ["'none' stands alone"]),
        ("none:1", ["takes 0 numbers"]),
        ("  ", ["empty", "'none'"]),
    ],
)  # fmt: skip
def test_a_wrong_spec_is_refused_with_its_place_and_the_right_answer(spec: str, says: list[str]) -> None:
    with pytest.raises(RecipeError) as raised:
        Augment.parse(spec)
    message = str(raised.value)
    assert message.startswith("augment: ")
    for part in says:
        assert part in message


@pytest.mark.parametrize(
    "field",
    [{"rotation": 181}, {"hflip": float("nan")}, {"zoom": (2, 1)}, {"randaugment": (2, 31)}, {"crop": -1}],
)  # fmt: skip
def test_fields_are_held_to_the_same_ranges_as_words(field: dict[str, float]) -> None:
    with pytest.raises(RecipeError):
        Augment(**field)  # type: ignore[arg-type]


def test_every_operation_of_the_table_can_be_asked_for() -> None:
    for name, operation in OPERATIONS.items():
        for numbers in operation.takes:
            largest = ",".join(f"{number.high:g}" for number in numbers)
            augment = Augment.parse("fill:wrap" if name == "fill" else f"{name}:{largest}" if largest else name)
            assert (augment == Augment()) == (name == "none")


def test_a_spec_is_read_and_checked_without_loading_torch() -> None:
    code = """
import sys
from striate.data.augment import Augment
Augment.parse("hflip").describe()
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
