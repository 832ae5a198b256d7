"""float32 is float32, on a GPU too."""

import subprocess
import sys

ASKED = """
import torch
from striate.run.precision import settle_float32
there = torch.cuda.is_available()
before = torch.backends.cudnn.allow_tf32
settle_float32()
assert there or torch.backends.cudnn.allow_tf32 == before
torch.cuda.is_available = lambda: True
settle_float32()
assert not torch.backends.cudnn.allow_tf32
assert not torch.backends.cuda.matmul.allow_tf32
torch.cuda.is_available = lambda: there
torch.export.export(torch.nn.Conv2d(1, 2, 3).eval(), (torch.zeros(1, 1, 5, 5),))
"""


def test_on_a_gpu_float32_is_not_rounded_to_less_and_a_network_can_still_be_exported() -> None:
    """In a process of its own: these settings belong to all of it."""
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
