"""Stochastic depth: the linear decay rule, for any network that is made of residual blocks."""

from typing import TypeVar

from torch import nn

from striate.blocks.wiring import Residual, Stochastic
from striate.errors import UsageError

Model = TypeVar("Model", bound=nn.Module)


def survive(model: Model, last: float) -> Model:
    """Let residual block l of L take part in a training step with probability 1 - l/L·(1 - last); gives the model back.

    The first blocks nearly always do, the last one with the probability `last`; 1 leaves the model as it is. Names of
    parameters stay. What a block does then: `striate.blocks.wiring.Stochastic`.

    Source: Huang et al., "Deep Networks with Stochastic Depth", arXiv:1603.09382, equation 4 (there p_L = 0.5).
    Raises: UsageError if `last` is no probability above 0, or the model has no residual blocks.
    """
    if not (isinstance(last, int | float) and 0 < last <= 1):
        raise UsageError(f"survival is {last!r}; expected a probability above 0 and up to 1 (the paper has 0.5)")
    if last == 1:
        return model
    blocks = [name for name, block in model.named_modules() if isinstance(block, Residual)]
    if not blocks:
        raise UsageError(f"survival is {last}, but the network has no residual blocks that could be left out")
    for number, name in enumerate(blocks, start=1):
        block = model.get_submodule(name)
        assert isinstance(block, Residual)
        model.set_submodule(name, Stochastic(block, 1 - number / len(blocks) * (1 - last)))
    return model
