"""`striate calc`: the arithmetic of layers, each answer with its formula and the numbers put in."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from striate.look.arithmetic import Answer

app = typer.Typer(
    no_args_is_help=True,
    help="Work out sizes, parameters, multiply-adds, receptive fields and memory, with the formula.",
)
Kernel = Annotated[int, typer.Option("--kernel", "-k", help="Taps of the window along an axis.")]
Stride = Annotated[int, typer.Option("--stride", "-s", help="Positions from one window to the next.")]
Dilation = Annotated[int, typer.Option("--dilation", "-d", help="Positions from one tap to the next.")]
Size = Annotated[int, typer.Option("--input", "-i", help="Positions along the axis.")]
Image = Annotated[str, typer.Option("--input", "-i", help="HEIGHTxWIDTHxCHANNELS, such as 224x224x3 or 224x3.")]
Layers = Annotated[
    list[str],
    typer.Argument(
        metavar="LAYER...",
        help="Such as conv3-64, conv7-64/2p3, conv3-64same, dwconv3p1, pool2, gap, fc-1000, 2xconv3-64p1.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable.")]


@app.command("output-size")
def output_size(
    size: Size,
    kernel: Kernel,
    stride: Stride = 1,
    padding: Annotated[
        str, typer.Option("--padding", "-p", help="Zeros on each side, BEFORE,AFTER, valid, same_keras or same_torch.")
    ] = "0",
    dilation: Dilation = 1,
    as_json: AsJson = False,
) -> None:
    """How many positions a window has along an axis, and what is lost where the stride does not divide."""
    from striate.look.arithmetic import output_size, padding_from

    _show(output_size(size, kernel, stride, padding_from(padding), dilation), as_json)


@app.command("padding")
def padding(
    kernel: Kernel,
    dilation: Dilation = 1,
    as_json: AsJson = False,
) -> None:
    """How many zeros keep the size, at stride 1."""
    from striate.look.arithmetic import same_padding

    _show(same_padding(kernel, dilation), as_json)


@app.command("padding-for")
def padding_for(
    out: Annotated[int, typer.Option("--output", "-o", help="Positions that are wanted.")],
    size: Size,
    kernel: Kernel,
    stride: Stride = 1,
    dilation: Dilation = 1,
    as_json: AsJson = False,
) -> None:
    """How many zeros give the wanted number of positions."""
    from striate.look.arithmetic import padding_for

    _show(padding_for(out, size, kernel, stride, dilation), as_json)


@app.command("parameters")
def parameters(layers: Layers, size: Image, as_json: AsJson = False) -> None:
    """Weights and biases, layer by layer."""
    from striate.look.arithmetic import parameters

    _show(parameters(layers, size), as_json)


@app.command("macs")
def macs(layers: Layers, size: Image, as_json: AsJson = False) -> None:
    """Multiply-adds for one image, layer by layer."""
    from striate.look.arithmetic import macs

    _show(macs(layers, size), as_json)


@app.command("receptive-field")
def receptive_field(layers: Layers, as_json: AsJson = False) -> None:
    """How many pixels a side one value of the last layer can depend on."""
    from striate.look.arithmetic import receptive_field

    _show(receptive_field(layers), as_json)


@app.command("memory")
def memory(
    layers: Layers,
    size: Image,
    bytes_each: Annotated[int, typer.Option("--bytes", help="Bytes a value: 4 for float32, 2 for bfloat16.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Memory of all values of one image, and of the parameters."""
    from striate.look.arithmetic import memory

    _show(memory(layers, size, bytes_each), as_json)


def _show(answer: "Answer", as_json: bool) -> None:
    typer.echo(json.dumps(answer.to_json(), indent=2, ensure_ascii=False) if as_json else str(answer))
