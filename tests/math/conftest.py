"""How the tests of `math/` draw their examples: 50 in the ordinary suite, 1,000 under `-m slow`, by one strategy.

    from tests.math.conftest import drawn

    @drawn(st.integers(1, 9), st.sampled_from(["float32", "float64"]))
    def test_a_sentence(n: int, dtype: str) -> None: ...

It is collected twice: `[50]`, and `[1000]` with the mark `slow`. Other parameters are fixtures or `parametrize` marks.
"""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

ORDINARY, SLOW = 50, 1000


def drawn(
    *strategies: SearchStrategy[Any], ordinary: int = ORDINARY, slow: int = SLOW
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Fill the first parameters of a test with drawn values: few times in the ordinary suite, often in the slow one."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        parameters = list(inspect.signature(test).parameters.values())
        names = [p.name for p in parameters[: len(strategies)]]
        rest = parameters[len(strategies) :]

        def run(examples: int, **others: Any) -> None:
            def once(*values: Any, **named: Any) -> None:
                test(*values, **named, **others)

            once.__name__ = once.__qualname__ = test.__name__
            once.__module__ = test.__module__
            once.__signature__ = inspect.Signature(parameters[: len(strategies)])  # type: ignore[attr-defined]
            repeat = settings(
                max_examples=examples,
                deadline=None,
                database=None,
                print_blob=True,
                suppress_health_check=[HealthCheck.too_slow],
            )
            repeat(given(**dict(zip(names, strategies, strict=True)))(once))()

        run.__name__, run.__qualname__, run.__doc__ = test.__name__, test.__qualname__, test.__doc__
        run.__module__ = test.__module__
        own = inspect.Parameter("examples", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        run.__signature__ = inspect.Signature([own, *rest])  # type: ignore[attr-defined]
        run.pytestmark = list(getattr(test, "pytestmark", []))  # type: ignore[attr-defined]
        many = pytest.param(slow, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])
        return pytest.mark.parametrize("examples", [ordinary, many])(run)

    return decorate
