"""Numbers that count what is done with them: an array of them makes NumPy carry out an algorithm with the meter on."""

from typing import Any

import numpy as np

from striate.math.operations import Operations


class Meter:
    """Real operations so far: a product of complex numbers is four products and two sums, a sum of them two."""

    def __init__(self) -> None:
        self.multiplications = self.additions = 0

    @property
    def read(self) -> Operations:
        return Operations(self.multiplications, self.additions)

    def wrap(self, x: Any) -> Any:
        """The array with every number replaced by one that counts."""
        out = np.empty(np.shape(x), object)
        for at in np.ndindex(out.shape):
            out[at] = Counted(np.asarray(x)[at].item(), self)
        return out


class Counted:
    """A number, and the meter it reports to."""

    def __init__(self, value: complex, meter: Meter) -> None:
        self.value, self.meter = value, meter

    def _parts(self, other: Any) -> tuple[Any, bool, bool]:
        v = other.value if isinstance(other, Counted) else other
        return v, isinstance(self.value, complex), isinstance(v, (complex, np.complexfloating))

    def __add__(self, other: Any) -> "Counted":
        v, one, two = self._parts(other)
        self.meter.additions += 2 if one or two else 1
        return Counted(self.value + v, self.meter)

    def __sub__(self, other: Any) -> "Counted":
        v, one, two = self._parts(other)
        self.meter.additions += 2 if one or two else 1
        return Counted(self.value - v, self.meter)

    def __mul__(self, other: Any) -> "Counted":
        v, one, two = self._parts(other)
        self.meter.multiplications += (1 + one) * (1 + two)
        self.meter.additions += 2 * (one and two)
        return Counted(self.value * v, self.meter)

    __radd__, __rmul__ = __add__, __mul__

    def conjugate(self) -> "Counted":
        return Counted(np.conjugate(self.value).item(), self.meter)


def values(x: Any) -> Any:
    """The plain numbers of an array that counted."""
    return np.array([one.value for one in x.ravel()]).reshape(x.shape)
