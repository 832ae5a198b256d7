"""Random numbers that depend on what they are for, not on who asks first.

    u[i, j] = hash(seed, epoch, stream, sample i, j) / 2^64

The hash is the finaliser of SplitMix64 applied to one part of the key after the other, so a number can be computed
anywhere, in any order, by any number of workers: there is no state to share, save or restore.

Source:  Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators" (the mixing constants).
Checked: uniformity and independence in tests/data/test_keyed.py.
"""

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def bits(seed: int, epoch: int, stream: str, samples: ArrayLike, n: int = 1) -> NDArray[np.uint64]:
    """Samples (N,) whole numbers -> (N, n) words of 64 random bits. `stream` names the use: "rotation", "order" ..."""
    start = _mix(np.uint64((seed + int(_GAMMA)) & 0xFFFFFFFFFFFFFFFF))
    start = _mix(start ^ np.uint64(epoch))
    start = _mix(start ^ np.uint64(zlib.crc32(stream.encode())))
    rows = _mix(start ^ np.asarray(samples, dtype=np.uint64).reshape(-1))
    steps = np.arange(1, n + 1, dtype=np.uint64) * _GAMMA
    return _mix(rows[:, None] + steps)


def uniform(seed: int, epoch: int, stream: str, samples: ArrayLike, n: int = 1) -> NDArray[np.float64]:
    """Samples (N,) -> (N, n) numbers, evenly spread over 0 <= u < 1."""
    return (bits(seed, epoch, stream, samples, n) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """A permutation of 0 .. n-1, another one each epoch."""
    return np.argsort(bits(seed, epoch, "order", np.arange(n))[:, 0], kind="stable")


def order_in_blocks(seed: int, epoch: int, blocks: NDArray[np.int64], together: int) -> NDArray[np.int64]:
    """A permutation of 0 .. n-1 that draws from a few blocks at a time; blocks (N,): the block of each sample.

    Blocks are shuffled, then so many at a time are thrown together and shuffled among themselves.

    >>> (order_in_blocks(0, 1, np.array([0, 0, 1, 1, 2, 2]), 1) // 2).tolist()
    [2, 2, 0, 0, 1, 1]
    """
    there, number = np.unique(blocks, return_inverse=True)
    turn = np.empty(len(there), dtype=np.int64)
    turn[np.argsort(bits(seed, epoch, "blocks", there)[:, 0], kind="stable")] = np.arange(len(there))
    return np.lexsort((bits(seed, epoch, "order", np.arange(len(blocks)))[:, 0], turn[number] // together))


def torch_seed(seed: int, step: int, rank: int = 0) -> int:
    """The seed for what torch draws by itself in one training step (dropout) of one process: 63 bits."""
    return int(bits(seed, step, "torch", [rank])[0, 0] >> np.uint64(1))


def _mix(z: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = np.asarray(z, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
