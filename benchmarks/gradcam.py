"""What a Grad-CAM costs, in units of one forward and backward pass of the network.

One photograph-sized image, the predicted class, random weights (no value changes the time). The unit is what a user
writes: `model(x)[0, k].backward()`. Beside Striate: the recipe with two hooks that is passed around, and Captum's
LayerGradCam where it is installed. They take turns, in one process, many times; a ratio is formed inside each turn.
"""

import time
from collections.abc import Callable
from importlib.util import find_spec

import torch
from measure import Table, arguments, middle, place, ratios, report, take_turns
from torch import Tensor, nn

import striate
from striate.look.explain.gradcam import gradcam
from striate.models.registry import entry
from striate.run.buffers import keep_big_buffers

NETWORKS = ("mobilenet_v2", "resnet50", "vgg16", "densenet121")
UNIT, HOOKS, CAPTUM = "forward and backward", "two hooks", "Captum LayerGradCam"
OURS, SEARCHED = "Striate", "Striate, layer not given"


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], rounds=15)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    options = parser.parse_args()
    where = place("torch", "captum", "striate")
    keep_big_buffers()  # for all of them
    measured, rows = {}, []
    for name in options.networks:
        calls = contenders(name)
        for call in calls.values():
            call()
        seconds = take_turns({who: clock(call) for who, call in calls.items()}, options.rounds)
        measured[name] = seconds
        for who, times in seconds.items():
            gain = ratios(times, seconds[UNIT])
            spread = f"{min(gain):.2f} to {max(gain):.2f}"
            rows.append([name if who == UNIT else "", who, f"{middle(times) * 1e3:.0f}", f"{middle(gain):.2f}", spread])
    columns = ["network", "", "ms", "x forward and backward", "rounds"]
    report(options, where, [Table("Grad-CAM of one image of 224 x 224", columns, rows)], measured)


def contenders(name: str) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    model = striate.create_model(name).eval()
    c, h, w = entry(name).input
    x, layer = torch.randn(1, c, h, w), entry(name).look

    def unit() -> None:
        model.zero_grad(set_to_none=True)
        z = model(x)
        z[0, int(z[0].argmax())].backward()

    def ours() -> object:
        return gradcam(model, x, 1000, layer=layer)

    def searched() -> object:
        return gradcam(model, x, 1000)

    found: dict[str, Callable[[], object]] = {
        UNIT: unit,
        HOOKS: lambda: by_hooks(model, model.get_submodule(layer), x),
        OURS: ours,
        SEARCHED: searched,
    }
    if find_spec("captum"):
        from captum.attr import LayerGradCam

        theirs = LayerGradCam(model, model.get_submodule(layer))

        def captum() -> object:
            with torch.no_grad():
                target = int(model(x)[0].argmax())
            return theirs.attribute(x, target=target, relu_attributions=True)

        found[CAPTUM] = captum
    return found


def by_hooks(model: nn.Module, layer: nn.Module, x: Tensor) -> Tensor:
    kept: dict[str, Tensor] = {}
    forth = layer.register_forward_hook(lambda _, __, y: kept.__setitem__("a", y))
    back = layer.register_full_backward_hook(lambda _, __, g: kept.__setitem__("g", g[0]))
    try:
        model.zero_grad(set_to_none=True)
        z = model(x)
        z[0, int(z[0].argmax())].backward()
    finally:
        forth.remove()
        back.remove()
    return (kept["g"].mean((2, 3), keepdim=True) * kept["a"]).sum(1).relu()


def clock(call: Callable[[], object]) -> Callable[[], float]:
    def timed() -> float:
        begun = time.perf_counter()
        call()
        return time.perf_counter() - begun

    return timed


if __name__ == "__main__":
    main()
