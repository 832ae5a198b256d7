"""float32 is float32, on a GPU too."""

import torch

from striate.run.precision import settle_float32


def test_convolutions_and_products_of_float32_are_not_rounded_to_less() -> None:
    settings = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    before = [one.fp32_precision for one in settings]
    try:
        for one in settings:
            one.fp32_precision = "tf32"
        settle_float32()
        assert [one.fp32_precision for one in settings] == ["ieee", "ieee"]
    finally:
        for one, was in zip(settings, before, strict=True):
            one.fp32_precision = was
