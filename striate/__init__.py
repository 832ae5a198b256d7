"""Striate: a glass-box workbench for image classification.

Names are imported when they are first used, so `import striate` does not load torch.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if "torch" not in sys.modules:
    # GNU OpenMP reads this once, when torch loads it. By default a thread that waits for another one keeps its core
    # for milliseconds; where something else wants that core, small steps become up to twenty times slower
    # (docs/decisions/0003-waiting-threads.md).
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # torch's C++ part would warn in every process of a training that it looks for unused parameters, as it has to
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")

if TYPE_CHECKING:
    from striate.data.preprocess import Preprocess as Preprocess
    from striate.data.sources import open_dataset as open_dataset
    from striate.evaluation.job import evaluate as evaluate
    from striate.look.by_hand.engine import by_hand as by_hand
    from striate.look.costs.summary import summary as summary
    from striate.look.report.report import report as report
    from striate.models.registry import create_model as create_model
    from striate.models.registry import list_models as list_models
    from striate.models.replace import replace_head as replace_head
    from striate.models.replace import replace_stem as replace_stem
    from striate.run.classifier import load as load
    from striate.training.job import train as train
    from striate.training.recipe import Recipe as Recipe

_HOME = {
    "Preprocess": "data.preprocess",
    "open_dataset": "data.sources",
    "evaluate": "evaluation.job",
    "by_hand": "look.by_hand.engine",
    "summary": "look.costs.summary",
    "report": "look.report.report",
    "create_model": "models.registry",
    "list_models": "models.registry",
    "replace_head": "models.replace",
    "replace_stem": "models.replace",
    "load": "run.classifier",
    "train": "training.job",
    "Recipe": "training.recipe",
}
__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'striate' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"striate.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
