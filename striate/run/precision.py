"""What float32 means on a GPU."""

import torch


def settle_float32() -> None:
    """Let float32 be float32: convolutions on a GPU else round what they are given to TF32, 10 bits of fraction.

    Whoever wants speed asks for bf16, which has tensor cores as well. Where there is no GPU nothing is touched. These
    are the switches that torch's export asks for: set by the newer ones, for convolutions alone, it fails.
    """
    if torch.cuda.is_available():
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
