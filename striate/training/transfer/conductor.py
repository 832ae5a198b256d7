"""What a training that starts from weights does between its epochs: freeze, unfreeze, cut, sign the receipt."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from striate.data.loader import Loader
from striate.errors import RecipeError
from striate.models.registry import entry
from striate.run.folder import ModelSpec
from striate.training.checkpoint import Progress
from striate.training.recipe import Recipe
from striate.training.resolve import Resolved
from striate.training.transfer import cached_features as cached
from striate.training.transfer.cached_features import FeatureLoader, Place, Shortcut, Tell
from striate.training.transfer.freezing import freeze, release
from striate.training.transfer.layer_rates import rate_factors
from striate.training.transfer.phases import Phase, describe, phase_at, phases
from striate.training.transfer.places import head_layers, norms_up_to, within
from striate.training.transfer.receipt import FILE, Receipt


class Conductor:
    """The phases of one network's training."""

    def __init__(self, module: nn.Module, spec: ModelSpec, recipe: Recipe, folder: Path) -> None:
        self.module, self.spec, self.recipe, self.folder = module, spec, recipe, folder
        self.heads = head_layers(spec.name, spec.arguments)
        self.phases: tuple[Phase, ...] = phases(module, recipe, entry(spec.name).head, self.heads)
        kept = recipe.weights and recipe.norms != "train"
        self.norms = norms_up_to(module, recipe.weights_to, self.heads) if kept else ()
        self._loaders: Sequence[FeatureLoader] = ()
        self._image: tuple[int, int, int] = (0, 0, 0)
        self._shortcut: Shortcut | None = None
        self._now: int | None = None

    @property
    def freezes(self) -> bool:
        """Whether anything is ever frozen."""
        return bool(self.norms) or any(phase.frozen for phase in self.phases)

    @property
    def cut(self) -> tuple[str, ...]:
        """Where the first phase can be cut."""
        return cached.cut_at(self.module, self.phases[0].frozen)

    def factors(self) -> dict[str, float]:
        """Parameter -> its rate in multiples of lr."""
        return rate_factors(self.module, self.heads, self.recipe.layer_decay, self.recipe.head_factor)

    def thaw(self) -> None:
        """Let all be trained that ever will be: the optimiser has to know it."""
        self._freeze(min(range(len(self.phases)), key=lambda i: len(self.phases[i].frozen)))

    def cache(
        self, train: Loader, val: Loader | None, place: Place, bf16: bool, tell: Tell
    ) -> tuple[Loader, Loader | None]:
        """Loaders of features in place of those of images, wherever a phase has something frozen.

        Those that are trained on are computed in the precision of the training, those of validation in float32, as
        without a cache.
        """
        pre = train.preprocess
        self._image = pre.channels, *pre.size
        first = FeatureLoader(train, self.module, place=place, bf16=bf16, tell=tell, trained_on=True)
        self._loaders = [first]
        if val is None:
            return first, None
        second = FeatureLoader(val, self.module, place=place, bf16=False, tell=tell, trained_on=False)
        self._loaders = [first, second]
        return first, second

    def set(self, phase: int) -> tuple[str, ...]:
        """Bring the network and the loaders into a phase; names of the tensors that are frozen in it."""
        if self._shortcut:
            self._shortcut.end()
            self._shortcut = None
        names = self._freeze(phase)
        if self._loaders:
            cut = cached.cut_at(self.module, self.phases[phase].frozen)
            for loader in self._loaders:
                loader.begin(cut)
            if cut:
                self._shortcut = Shortcut(self.module, cut, cached.feature_shape(self.module, cut, self._image))
        self._now = phase
        return names

    def enter(self, progress: Progress) -> None:
        """Before the batches of an epoch, or the rest of them after a resume.

        Raises: TrainingError where a tensor that is let go has changed while it was frozen.
        """
        phase = phase_at(self.phases, progress.epoch)
        begins = progress.epoch == self.phases[phase].begins and progress.batch == 0
        receipt = Receipt(progress.receipt)
        if begins and phase > 0:
            before = self._freeze(phase - 1)
            after = set(self._freeze(phase))
            receipt.let_go(self.module, [name for name in before if name not in after], progress.epoch)
            progress.factor, progress.plateau_best, progress.plateau_waited, progress.waited = 1.0, None, 0, 0
        if begins or phase != self._now:
            names = self.set(phase)
            if begins and phase == 0:
                receipt.hold(self.module, names)
        for loader in self._loaders:
            loader.prepare(progress.epoch)

    def sign(self, progress: Progress) -> str:
        """Compare what is frozen with what it was, write freeze.json, and say it in a sentence.

        Raises: TrainingError where a frozen tensor has changed.
        """
        if not self.freezes:
            return ""
        receipt = Receipt(progress.receipt)
        return receipt.check(self.module, self.folder / FILE, self.describe())

    def end(self) -> None:
        """Give the network back whole, with nothing frozen."""
        if self._shortcut:
            self._shortcut.end()
        release(self.module)

    def describe(self) -> str:
        """What is frozen when, in words."""
        assert isinstance(self.recipe.epochs, int)
        said = describe(self.phases, self.module, self.recipe.epochs)
        frozen = self.phases[-1].frozen
        more = [norm for norm in self.norms if not any(within(norm, step) for step in frozen)]
        return f"{said}; batch norms keep their statistics" if more else said

    def _freeze(self, phase: int) -> tuple[str, ...]:
        return freeze(self.module, self.phases[phase].frozen, self.heads, self.norms)


def transfers(recipe: Recipe) -> bool:
    """Whether anything is frozen, or has a rate of its own."""
    own_rates = (recipe.layer_decay, recipe.head_factor) != (1.0, 1.0)
    return own_rates or recipe.freeze != "none" or bool(recipe.unfreeze or recipe.weights)


def settled(
    resolved: Resolved, asked: Recipe, spec: ModelSpec, images: int, device: torch.device
) -> tuple[Resolved, str]:
    """With `features` decided for so many images on a device, and why; the names of steps are checked on the way.

    Raises: UnknownName, RecipeError as `phases`; RecipeError where features can't be cached and it was asked for.
    """
    if not transfers(resolved.recipe):
        if asked.features == "cached":
            raise RecipeError("features = 'cached': nothing is frozen, so nothing stays as it is; freeze='head' does")
        return resolved, ""
    recipe, module, pre = resolved.recipe, spec.build(), resolved.choice.preprocess
    conductor = Conductor(module, spec, recipe, Path())
    reason = cached.why_live(module, recipe, conductor.cut)
    if not reason:
        shape = cached.feature_shape(module, conductor.cut, (pre.channels, *pre.size))
        if not cached.fits(images, recipe.views, shape, device):
            reason = "they would take more than half of the free memory"
    if reason and asked.features == "cached":
        raise RecipeError(f"features = 'cached' can't be: {reason}")
    live = bool(reason) or asked.features == "live"
    why = reason or ("as asked for" if live else f"computed once, behind {conductor.cut[-1]}")
    return replace(resolved, recipe=recipe.model_copy(update={"features": "live" if live else "cached"})), why
