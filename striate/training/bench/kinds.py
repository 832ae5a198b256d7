"""Which kind of operation takes the time of a training step, by torch's profiler."""

import re
from collections.abc import Iterable
from typing import Any

KINDS = {  # in this order: the first whose pattern is found in an operation's name
    "update": r"adam|sgd|rmsprop|foreach|get_total_norm|linalg_vector_norm|clip_grad|lerp",
    "convolution": r"conv",
    "norm": r"(batch|layer|group|instance)_?norm|local_response|rsqrt|var_mean",
    "pooling": r"pool|interpolate|upsample",
    "dense": r"addmm|::mm|matmul|linear|bmm|baddbmm",
    "loss": r"softmax|nll_loss|cross_entropy|binary_cross|argmax|mse_loss",
    "activation, addition": (
        r"relu|threshold|sigmoid|silu|swish|gelu|tanh|hardtanh|hardswish|elu|softplus|clamp|::add|::mul|::sub|::div|dropout"
        r"|bernoulli|::sum|::pow"
    ),
    "copy": (
        r"copy|::to\b|_to_|contiguous|clone|::cat|concat|zero|fill|slice|reorder|permute|stack|pad|select|index|memcpy"
    ),
}
OTHER = "other"
_PATTERNS = {kind: re.compile(pattern, re.IGNORECASE) for kind, pattern in KINDS.items()}


def kind_of_operation(name: str) -> str:
    """The kind of one of torch's operations.

    >>> kind_of_operation("aten::mkldnn_convolution"), kind_of_operation("aten::add_"), kind_of_operation("aten::view")
    ('convolution', 'activation, addition', 'other')
    """
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.search(name)), OTHER)


def seconds_by_kind(events: Iterable[Any], *, cuda: bool) -> dict[str, float]:
    """Averages of a profile -> kind -> seconds in its operations themselves, without those that they call."""
    found = dict.fromkeys([*KINDS, OTHER], 0.0)
    for event in events:
        spent = event.self_device_time_total if cuda else event.self_cpu_time_total
        found[kind_of_operation(event.key)] += spent / 1e6
    return {kind: seconds for kind, seconds in found.items() if seconds > 0}
