"""One convolution by six ways: time, operations and memory as kernel, image and channels grow, beside torch's.

float32, one image, stride 1, padding that keeps the size; as many threads for NumPy's BLAS as for torch. The loops in
Python are only timed where they end within seconds. Operations are the formulas', the FFT's those of
`forward_by_halving`. Memory is what NumPy has allocated at the peak of a pass besides the output; torch's kernels keep
theirs uncounted.
"""

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import Table, arguments, middle, place, report, take_turns
from threadpoolctl import threadpool_limits
from torch.nn import functional

from striate.math import conv2d, conv2d_direct, conv2d_fft, conv2d_im2col, conv2d_winograd

SWEEPS = {  # what grows: (kernel, side, channels in and out)
    "kernel": [(k, 64, 16) for k in (1, 3, 5, 7, 9, 11, 15, 21)],
    "side": [(3, side, 16) for side in (8, 16, 32, 64, 128, 256)],
    "channels": [(3, 32, c) for c in (1, 4, 16, 32, 64, 128)],
}
COLOURS = {"loops": "tab:gray", "im2col": "tab:blue", "FFT": "tab:orange", "Winograd": "tab:green", "torch": "black"}
QUICK = {"kernel": [0, 1, 3, 5], "side": [1, 3], "channels": [1, 3]}
LOOPS = 3_000_000  # multiply-adds that the loops in Python are given: some seconds
Case = tuple[int, int, int]


def ways(case: Case) -> dict[str, tuple[Callable[[], Any], int, int]]:
    """Name -> (a pass, its real operations, its own memory in bytes by the formula)."""
    k, side, c = case
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, c, side, side)).astype(np.float32)
    w = rng.standard_normal((c, c, k, k)).astype(np.float32)
    p, shapes = k // 2, (x.shape, w.shape)
    geometry = (*shapes, 1, p)
    one_image = conv2d_im2col.memory(*geometry)
    xt, wt = torch.from_numpy(x), torch.from_numpy(w)
    direct = conv2d_direct.operations(*geometry).total
    found = {
        "im2col": (lambda: conv2d_im2col.forward(x, w, None, 1, p), direct, 4 * one_image),
        "conv2d": (lambda: conv2d.forward(x, w, None, 1, p), direct, 4 * one_image),
        "FFT": (
            lambda: conv2d_fft.forward(x, w, None, 1, p),
            conv2d_fft.operations(*geometry).total,
            4 * conv2d_fft.memory(*geometry),
        ),
        "torch": (lambda: functional.conv2d(xt, wt, padding=p), direct, 0),
    }
    if k == 3:
        found["Winograd"] = (
            lambda: conv2d_winograd.forward(x, w, None, p),
            conv2d_winograd.operations(*shapes, p).total,
            4 * conv2d_winograd.memory(*shapes, p),
        )
    if conv2d.macs(*geometry) <= LOOPS:
        found["loops"] = (lambda: conv2d_direct.forward(x, w, None, 1, p), direct, 0)
    return found


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch and of NumPy's BLAS (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few sizes only")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw time, operations and memory")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    where = place("torch", "numpy", "striate")
    measured: dict[str, list[dict[str, Any]]] = {}
    for grows, cases in SWEEPS.items():
        chosen = [cases[i] for i in QUICK[grows]] if options.quick else cases
        with threadpool_limits(options.threads):
            measured[grows] = [measure(case, options.rounds) for case in chosen]
    report(options, where, [table(grows, rows) for grows, rows in measured.items()], measured)
    print("\n".join(crossings(measured)))
    if options.plot:
        draw(measured, where, options.plot)


def measure(case: Case, rounds: int) -> dict[str, Any]:
    found = ways(case)
    answers = {name: np.asarray(run()) for name, (run, _, _) in found.items()}
    scale = np.abs(answers["torch"]).max()
    for name, y in answers.items():  # all compute the same, or the times say nothing
        error = float(np.abs(y - answers["torch"]).max() / scale)
        if error > 1e-4:
            raise SystemExit(f"{name} differs from torch by {error:.2g} of the largest value at {case}")
    slow = {"loops"}
    times = take_turns({name: timed(run) for name, (run, _, _) in found.items() if name not in slow}, rounds)
    times |= {name: [timed(found[name][0], least=0)()] for name in slow & set(found)}
    return {
        "case": case,
        "milliseconds": times,
        "operations": {name: operations for name, (_, operations, _) in found.items()},
        "stated_bytes": {name: stated for name, (_, _, stated) in found.items()},
        "peak_bytes": {name: peak(run) for name, (run, _, _) in found.items() if name not in slow | {"torch"}},
    }


