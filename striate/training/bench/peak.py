"""What the machine can do at best: a matrix product in the precision of the training, in the same process."""

import time

import torch

SIDE = {"cpu": 1536, "cuda": 8192}
DTYPE = {"float32": torch.float32, "bf16": torch.bfloat16}


def peak_macs(precision: str, device: str, *, side: int | None = None, turns: int = 5) -> float:
    """Multiply-adds a second of the best of `turns` products of two square matrices, with torch's own threads.

    It is what this machine reaches while this runs, not what its maker states: other programs that run count against
    it, as they count against the training.
    """
    n = side or SIDE[device]
    a, b = (torch.ones(n, n, dtype=DTYPE[precision], device=device) for _ in range(2))
    best = float("inf")
    for _ in range(turns + 1):  # the first one prepares
        begun = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begun)
    return n**3 / best
