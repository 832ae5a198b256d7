"""What float32 means on a GPU."""

import torch


def settle_float32() -> None:
    """Let float32 be float32: convolutions on a GPU else round what they are given to TF32, 10 bits of fraction.

    Whoever wants speed asks for bf16, which has tensor cores as well. Nothing changes on a processor.
    """
    torch.backends.cudnn.conv.fp32_precision = "ieee"  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.fp32_precision = "ieee"
