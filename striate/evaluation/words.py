"""Numbers as a reader wants them: as many digits as they carry, and never rounded to what they are not."""

from math import floor, isfinite, log10

from striate.data.wording import SPACE as _SPACE
from striate.data.wording import percent as percent
from striate.data.wording import points as points
from striate.evaluation.metrics import Share


def sure(share: Share) -> str:
    """A share and how sure it is.

    >>> sure(Share(0.986, 0.968, 0.994))
    '98.6\\xa0% (95\\xa0% interval 96.8 to 99.4)'
    """
    return f"{percent(share.value)} (95{_SPACE}% interval {interval(share)})"


def interval(share: Share) -> str:
    """The two ends, in per cent."""
    return f"{points(share.low)} to {points(share.high)}"


def brief(value: float, digits: int = 3) -> str:
    """A number with a few significant digits and no exponent where it can be avoided.

    >>> brief(0.04567), brief(1234567.0), brief(1.5e-7), brief(3.0)
    ('0.0457', '1,234,567', '1.5e-07', '3')
    """
    if not isfinite(value) or value == 0:
        return f"{value:g}"
    size = floor(log10(abs(value)))
    if size < -4:
        return f"{value:.{digits - 1}g}"
    text = f"{value:,.{max(0, digits - 1 - size)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def large(value: float) -> str:
    """A count with a unit prefix.

    >>> large(61706), large(416520), large(4_089_184_256), large(812)
    ('61.7 thousand', '417 thousand', '4.09 billion', '812')
    """
    for limit, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e4, "thousand")):
        if abs(value) >= limit:
            return f"{brief(value / (1e3 if name == 'thousand' else limit))} {name}"
    return f"{value:,.0f}"


def size(count: int) -> str:
    """Bytes in decimal units.

    >>> size(812), size(54824), size(44_700_000)
    ('812 bytes', '54.8 kB', '44.7 MB')
    """
    for limit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= limit:
            return f"{brief(count / limit)} {name}"
    return f"{count} bytes"


def chance(p: float) -> str:
    """A p-value, as papers write it.

    >>> chance(0.0312), chance(0.6), chance(2e-9)
    ('p = 0.031', 'p = 0.60', 'p < 0.0001')
    """
    return "p < 0.0001" if p < 0.0001 else f"p = {p:.2f}" if p >= 0.1 else f"p = {brief(p, 2)}"


def duration(seconds: float) -> str:
    """A time as one would say it.

    >>> duration(3.21), duration(75), duration(5400), duration(200000)
    ('3.2 s', '1 min 15 s', '1 h 30 min', '2 d 7 h')
    """
    if seconds < 60:
        return f"{brief(seconds, 2)} s"
    whole = round(seconds)
    for size, unit, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // below
            return f"{whole // size} {unit}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def listed(names: list[str], most: int = 5) -> str:
    """Names in a sentence.

    >>> listed(["a", "b", "c"]), listed(["a", "b", "c"], most=2), listed(["a"])
    ('a, b and c', 'a, b and 1 more', 'a')
    """
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
