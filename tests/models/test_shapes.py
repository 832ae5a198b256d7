"""Shapes of results without numbers, against what torch's own meta device answers."""

import subprocess
import sys
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor
from torch.utils._pytree import tree_flatten

from striate.models.registry import create_model, list_models
from striate.models.shapes import _RULES, perform, without_numbers

aten = torch.ops.aten
sizes = st.integers(1, 9)
few = st.integers(1, 3)
pairs = st.lists(few, min_size=2, max_size=2)
maps = st.tuples(few, sizes, sizes, sizes)


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def outcome(function: Any, *args: Any) -> Any:
    """Shapes and types of what a function returns, or the type of its error."""
    try:
        leaves, form = tree_flatten(function(*args))
    except (RuntimeError, IndexError) as error:
        return type(error)
    return form, [(tuple(x.shape), x.dtype, x.device.type) for x in leaves]


@st.composite
def calls(draw: st.DrawFn) -> tuple[Any, tuple[Any, ...]]:
    """An operation and arguments that it may or may not accept."""
    x = draw(maps)
    pad, stride, k, dilation = (
        draw(st.lists(st.integers(0, 1), min_size=2, max_size=2)),
        *(draw(pairs) for _ in range(3)),
    )
    match draw(
        st.sampled_from(["conv", "max", "average", "adaptive", "mean", "norm", "mm", "addmm", "binary", "unary", "cat"])
    ):
        case "conv":
            groups = draw(st.sampled_from([1, 1, 2]))
            weight = meta(draw(few) * groups, draw(st.sampled_from([x[1] // groups or 1, 3])), *k)
            return aten.convolution.default, (meta(*x), weight, None, stride, pad, dilation, False, [0, 0], groups)
        case "max":
            ceil = draw(st.booleans())
            return aten.max_pool2d_with_indices.default, (
                meta(*x),
                k,
                draw(st.sampled_from([stride, []])),
                [0, 0],
                dilation,
                ceil,
            )
        case "average":
            pad = [min(p, n // 2) for p, n in zip(pad, k, strict=True)]
            return aten.avg_pool2d.default, (meta(*x), k, draw(st.sampled_from([stride, []])), pad, draw(st.booleans()))
        case "adaptive":
            return aten._adaptive_avg_pool2d.default, (meta(*x), k)
        case "mean":
            dims = draw(st.sampled_from([[-1, -2], [2, 3], [1], [-1], [0, 3], []]))
            return aten.mean.dim, (meta(*x), dims, draw(st.booleans()))
        case "norm":
            c, training = meta(x[1]), draw(st.booleans())
            return aten.native_batch_norm.default, (meta(*x), c, c, c, c, training, 0.1, 1e-5)
        case "mm":
            return aten.mm.default, (meta(*x[:2]), meta(draw(st.sampled_from([x[1], 2])), x[3]))
        case "addmm":
            return aten.addmm.default, (meta(x[3]), meta(*x[:2]), meta(draw(st.sampled_from([x[1], 2])), x[3]))
        case "binary":
            operation = draw(st.sampled_from([aten.add.Tensor, aten.mul.Tensor, aten.sub.Tensor, aten.div.Tensor]))
            shape = tuple(draw(st.sampled_from([n, n, 1, 5])) for n in x)
            kinds = st.sampled_from([torch.float32, torch.float32, torch.float64, torch.int64])
            other = draw(st.sampled_from([2.5, meta(*shape, dtype=draw(kinds)), meta(x[3]), meta()]))
            return operation, (meta(*x, dtype=draw(kinds)), other)
        case "unary":
            packets = [
                aten.relu,
                aten.hardtanh,
                aten.silu,
                aten.gelu,
                aten.sigmoid,
                aten.tanh,
                aten.clone,
                aten.hardswish,
            ]
            return draw(st.sampled_from(packets)).default, (meta(*x),)
        case _:
            other = tuple(draw(st.sampled_from([n, n, n, 4])) for n in x)
            return aten.cat.default, ([meta(*x), meta(*other)], draw(st.integers(-4, 3)))


@settings(max_examples=150, deadline=None)
@given(call=calls())
def test_every_rule_answers_as_torch_does(call: tuple[Any, tuple[Any, ...]]) -> None:
    operation, args = call
    assert operation.overloadpacket in _RULES
    assert outcome(perform, operation, args, {}) == outcome(operation, *args)


X, G = meta(2, 4, 6, 5), meta(2, 8, 6, 5)
FIXED = [
    (aten.constant_pad_nd.default, (X, [1, 2, 0, -1])),
    (aten.constant_pad_nd.default, (X, [0, 0, 1, 1, 2, 0], 1.0)),
    (aten.pow.Tensor_Scalar, (X, 0.75)),
    (aten.ge.Scalar, (X, 0.5)),
    (aten.neg.default, (X,)),
    (aten.sqrt.default, (X,)),
    (aten.mul_.Tensor, (X, meta(5))),
    (aten.div_.Scalar, (X, 2.0)),
    (aten.add_.Tensor, (X, X)),
    (aten.slice_backward.default, (meta(2, 4, 2, 5), [2, 4, 6, 5], 2, 1, 3, 1)),
    *(
        (aten.convolution_backward.default,
         (G, X, meta(8, 4, 3, 3), bias, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask))
        for bias, mask in (([8], [True, True, True]), (None, [True, True, False]), ([8], [False, True, True]))
    ),
    *(
        (aten.native_batch_norm_backward.default,
         (X, X, meta(4), meta(4), meta(4), meta(4), meta(4), True, 1e-5, mask))
        for mask in ([True, True, True], [True, False, False])
    ),
    (aten.native_group_norm.default, (X, meta(4), meta(4), 2, 4, 30, 2, 1e-5)),
    *(
        (aten.native_group_norm_backward.default, (X, X, meta(2, 2), meta(2, 2), meta(4), 2, 4, 30, 2, mask))
        for mask in ([True, True, True], [True, False, False])
    ),
    (aten.max_pool2d_with_indices_backward.default,
     (meta(2, 4, 3, 2), X, [2, 2], [2, 2], [0, 0], [1, 1], False, meta(2, 4, 3, 2, dtype=torch.int64))),
    (aten.avg_pool2d_backward.default, (meta(2, 4, 3, 2), X, [2, 2], [2, 2], [0, 0], False, True, None)),
    (aten._adaptive_avg_pool2d_backward.default, (meta(2, 4, 1, 1), X)),
    (aten.threshold_backward.default, (X, X, 0)),
    (aten.hardtanh_backward.default, (X, X, 0.0, 6.0)),
    (aten.silu_backward.default, (X, X)),
    (aten.sigmoid_backward.default, (X, X)),
    (aten.tanh_backward.default, (X, X)),
    (aten.hardswish_backward.default, (X, X)),
    (aten.logit_backward.default, (X, X, 1e-6)),
    (aten._softmax_backward_data.default, (X, X, -1, torch.float32)),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "args"), FIXED, ids=[str(operation) for operation, _ in FIXED])
def test_what_a_training_step_asks_for_is_answered_as_torch_does(operation: Any, args: tuple[Any, ...]) -> None:
    assert operation.overloadpacket in _RULES

    def shapes(y: Any) -> list[Any]:
        parts = y if isinstance(y, tuple) else (y,)
        return [part if part is None else (tuple(part.shape), part.dtype) for part in parts]

    assert shapes(perform(operation, args, {})) == shapes(operation(*args))


@pytest.mark.slow
def test_a_table_with_memory_does_without_torchs_compiler() -> None:
    """Loading it takes longer than the table; models with dropout, response norms, gates and capsules, too."""
    code = """
import sys
from striate.look.costs.summary import summarise
for name in ("alexnet_2gpu", "efficientnet_b0", "capsnet_mnist", "lenet5_1998", "nasnet_a_mobile", "nasnet_b"):
    summarise(name, batch=2).text()
assert "torch._dynamo" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_tensors_with_numbers_are_computed() -> None:
    y = perform(aten.relu.default, (torch.tensor([-1.0, 2.0]),), {})
    assert y.tolist() == [0.0, 2.0]
    assert perform(aten.cat.default, ([torch.ones(1), torch.zeros(1)],), {}).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("name", list_models())
def test_a_model_without_numbers_has_the_shapes_of_the_real_one(name: str) -> None:
    with without_numbers():
        bare = create_model(name)
    assert all(tensor.is_meta for tensor in bare.state_dict().values())
    if name not in ("resnet101", "resnet152"):  # seconds, for the same code
        real = {key: tensor.shape for key, tensor in create_model(name).state_dict().items()}
        assert {key: tensor.shape for key, tensor in bare.state_dict().items()} == real


def test_numbers_are_back_after_an_error() -> None:
    with pytest.raises(KeyError), without_numbers():
        raise KeyError
    assert not torch.zeros(2).is_meta
    assert torch.full((2,), 3.0).fill_(4.0).tolist() == [4.0, 4.0]
