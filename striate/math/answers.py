"""An answer that shows its work: the value, and the formula with the numbers put in."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A number, what it is, and the lines that lead to it; `str()` is all of it.

    >>> print(Answer("area", 12, "squares", ("height · width", "3 · 4"), ("A note.",)))
    area = height · width
         = 3 · 4
         = 12 squares
    A note.
    """

    quantity: str
    value: int
    unit: str
    steps: tuple[str, ...]  # the formula; the formula with numbers; what becomes of it
    notes: tuple[str, ...] = ()
    before: tuple[str, ...] = ()  # lines above: what each layer has to do with it

    def __str__(self) -> str:
        margin = " " * len(self.quantity)
        result = f"{self.value:,} {self.unit}".rstrip()
        steps = [step for step in self.steps if step != result]
        lines = [f"{self.quantity if i == 0 else margin} = {step}" for i, step in enumerate([*steps, result])]
        return "\n".join([*self.before, *lines, *self.notes])

    def to_json(self) -> dict[str, Any]:
        """The same as data."""
        return {
            "quantity": self.quantity,
            "value": self.value,
            "unit": self.unit,
            "steps": list(self.steps),
            "layers": list(self.before),
            "notes": list(self.notes),
        }
