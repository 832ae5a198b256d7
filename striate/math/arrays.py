"""The arrays that operations take and give: numbers in float32 or float64, positions as whole numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Whole = NDArray[np.int64]
Pair = int | tuple[int, int]  # one number for rows and columns, or (rows, columns)


def pair(value: Pair) -> tuple[int, int]:
    """One number for both axes, or two.

    >>> pair(3), pair((1, 2))
    ((3, 3), (1, 2))
    """
    return (value, value) if isinstance(value, int) else value
