"""Every error that Striate raises on purpose, drawn as a tree.

    StriateError                    exit  HTTP
    ├── UsageError                     2   400   what was typed is wrong
    │   ├── RecipeError                2   400   a setting: its name, type or range
    │   ├── UnknownName                2   404   no model, data set, layer ... is called so
    │   └── ShapeError                 2   422   a tensor or an image size does not fit the network
    ├── EnvironmentFault               3   503   the machine: a disk, a missing extra, no network
    │   ├── MissingExtra               3   501   an optional package is not installed
    │   └── Offline                    3   503   a download was needed and not possible
    ├── DataError                      4   422   what was given to read is wrong
    │   ├── DatasetError               4   422   a set of images: no classes, splits that disagree ...
    │   ├── ImageError                 4   422   an image file that can't be decoded
    │   │   ├── UnsupportedImage       4   415   not one of the formats that are read
    │   │   └── ImageTooLarge          4   413   over a stated limit, refused before it is decoded
    │   └── ArtefactError              4   422   a run, checkpoint or weights file: damaged or of another kind
    ├── TrainingError                  4   500   the numbers went wrong: NaN, named by layer and step
    ├── Busy                           5   409   somebody else is writing there
    └── Interrupted              129/130/143 503   stopped by a signal after leaving a resumable run

The command line maps an error to its exit code in `striate.cli.main`, a server to its status; nobody else does.
Exit code 1 means a bug in Striate: an error that is not in this tree.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class StriateError(Exception):
    """Base of all. The message says what was given, where, what was expected and what to do."""

    exit_code = 4
    http_status = 500


class UsageError(StriateError):
    """What was typed is wrong: a flag, an argument, a combination of the two."""

    exit_code, http_status = 2, 400


class RecipeError(UsageError):
    """A setting has an unknown name, the wrong type, or a value out of range."""


class UnknownName(UsageError, LookupError):
    """Nothing of that kind is called so."""

    http_status = 404


class ShapeError(UsageError, ValueError):
    """A tensor or an image size that the operation or the network can't take."""

    http_status = 422


class EnvironmentFault(StriateError):
    """The machine is in the way: no space, no permission, no network, a missing package."""

    exit_code, http_status = 3, 503


class MissingExtra(EnvironmentFault, ImportError):
    """An optional package is needed and not installed."""

    http_status = 501


class Offline(EnvironmentFault):
    """A download was needed and could not be made."""


class DataError(StriateError):
    """What was given to read is wrong."""

    exit_code, http_status = 4, 422


class DatasetError(DataError):
    """A set of images can't be used as it is: no classes, splits that disagree, nothing readable."""


class ImageError(DataError):
    """An image file that can't be decoded; the message names the file."""


class UnsupportedImage(ImageError):
    """The bytes are not of a format that is read (JPEG, PNG, GIF, BMP, WebP)."""

    http_status = 415


class ImageTooLarge(ImageError):
    """Over a stated limit of size; refused before it is decoded."""

    http_status = 413


class ArtefactError(DataError):
    """A run folder, checkpoint or weights file is damaged, incomplete or of another kind."""


class TrainingError(StriateError):
    """Training can't go on: a loss, gradient or weight is not finite."""


class Busy(StriateError):
    """Another process holds the lock of what was to be written."""

    exit_code, http_status = 5, 409


class Interrupted(StriateError):
    """Stopped by a signal, after a resumable state was written."""

    http_status = 503

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number


def suggest(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """The half-sentence that offers the nearest right answer to a mistyped name.

    >>> suggest("resnet81", ["resnet18", "lenet5"])
    "; did you mean 'resnet18'?"
    """
    near = get_close_matches(name, list(known), n=3)
    if near:
        return "; did you mean " + " or ".join(repr(n) for n in near) + "?"
    return f"; {otherwise}" if otherwise else ""
