"""The command line: each command parses, makes one call into the library, shows the answer.

The one place that maps an error to an exit code and a line on standard error.
"""

import errno
import functools
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer

from striate.cli.bench import bench_train
from striate.cli.calc import app as calc_app
from striate.cli.data import app as data_app
from striate.cli.demo import demo
from striate.cli.doctor import doctor
from striate.cli.evaluate import evaluate
from striate.cli.launch import command_line, speaks
from striate.cli.look_activations import look_activations
from striate.cli.look_augment import look_augment
from striate.cli.look_cam import look_attribution, look_cam
from striate.cli.look_diagram import look_diagram
from striate.cli.look_excite import look_field, look_top
from striate.cli.look_filters import look_filters, look_patterns
from striate.cli.look_sets import look_embedding, look_pairs, look_probes
from striate.cli.look_unit import look_unit
from striate.cli.models import compare, models, summary
from striate.cli.predict import predict
from striate.cli.report import report
from striate.cli.reproduce import reproduce
from striate.cli.train import train
from striate.cli.transferability import transferability
from striate.cli.weights import weights
from striate.errors import Interrupted, StriateError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A glass-box workbench for image classification with convolutional networks.",
    epilog="Begin with `striate demo`, or `striate doctor FOLDER` on images of your own.",
)
look = typer.Typer(no_args_is_help=True, help="See what the network sees.")
bench = typer.Typer(no_args_is_help=True, help="Measure this machine at work.")


def _version(asked: bool) -> None:
    if asked:
        from striate import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that hold for every command."""


def _guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """Ctrl-C ends a command with the exit code that shells expect, and a reader who has seen enough ends it quietly."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            raise Interrupted("stopped", signal.SIGINT) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit from None

    return run


_COMMANDS: dict[str, Callable[..., Any]] = {
    "demo": demo, "doctor": doctor, "train": train, "evaluate": evaluate, "predict": predict,
    "report": report, "models": models, "summary": summary, "compare": compare, "weights": weights,
    "transferability": transferability,
    "reproduce": reproduce,
}  # fmt: skip
for name, command in _COMMANDS.items():
    app.command(name)(_guarded(command))
_LOOKS: dict[str, Callable[..., Any]] = {
    "augment": look_augment, "unit": look_unit, "diagram": look_diagram, "cam": look_cam,
    "attribution": look_attribution, "top": look_top, "field": look_field,
    "embedding": look_embedding, "pairs": look_pairs, "probes": look_probes,
    "filters": look_filters, "patterns": look_patterns, "activations": look_activations,
}  # fmt: skip
for name, command in _LOOKS.items():
    look.command(name)(_guarded(command))
bench.command("train")(_guarded(bench_train))
app.add_typer(look, name="look")
app.add_typer(bench, name="bench")
app.add_typer(data_app, name="data")
app.add_typer(calc_app, name="calc")


def main(arguments: list[str] | None = None) -> None:
    """Run a command. A user's mistake ends in one clear line and the exit code of its error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    plain = words[: words.index("--")] if "--" in words else words
    debug = "--debug" in plain
    if debug:  # it may stand anywhere
        words.remove("--debug")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that is not UTF-8 is shown escaped, not refused
            stream.reconfigure(errors="backslashreplace")
    try:
        with command_line([*(["--debug"] if debug else []), *words]):
            app(words)
    except Exception as error:  # noqa: BLE001 (the one place where all errors end)
        message, code = explain(error)
        if debug:
            traceback.print_exception(error)
        if speaks(error):
            print(f"striate: {message}", file=sys.stderr)
        sys.exit(code)


def explain(error: Exception) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    match error:
        case StriateError():
            return str(error), error.exit_code
        case MemoryError():
            return "out of memory; a smaller batch (--set batch=16) or image (--set size=96) needs less", 3
        case OSError(errno=int(number)):
            return f"{error.filename or 'a file'}: {os.strerror(number)} ({errno.errorcode.get(number, number)})", 3
        case _:
            return f"a bug in Striate: {type(error).__name__}: {error}\nPlease report it with what --debug shows", 1
