"""Which part of a batch belongs to which process."""

from typing import NamedTuple


class Part(NamedTuple):
    """Positions first .. last-1 of a batch. An idle process takes some of another's, which then do not count."""

    first: int
    last: int
    idle: bool


def part_of(images: int, rank: int, world: int) -> Part:
    """The batch in `world` parts one after the other, as even as can be, none of a single image: batch norm needs two.

    >>> [part_of(10, rank, 4)[:2] for rank in range(4)]
    [(0, 3), (3, 6), (6, 8), (8, 10)]
    >>> part_of(5, 2, 4)
    Part(first=0, last=2, idle=True)
    """
    busy = max(1, min(world, images // 2))
    if rank >= busy:
        return Part(0, min(2, images), True)
    each, more = divmod(images, busy)
    first = rank * each + min(rank, more)
    return Part(first, first + each + (rank < more), False)
