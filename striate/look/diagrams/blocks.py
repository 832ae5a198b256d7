"""Parts that have others in them, laid out: arms side by side, shortcuts around, repetitions and stages in frames."""

from striate.look.costs.quantities import brief
from striate.look.diagrams.laid import APART, NORMAL, PAD, PLUS, SMALL, Laid, column, join, moved, op_box
from striate.look.diagrams.parts import Fork, Frame, Op, Part, Repeat, Row, Web, parameters_of, shape_text
from striate.look.diagrams.webs import web
from striate.look.draw import Box, Line, Mark, Point, Words, width_of


def lay(part: Part) -> Laid:
    match part:
        case Op():
            return op_box(part)
        case Row(parts=()):
            return Laid(10, 0, 5, opens=False)
        case Row():
            return column([lay(one) for one in part.parts])
        case Fork():
            return _beside(part) if part.side else _fork(part)
        case Repeat():
            return _repeat(part)
        case Frame():
            return _frame(part)
    return web(part)


def _fork(fork: Fork) -> Laid:
    """Arms side by side, from one value to one join."""
    arms = [lay(arm) for arm in fork.arms]
    deal = 16.0 if fork.deal else 0.0
    top, bottom = 20.0 + deal, 20.0
    tall = max(arm.height for arm in arms)
    width = sum(arm.width for arm in arms) + APART * (len(arms) - 1)
    middle = width / 2
    marks: list[Mark] = []
    down: tuple[Point, ...]
    on: tuple[Point, ...]
    if fork.deal:
        marks.append(Words(middle + 7, 11, "split", SMALL, "soft"))
    joined, join_height = join(fork, middle, top + tall + bottom)
    x = 0.0
    for arm in arms:
        at = x + arm.middle
        rail = 8.0 + deal
        straight = at == middle
        down = ((at, 0), (at, top)) if straight else ((middle, 0), (middle, rail), (at, rail), (at, top))
        marks.append(Line(down, arrow=arm.height > 0 and arm.opens))
        marks += moved(arm.marks, x, top)
        foot, end = (at, top + arm.height), top + tall + bottom
        on = (foot, (at, end)) if straight else (foot, (at, end - 9), (middle, end - 9), (middle, end))
        marks.append(Line(on))
        x += arm.width + APART
    return Laid(width, top + tall + bottom + join_height, middle, [*marks, *joined], False)


def _beside(fork: Fork) -> Laid:
    """The first arm straight down, the second around it at the right; joined below, or ending in itself."""
    main, aside = lay(fork.arms[0]), lay(fork.arms[1])
    if not fork.join:
        right = main.middle + 22
        at = right + aside.middle
        tall = max(main.height, aside.height + 14)
        marks: list[Mark] = [Line(((main.middle, 0), (main.middle, tall)))]
        marks += [Line(((main.middle, 4), (at, 4), (at, 14)), "dashed", arrow=True)]
        return Laid(right + aside.width, tall, main.middle, [*marks, *moved(aside.marks, right, 14)], False)
    top, bottom = 14.0, 14.0
    tall = max(main.height, aside.height)
    skip = aside.height == 0
    right = main.width + (6 if skip and main.height else 14)
    at = right + (8 if skip else aside.middle)
    joined, join_height = join(fork, main.middle, top + tall + bottom)
    end = top + tall + bottom
    wide = right + (16 if skip else aside.width)
    meets = end + (PLUS if fork.join != "concat" else join_height / 2)
    reach = main.middle + (PLUS if fork.join != "concat" else 27)
    upper = top + (tall - aside.height) / 2
    marks = [Line(((main.middle, 0), (main.middle, top)), arrow=main.height > 0 and main.opens)]
    marks += moved(main.marks, 0, top)
    marks.append(Line(((main.middle, top + main.height), (main.middle, end)), arrow=True))
    if skip:
        marks.append(Line(((main.middle, 4), (at, 4), (at, meets), (reach, meets)), "skip", arrow=True))
    else:
        marks.append(Line(((main.middle, 4), (at, 4), (at, upper)), "skip", arrow=True))
        marks += moved(aside.marks, right, upper)
        marks.append(Line(((at, upper + aside.height), (at, meets), (reach, meets)), "skip", arrow=True))
    return Laid(wide, end + join_height, main.middle, [*marks, *joined], False)


def _repeat(part: Repeat) -> Laid:
    """The block in a dashed frame, with its count at the upper left."""
    inside = lay(part.part)
    words = f"×{part.count}"
    first, last = part.names
    stem, _, own = first.rpartition(".")
    stem = stem.rpartition(".")[2] if own.isdigit() else ""
    name = f"{f'{stem}.' if stem else ''}{own} … {last.rpartition('.')[2]}"
    name += "" if part.parameters == part.count * parameters_of(part.part) else ", the first drawn"
    badge, letters = width_of(words, NORMAL, True) + 16, width_of(name, SMALL)
    wide = max(inside.width + 2 * PAD, badge + 10 + letters + PAD)
    shift = (wide - inside.width) / 2
    middle = shift + inside.middle
    title = badge + 7
    if title < middle + 6 and title + letters > middle - 6:  # the arrow comes in there
        title = middle + 7
        wide = max(wide, title + letters + PAD)
    tall = inside.height + 2 * PAD + 14
    marks: list[Mark] = [Box(0, 0, wide, tall, "repeat", 10)]
    marks += [Box(0, -1, badge, 20, "badge", 6), Words(badge / 2, 14, words, NORMAL, "onbadge", "middle", True)]
    marks += [Words(title, 13.5, name, SMALL, "soft")]
    marks.append(Line(((middle, 0), (middle, PAD + 14)), arrow=inside.opens))
    marks += moved(inside.marks, shift, PAD + 14)
    marks.append(Line(((middle, tall - PAD), (middle, tall))))
    return Laid(wide, tall, middle, marks, False)


def _frame(part: Frame) -> Laid:
    """A stage with its name, its shape and its parameters above."""
    inside = lay(part.part)
    note = " · ".join(one for one in (shape_text(part.shape), brief(part.parameters) if part.parameters else "") if one)
    title = width_of(part.title, NORMAL, True)
    wide = max(inside.width + 2 * PAD, title + 24, width_of(note, SMALL) + 24)
    shift = (wide - inside.width) / 2
    head = 40.0
    tall = inside.height + head + 2 * PAD
    middle = shift + inside.middle
    marks: list[Mark] = [Box(0, 0, wide, tall, "frame", 12)]
    marks += [Words(12, 18, part.title, NORMAL, "ink", bold=True), Words(12, 32, note, SMALL, "soft")]
    if not isinstance(part.part, Web):
        free = 12 + max(title, width_of(note, SMALL)) < middle - 6
        marks.append(Line(((middle, 0 if free else head - 2), (middle, head + PAD)), arrow=inside.opens))
    marks += moved(inside.marks, shift, head + PAD)
    if not isinstance(part.part, Web):
        marks.append(Line(((middle, tall - PAD), (middle, tall))))
    return Laid(wide, tall, middle, marks)
