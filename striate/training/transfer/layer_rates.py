"""A learning rate of its own for each block: smaller the further it is from the head.

    rate of block b of B = lr * layer_decay^(B - b)        rate of the head = lr * head_factor

Source: Howard & Ruder, "Universal Language Model Fine-tuning for Text Classification", arXiv:1801.06146, section 3.2
(discriminative fine-tuning); the decay by a constant factor a block as in Clark et al., arXiv:2003.10555.
"""

from collections.abc import Sequence

from torch import nn

from striate.training.transfer.places import blocks, within


def rate_factors(module: nn.Module, heads: Sequence[str], layer_decay: float, head_factor: float) -> dict[str, float]:
    """Parameter -> what its rate is, in multiples of lr.

    >>> from striate.blocks.wiring import Chain
    >>> net = Chain(a=nn.Linear(2, 2), b=Chain(nn.Linear(2, 2)), fc=nn.Linear(2, 2))
    >>> list(rate_factors(net, ["fc"], 0.5, 10.0).values())[::2]
    [0.25, 0.5, 10.0]
    """
    groups = [g for g in blocks(module) if not all(any(within(step, head) for head in heads) for step in g)]
    place = {step: i for i, group in enumerate(groups) for step in group}
    factors = {}
    for name, _ in module.named_parameters():
        step = next((step for step in place if within(name, step)), "")
        of_head = any(within(name, head) for head in heads) or not step
        factors[name] = head_factor if of_head else layer_decay ** (len(groups) - place[step])
    return factors