def timed(run: Callable[[], Any], least: float = 0.02) -> Callable[[], float]:
    """Milliseconds a pass, over enough passes to fill `least` seconds."""

    def once() -> float:
        passes, begun = 0, time.perf_counter()
        while not passes or time.perf_counter() - begun < least:
            run()
            passes += 1
        return 1000 * (time.perf_counter() - begun) / passes

    return once


def peak(run: Callable[[], Any]) -> int:
    """Bytes allocated at the peak of a pass, besides its output."""
    tracemalloc.start()
    y = run()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return max(0, most - y.nbytes)


def table(grows: str, rows: list[dict[str, Any]]) -> Table:
    names = ["loops", "im2col", "conv2d", "FFT", "Winograd", "torch"]
    cells = []
    for row in rows:
        k, side, c = row["case"]
        took = {name: count for name, count in row["operations"].items() if name != "torch"}  # it doesn't say
        at = {name: middle(ms) for name, ms in row["milliseconds"].items()}
        cells.append([f"{k}x{k}, {side}x{side}, {c} to {c}", *(f"{at[n]:.3g}" if n in at else "" for n in names)])
        cells.append(["   million operations", *(f"{took[n] / 1e6:,.1f}" if n in took else "" for n in names)])
        kept = row["peak_bytes"]
        cells.append(["   MB at the peak", *(f"{kept[n] / 1e6:.2f}" if n in kept else "" for n in names)])
    return Table(f"Milliseconds a pass (median), growing {grows}", ["", *names], cells)


def crossings(measured: dict[str, list[dict[str, Any]]]) -> list[str]:
    """From which size on one way is quicker than another, by the medians."""
    lines = []
    for grows, rows in measured.items():
        at = {"kernel": 0, "side": 1, "channels": 2}[grows]
        for one, other in (("FFT", "im2col"), ("Winograd", "im2col"), ("FFT", "torch"), ("Winograd", "torch")):
            both = [row for row in rows if {one, other} <= row["milliseconds"].keys()]
            wins = [middle(r["milliseconds"][one]) < middle(r["milliseconds"][other]) for r in both]
            if len(both) < 2:
                continue
            sizes = [row["case"][at] for row in both]
            first = next((i for i in range(len(wins)) if all(wins[i:])), None)
            said = "never in this range" if first is None else f"from {sizes[first]} on" if first else "throughout"
            if first is None and any(wins):
                said = f"only at {', '.join(str(s) for s, w in zip(sizes, wins, strict=True) if w)}"
            lines.append(f"growing {grows}: {one} is quicker than {other} {said}")
    return lines


def draw(measured: dict[str, list[dict[str, Any]]], where: dict[str, Any], out: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    about = {"milliseconds": "ms a pass", "operations": "operations", "peak_bytes": "bytes at the peak"}
    figure, axes = plt.subplots(len(about), len(measured), figsize=(10, 8), layout="constrained")
    for column, (grows, rows) in enumerate(measured.items()):
        at = {"kernel": 0, "side": 1, "channels": 2}[grows]
        for line, (what, label) in enumerate(about.items()):
            axis = axes[line][column]
            for name, colour in COLOURS.items():
                if (name, what) == ("torch", "operations"):  # it doesn't say what it does
                    continue
                points = [
                    (row["case"][at], middle(row[what][name]) if what == "milliseconds" else row[what][name])
                    for row in rows
                    if row[what].get(name)
                ]
                if points:
                    axis.plot(*zip(*points, strict=True), marker=".", color=colour, label=name)
            axis.set(xscale="log", yscale="log", xlabel=grows, ylabel=label)
            ticks = [row["case"][at] for row in rows]
            axis.set_xticks(ticks, [str(t) for t in ticks])
            axis.minorticks_off()
    figure.legend(*axes[0][1].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLOURS))
    figure.suptitle(f"{where['processor']}, {where['date']}, float32, one image", fontsize=9)
    figure.savefig(out, dpi=110)
    print(f"drawn to {out}")


if __name__ == "__main__":
    main()
