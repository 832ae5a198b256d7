"""Seconds for the filter patterns of layers of VGG16, 40 steps at 150 x 150 pixels: one filter at a time, and together.

One at a time is what the lectures do, in plain PyTorch: the network up to the layer, for each filter a loop of forward
pass, gradient in the image alone, and a step taken in NumPy. Both begin with the same noise; the pictures are compared.

    python benchmarks/filters.py --json benchmarks/results/filters.json

The weights are random, for speed does not depend on them, unless --weights names a file.
"""

import json
import sys
import time

import numpy as np
from measure import Table, arguments, fresh, middle, place, ratios, report, take_turns

LAYERS = {  # of the zoo's vgg16, with the rectifier, as Keras counts it: (name in the lectures, filters)
    "features.1": ("block1_conv1", 64),
    "features.3": ("block1_conv2", 64),
    "features.11": ("block3_conv1", 4),  # of 256: the cost of one does not depend on the number
}
STEPS, SIDE = 40, 150


def network(weights: str | None):
    import torch

    from striate.models.registry import create_model

    torch.manual_seed(0)
    return create_model("vgg16", weights=weights).eval()


def started(layer: str, n: int, canvas) -> np.ndarray:
    """The noise that both begin with, (n, 3, H, W)."""
    from striate.look.filters.canvas import draws
    from striate.look.filters.objectives import Channel

    keys = [Channel(layer, c).key for c in range(n)]
    return 128 + 20 * draws(0, 0, "filter pattern", keys, (3, *canvas.size)).numpy()


def one_at_a_time(layer: str, n: int, weights: str | None) -> dict:
    import torch

    from striate.look.filters.canvas import Canvas

    canvas = Canvas((SIDE, SIDE))
    start = started(layer, n, canvas)
    model = network(weights)
    part = torch.nn.Sequential(*list(model.features.children())[: int(layer.split(".")[1]) + 1])

    def pattern(index: int) -> np.ndarray:
        x = start[index : index + 1].copy()
        for _ in range(STEPS):
            leaf = canvas.normalise(torch.from_numpy(x)).requires_grad_()
            loss = part(leaf)[:, index].mean()
            (g,) = torch.autograd.grad(loss, leaf)
            g = g / (torch.sqrt(torch.mean(torch.square(g))) + 1e-5)
            x += g.numpy()
        x -= x.mean()
        x /= x.std() + 1e-5
        return (np.clip(x * 0.1 + 0.5, 0, 1) * 255).astype("uint8")[0].transpose(1, 2, 0)

    pattern(0)
    begun, worked = time.perf_counter(), time.process_time()
    images = np.stack([pattern(c) for c in range(n)])
    return taken(begun, worked) | {"picture": images[:, ::5, ::5].tolist()}


def together(layer: str, n: int, weights: str | None) -> dict:
    from striate.look.filters.ascent import Ascent
    from striate.look.filters.canvas import Canvas
    from striate.look.filters.objectives import Channel
    from striate.look.filters.patterns import patterns
    from striate.run.buffers import keep_big_buffers

    keep_big_buffers()  # as the command does
    canvas, model = Canvas((SIDE, SIDE)), network(weights)
    wanted = [Channel(layer, c) for c in range(n)]
    patterns(model, wanted[:1], canvas, Ascent(STEPS))
    begun, worked = time.perf_counter(), time.process_time()
    found = patterns(model, wanted, canvas, Ascent(STEPS))
    return taken(begun, worked) | {"picture": found.images[:, ::5, ::5].tolist()}


def taken(begun: float, worked: float) -> dict:
    """Seconds on the clock, and of the processors: these hardly change where others use the machine."""
    return {"seconds": time.perf_counter() - begun, "processor": time.process_time() - worked}


def main() -> None:
    parser = arguments(__doc__, rounds=3)
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--threads", type=int, help="for both; by default what torch takes")
    parser.add_argument("--weights", help="a file of VGG16's weights")
    parser.add_argument("--do", nargs=3, metavar=("WHO", "LAYER", "N"), help="one turn, in this process")
    options = parser.parse_args()
    if options.do:
        import torch

        if options.threads:
            torch.set_num_threads(options.threads)
        who, layer, n = options.do
        found = (together if who == "together" else one_at_a_time)(layer, int(n), options.weights)
        print(json.dumps(found | {"threads": torch.get_num_threads()}))
        return
    where = place("striate", "torch", "numpy")
    extra = [*(["--threads", str(options.threads)] if options.threads else []),
             *(["--weights", options.weights] if options.weights else [])]  # fmt: skip
    rows, measured = [], {}
    for layer in options.layers:
        called, n = LAYERS[layer]

        def turn(who: str, layer: str = layer, n: int = n) -> dict:
            return fresh([sys.executable, __file__, *extra, "--do", who, layer, n])

        answers = take_turns({"one at a time": lambda t=turn: t("one"), "together": lambda t=turn: t("together")},
                             options.rounds)  # fmt: skip
        one, both = ([answer["seconds"] for answer in answers[who]] for who in ("one at a time", "together"))
        faster = ratios(one, both)
        worked = [[answer["processor"] for answer in answers[who]] for who in ("one at a time", "together")]
        apart = max(
            int(np.abs(np.array(a["picture"]) - np.array(b["picture"])).max())
            for a, b in zip(*answers.values(), strict=True)
        )
        measured[layer] = {
            "layer": called, "filters": n, "threads": answers["together"][0]["threads"], "one_at_a_time_s": one,
            "together_s": both, "times_faster": faster,
            "one_at_a_time_processor_s": worked[0], "together_processor_s": worked[1],
            "times_less_processor": ratios(*worked), "largest_difference_of_255": apart,
        }  # fmt: skip
        rows.append([
            f"{called} ({layer})", str(n), f"{middle(one):.2f}", f"{middle(both):.2f}",
            f"{middle(faster):.1f} ({min(faster):.1f} to {max(faster):.1f})",
            f"{middle(ratios(*worked)):.1f}", str(apart),
        ])  # fmt: skip
    heading = f"Filter patterns, {STEPS} steps at {SIDE} x {SIDE} pixels, float32"
    columns = [
        "layer of VGG16",
        "filters",
        "one at a time, s",
        "together, s",
        "times faster",
        "less processor time",
        "difference of 255",
    ]
    report(options, where, [Table(heading, columns, rows)], measured)


if __name__ == "__main__":
    main()
