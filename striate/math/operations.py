"""How many operations an algorithm takes, so that algorithms for the same result can be compared."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Operations:
    """Multiplications and additions (or subtractions) of real numbers.

    >>> 2 * Operations(3, 1) + Operations(1, 1)
    Operations(multiplications=7, additions=3)
    """

    multiplications: int = 0
    additions: int = 0

    @property
    def total(self) -> int:
        """Both together: what is often called FLOPs."""
        return self.multiplications + self.additions

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(self.multiplications + other.multiplications, self.additions + other.additions)

    def __rmul__(self, times: int) -> "Operations":
        return Operations(times * self.multiplications, times * self.additions)
