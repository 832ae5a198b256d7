"""The operations of an augmentation: how each is written, what it does, which numbers it takes."""

import math
from typing import Any, Literal, NamedTuple, get_args

from striate.errors import RecipeError, suggest

Mode = Literal["nearest", "constant", "reflect", "wrap"]
MODES: tuple[str, ...] = get_args(Mode)
SCALED_BY_PREPROCESS = 1 / 255


class Fill(NamedTuple):
    """What lies outside of an image: where `abcd` is a row of pixels,

    nearest  aaaa|abcd|dddd      reflect  dcba|abcd|dcba      wrap  abcd|abcd|abcd      constant  vvvv|abcd|vvvv
    """

    mode: Mode
    value: int = 0  # 0..255, with `constant`


class Number(NamedTuple):
    """One number of an operation: how its form calls it, and where it has to lie."""

    name: str
    low: float
    high: float
    whole: bool = False


class Operation(NamedTuple):
    """The form that a user reads, what it does, and the numbers it takes: one tuple for each count that is allowed."""

    form: str
    does: str
    takes: tuple[tuple[Number, ...], ...]


_NOTHING: tuple[Number, ...] = ()
_FACTOR = (Number("F", 0, 10),)
_CHANCE = (Number("P", 0, 1),)
_SHIFT = (Number("F", 0, 10_000),)
_ALPHA = (Number("ALPHA", 0, 100),)
_SCALE = (Number("SCALE", 0.001, 1),)
_RATIO = (Number("RATIO_LO", 0.01, 100), Number("RATIO_HI", 0.01, 100))
_ROUNDS = (Number("N", 0, 10, whole=True), Number("M", 0, 30, whole=True))

# in the order in which they are applied
OPERATIONS: dict[str, Operation] = {
    "resized_crop": Operation(
        "resized_crop[:SCALE[,RATIO_LO,RATIO_HI]]",
        "cuts out a random part and scales it to the input size; its share of the area is SCALE (0.08) to 1, its "
        "width by height RATIO_LO (3/4) to RATIO_HI (4/3)",
        (_NOTHING, _SCALE, _SCALE + _RATIO),
    ),
    "rotation": Operation("rotation:DEG", "turns by up to DEG degrees either way", ((Number("DEG", 0, 180),),)),
    "shift": Operation("shift:F", "width_shift and height_shift in one", (_SHIFT,)),
    "width_shift": Operation(
        "width_shift:F", "moves left or right by up to F of the width; from 1 on, F is pixels", (_SHIFT,)
    ),
    "height_shift": Operation(
        "height_shift:F", "moves up or down by up to F of the height; from 1 on, F is pixels", (_SHIFT,)
    ),
    "shear": Operation("shear:DEG", "slants by up to DEG degrees either way", ((Number("DEG", 0, 80),),)),
    "zoom": Operation(
        "zoom:F or zoom:LO,HI",
        "takes 1-F to 1+F (or LO to HI) times as much of each side, drawn for each side; below 1 enlarges",
        ((Number("F", 0, 0.95),), (Number("LO", 0.05, 20), Number("HI", 0.05, 20))),
    ),
    "crop": Operation(
        "crop:P", "pads by P pixels, then cuts out the input size anywhere", ((Number("P", 0, 1024, whole=True),),)
    ),
    "hflip": Operation("hflip[:P]", "swaps left and right with probability P (0.5)", (_NOTHING, _CHANCE)),
    "vflip": Operation("vflip[:P]", "swaps top and bottom with probability P (0.5)", (_NOTHING, _CHANCE)),
    "fill": Operation(
        "fill:nearest|constant[,VALUE]|reflect|wrap",
        "says what comes in from outside of the image; without it nearest, but black with crop or randaugment alone",
        (_NOTHING,),
    ),
    "randaugment": Operation("randaugment:N,M", "N operations out of fourteen, each of magnitude M of 30", (_ROUNDS,)),
    "colour": Operation("colour:F", "brightness, contrast and saturation in one", (_FACTOR,)),
    "brightness": Operation("brightness:F", "multiplies pixels by 1-F to 1+F", (_FACTOR,)),
    "contrast": Operation("contrast:F", "multiplies the distance from the mean gray by 1-F to 1+F", (_FACTOR,)),
    "saturation": Operation("saturation:F", "multiplies the distance from gray by 1-F to 1+F", (_FACTOR,)),
    "hue": Operation("hue:F", "turns the colour circle by up to F of a whole turn", ((Number("F", 0, 0.5),),)),
    "cutout": Operation(
        "cutout:SIDE",
        "covers a square with the mean colour, of SIDE times the shorter side; from 1 on, SIDE is pixels",
        ((Number("SIDE", 0, 10_000),),),
    ),
    "erasing": Operation("erasing:P", "covers a rectangle with noise, with probability P", (_CHANCE,)),
    "mixup": Operation("mixup:ALPHA", "blends an image and its label with the next of the batch", (_ALPHA,)),
    "cutmix": Operation(
        "cutmix:ALPHA", "pastes a rectangle of the next image of the batch, and as much of its label", (_ALPHA,)
    ),
    "rescale": Operation(
        "rescale:F",
        "multiplies pixels by F, in training only; 1/255 changes nothing, the preprocessing divides by 255 anyway",
        ((Number("F", 0.02, 50),),),
    ),
    "none": Operation("none", "leaves images as they are; stands alone", (_NOTHING,)),
}

