"""Shapes, strides, paddings, dilations and groups that fit one another, drawn at random."""

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.math.compare import Array, normal

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """A convolution of either number of axes; every tuple has one entry an axis."""

    n: int
    c_in: int
    c_out: int
    groups: int
    size: tuple[int, ...]
    k: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[Pair, ...]
    dilation: tuple[int, ...]
    seed: int

    def inputs(self) -> tuple[Array, Array, Array]:
        """x, w and b in float64."""
        x = normal(self.seed, self.n, self.c_in, *self.size)
        w = normal(self.seed + 1, self.c_out, self.c_in // self.groups, *self.k)
        return x, w, normal(self.seed + 2, self.c_out)


@st.composite
def geometries(
    draw: st.DrawFn, axes: int = 2, k: tuple[int, ...] = (), stride: int = 3, dilation: int = 3, grouped: bool = True
) -> Geometry:
    """Up to 2 images, 6 channels in and out, a few positions an axis; `k`, where given, is the only kernel."""
    groups = draw(st.integers(1, 3)) if grouped else 1
    ks = k or tuple(draw(st.integers(1, 4)) for _ in range(axes))
    strides = tuple(draw(st.integers(1, stride)) for _ in range(axes))
    dilations = tuple(draw(st.integers(1, dilation)) for _ in range(axes))
    pads = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(axes))
    sizes = []
    for axis in range(axes):
        least = max(1, dilations[axis] * (ks[axis] - 1) + 1 - sum(pads[axis]))
        sizes.append(draw(st.integers(least, least + 6)))
    return Geometry(
        n=draw(st.integers(1, 2)),
        c_in=groups * draw(st.integers(1, 2)),
        c_out=groups * draw(st.integers(1, 2)),
        groups=groups,
        size=tuple(sizes),
        k=ks,
        stride=strides,
        padding=pads,
        dilation=dilations,
        seed=draw(st.integers(0, 2**32 - 4)),
    )
