import numpy as np
from hypothesis import strategies as st
from torch.nn import functional

from striate.math import local_response_norm as lrn
from tests.math.compare import Array, assert_near, autograd, normal, slopes
from tests.math.conftest import drawn


@drawn(
    st.integers(1, 9), st.integers(1, 7), st.sampled_from([1e-4, 0.3, 2]), st.sampled_from([0.5, 0.75, 1]),
    st.sampled_from([1, 2]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_it_is_torchs_with_torchs_alpha(c: int, size: int, alpha: float, beta: float, k: float, seed: int) -> None:
    x = normal(seed, 2, c, 3, 2)
    y, g, (dx,) = autograd(lambda x: functional.local_response_norm(x, size, alpha, beta, k), x, seed=seed)
    ours = (size, lrn.paper_alpha(alpha, size), beta, k)
    assert_near(lrn.forward(x, *ours), y)
    assert_near(lrn.backward(g, x, *ours), dx)


def by_loops(x: Array, n: int, alpha: float, beta: float, k: float) -> Array:
    """The paper's formula as it is printed: i runs over maps, j from max(0, i - n/2) to min(N - 1, i + n/2)."""
    y = np.empty_like(x)
    maps = x.shape[1]
    for image, i, h, w in np.ndindex(*x.shape):
        total = sum(x[image, j, h, w] ** 2 for j in range(max(0, i - n // 2), min(maps - 1, i + n // 2) + 1))
        y[image, i, h, w] = x[image, i, h, w] / (k + alpha * total) ** beta
    return y


def test_it_is_the_papers_formula_with_the_papers_constants() -> None:
    x = 100 * normal(0, 2, 8, 2, 3)
    assert_near(lrn.forward(x, 5, 1e-4, 0.75, 2), by_loops(x, 5, 1e-4, 0.75, 2), 1e-13)


def test_torchs_and_the_papers_constants_are_not_the_same() -> None:
    x = 100 * normal(0, 1, 8, 2, 2)
    paper, torchs = lrn.forward(x, 5, 1e-4, 0.75, 2), lrn.forward(x, 5, lrn.paper_alpha(1e-4, 5), 0.75, 2)
    assert np.abs(paper / torchs - 1).max() > 0.1


def test_its_gradient_is_its_slope() -> None:
    x, g = normal(0, 1, 5, 2, 2), normal(1, 1, 5, 2, 2)
    (slope,) = slopes(lambda x: lrn.forward(x, 4, 0.5, 0.75, 2), g, (x,))
    assert_near(lrn.backward(g, x, 4, 0.5, 0.75, 2), slope, 1e-8)
    assert lrn.operations(x.shape, 4) == 20 * 9
