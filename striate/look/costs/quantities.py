"""Numbers, shapes and tables in plain text."""

from collections.abc import Sequence


def by(sides: Sequence[int]) -> str:
    """A shape: 64×56×56."""
    return "×".join(map(str, sides))


def sides(pair: tuple[int, int]) -> str:
    """A side, or both where they differ."""
    return str(pair[0]) if pair[0] == pair[1] else by(pair)


def size(count: int) -> str:
    """Bytes, readable, in decimal units.

    >>> size(512), size(18_816), size(102_441_088)
    ('512 B', '18.8 kB', '102.4 MB')
    """
    return f"{scaled(count)}B"


def scaled(count: float) -> str:
    """A number before its unit, with the decimal prefix of it: three to four digits.

    >>> scaled(416_520), scaled(11_513_626_624), scaled(999_999)
    ('416.5 k', '11.5 G', '1.0 M')
    """
    for prefix, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if round(count / factor, 1) >= 1:
            return f"{count / factor:,.1f} {prefix}"
    return f"{count:,} "


def brief(count: float) -> str:
    """A count without a unit: 11.7 M, or all its digits where they are few.

    >>> brief(850), brief(11_689_512)
    ('850', '11.7 M')
    """
    return scaled(count).strip()


def columns(lines: Sequence[Sequence[str]], align: str) -> list[str]:
    """Lines of cells, one below the other: each column as wide as its widest cell, to the left (<) or right (>)."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    pattern = "  ".join(f"{{:{side}{width}}}" for side, width in zip(align, widths, strict=True))
    return [pattern.format(*line).rstrip() for line in lines]


def folded(name: str, most: int) -> str:
    """A name that is too long, folded in its middle: layers of one network differ at both ends.

    >>> folded("features.denseblock4.denselayer16.conv2", 24)
    'features.den…yer16.conv2'
    >>> folded("layer4.1.conv2", 24)
    'layer4.1.conv2'
    """
    if len(name) <= most:
        return name
    if most < 3:
        return name[:most]
    back = (most - 1) // 2
    return f"{name[: most - 1 - back]}…{name[-back:]}"


def cut(line: str, most: int) -> str:
    """A line without what is too much at its end.

    >>> cut("the last column gives way", 16)
    'the last column…'
    """
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Words on lines of at most `width` columns; a word that is longer stands alone."""
    lines, line = [], indent
    for word in text.split():
        if line != indent and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = indent
        line = f"{line} {word}" if line != indent else f"{indent}{word}"
    return [*lines, line] if line.strip() else lines