# names that other libraries use, where spelling alone does not lead to ours
_ELSEWHERE = {
    "horizontal_flip": "hflip",
    "vertical_flip": "vflip",
    "flip": "hflip",
    "fill_mode": "fill",
    "color": "colour",
    "color_jitter": "colour",
    "translate": "shift",
    "rotate": "rotation",
    "random_crop": "crop",
    "random_erasing": "erasing",
}


def read(name: str, arguments: list[str]) -> dict[str, Any]:
    """One operation -> the fields that it sets.  Raises: RecipeError."""
    if name not in OPERATIONS:
        hint = _ELSEWHERE.get(name.lower())
        hint = (
            f"; did you mean {hint!r}?"
            if hint
            else suggest(name.lower(), OPERATIONS, f"there are {', '.join(OPERATIONS)}")
        )
        raise RecipeError(f"augment: no operation is called {name!r}{hint}")
    form, takes = OPERATIONS[name].form, OPERATIONS[name].takes
    if name == "fill":
        return {"fill": _fill(arguments)}
    wanted = next((numbers for numbers in takes if len(numbers) == len(arguments)), None)
    if wanted is None:
        counts = " or ".join(str(len(numbers)) for numbers in takes)
        raise RecipeError(f"augment: {name} takes {counts} number{'s' * (counts != '1')}, not {len(arguments)}: {form}")
    if name == "rescale" and abs(_number(arguments[0], "F", form) * 255 - 1) < 0.01:
        return {"rescale": SCALED_BY_PREPROCESS}
    values = [_within(argument, number, form) for argument, number in zip(arguments, wanted, strict=True)]
    match name, values:
        case "none", _:
            return {}
        case "shift", [f]:
            return {"width_shift": f, "height_shift": f}
        case "colour", [f]:
            return {"brightness": f, "contrast": f, "saturation": f}
        case (("hflip" | "vflip"), []):
            return {name: 0.5}
        case "zoom", [f]:
            return {"zoom": (1 - f, 1 + f)}
        case "resized_crop", ([] | [_]):
            return {"resized_crop": (values[0] if values else 0.08, 3 / 4, 4 / 3)}
        case ("zoom", [low, high]) | ("resized_crop", [_, low, high]):
            if low > high:
                raise RecipeError(f"augment: {name} goes from {low:g} to {high:g}, which is backwards: {form}")
            return {name: tuple(values)}
        case "randaugment", [n, _]:
            return {name: (int(values[0]), int(values[1])) if n else None}
        case "crop", [pixels]:
            return {name: int(pixels)}
        case _:
            return {name: values[0]}


def _fill(arguments: list[str]) -> Fill:
    form = OPERATIONS["fill"].form
    match arguments:
        case [mode] if mode in MODES:
            return Fill(mode)  # type: ignore[arg-type]
        case ["constant", value]:
            return Fill("constant", int(_within(value, Number("VALUE", 0, 255, whole=True), form)))
        case [mode, *_] if mode not in MODES:
            raise RecipeError(
                f"augment: fill is not {mode!r}{suggest(mode, MODES, 'it is one of ' + ', '.join(MODES))}"
            )
        case _:
            raise RecipeError(f"augment: fill takes a mode, and 'constant' one value: {form}")


def _within(text: str, number: Number, form: str) -> float:
    value = _number(text, number.name, form)
    if not number.low <= value <= number.high:
        hint = "; the preprocessing divides by 255 itself" if form.startswith("rescale") else ""
        raise RecipeError(
            f"augment: {number.name} is {text}, but goes from {number.low:g} to {number.high:g}: {form}{hint}"
        )
    if number.whole and value != int(value):
        raise RecipeError(f"augment: {number.name} is {text}, but has to be a whole number: {form}")
    return value


def _number(text: str, name: str, form: str) -> float:
    above, slash, below = text.partition("/")
    try:
        value = float(above) / float(below) if slash else float(above)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not math.isfinite(value):
        raise RecipeError(f"augment: {name} is {text!r}, which is not a number: {form}")
    return value
