"""Two ways to climb: the lectures', straight along the gradient of the pixels; and one along that of a spectrum.

Source:  the lectures' filter patterns (`Ascent`); Olah, Mordvintsev & Schubert, "Feature Visualization", Distill 2017,
doi:10.23915/distill.00007 (`Fourier`: a spectrum with decorrelated colours, small transformations); Mahendran &
Vedaldi 2014, arXiv:1412.0035, equation 5 (total variation).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from striate.errors import UsageError
from striate.look.filters.canvas import Canvas, draws
from striate.look.filters.objectives import Objective
from striate.look.filters.route import Route, awoken

Step = Callable[[], None]  # is called after each step of a batch

BETAS = 0.9, 0.999  # of Adam: Kingma & Ba 2014, arXiv:1412.6980, algorithm 1

# How red, green and blue go together in photographs: a column each, the principal directions of all pixels in 0..1
# times their standard deviations. NumPy's eigh of their covariance, over 1,000 photographs of 128 x 128 pixels, one of
# each ImageNet class, 2026-11-21.
COLOURS = (
    (0.2491, -0.0915, +0.0250),
    (0.2560, +0.0011, -0.0516),
    (0.2589, +0.0869, +0.0270),
)


@dataclass(frozen=True, eq=False)
class Climbed:
    """Images (N, c, H, W) of pixels in 0..255 that are not yet bounded, and how they came about."""

    pixels: Tensor
    before: Tensor  # (N,), of the objective, for the image that it began with
    after: Tensor
    flat: Tensor  # (N,) bool: there was no gradient to climb along
    weak: Tensor  # (N,) bool: the gradient was too small for whole steps
    linear: Tensor  # (N,) bool: the gradient was the same all the way, and is so elsewhere


@dataclass(frozen=True)
class Ascent:
    """As in the lectures: from a gray image with noise, whole steps along the gradient divided by its root mean square.

        x[0]   = 128 + 20 u,   u uniform in 0..1
        x[t+1] = x[t] + step · g / (sqrt(mean(g²)) + 1e-5)

    x in pixels of 0..255; g is the gradient in what the network is given. Shown with the mean at half and a standard
    deviation of 0.1, of 0..1.

    Differs: the mean is taken of each image, where the lectures have one image only.
    """

    steps: int = 40
    step: float = 1.0
    gray: float = 128.0
    noise: float = 20.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense.  Raises: UsageError."""
        _positive("steps", self.steps)

    def describe(self) -> str:
        return (
            f"gradient ascent as in the lectures: {self.steps} steps of {self.step:g} from gray with noise; "
            "contrast: deviation 0.1 in each"
        )

    def climb(self, way: Route, objectives: Sequence[Objective], canvas: Canvas, seed: int, tick: Step) -> Climbed:
        """A batch of objectives, an image each."""
        shape = (canvas.channels, *canvas.size)
        u = draws(seed, 0, "filter pattern", [one.key for one in objectives], shape)
        pixels = (self.gray + self.noise * u).to(way.place)
        before = first = g = None
        for _ in range(self.steps):
            value, g = way.gradient(canvas.normalise(pixels), objectives)
            if before is None:
                before, first = value, g
            pixels += self.step * g / (rms(g) + 1e-5)
            tick()
        assert before is not None
        assert first is not None
        assert g is not None
        flat = (g == 0).flatten(1).all(1)
        linear = ~flat & _same(g, first)
        if bool(linear.any()):  # it may have been few steps: an image of the opposite kind tells
            linear &= _same(way.gradient(canvas.normalise(255 - pixels), objectives)[1], first)
        weak = (rms(g) < 1e-6).flatten()  # beside the 1e-5 of the formula
        return Climbed(pixels, before, way.values(canvas.normalise(pixels), objectives), flat, weak, linear)

    def picture(self, pixels: Tensor) -> Tensor:
        """(N, c, H, W) -> uint8: mean 0 and standard deviation 0.1 in each image, plus 0.5, clipped to 0..1, times 255.

        >>> Ascent().picture(torch.tensor([0.0, 1.0]).view(1, 1, 1, 2)).flatten().tolist()
        [102, 152]
        """
        centred = pixels - pixels.mean((1, 2, 3), keepdim=True)
        scaled = 0.1 * centred / (centred.std((1, 2, 3), keepdim=True, correction=0) + 1e-5)
        return ((scaled + 0.5).clamp(0, 1) * 255).clamp(0, 255).to(torch.uint8)


@dataclass(frozen=True)
class Fourier:
    """A spectrum is climbed, in decorrelated colours, while the image is shaken, and total variation is held down.

        image = sigmoid(colours · inverse FFT(spectrum / frequency))

    Low frequencies and colours that go together in photographs are reached as easily as noise. Each step sees the image
    shifted, turned and scaled by other amounts, so what depends on the very pixels does not build up. The gradient of
    the objective is divided by its root mean square; that of the total variation counts `smooth` times as much as it.
    Adam takes the steps. The picture is the image itself: nothing is stretched afterwards. A filter behind a rectifier
    that is silent for the whole image has no gradient; until it speaks, what its rectifier is given is climbed.
    """

    steps: int = 96
    rate: float = 0.08  # of Adam, falling to zero in a straight line
    smooth: float = 0.05
    shift: float = 0.06  # at most, of the image's side; whole pixels
    turn: float = 8.0  # degrees, at most
    scale: float = 0.08  # larger or smaller by at most this share

    def __post_init__(self) -> None:
        """Refuse what makes no sense.  Raises: UsageError."""
        _positive("steps", self.steps)

    def describe(self) -> str:
        return f"spectrum with decorrelated colours, shaken, total variation held down: {self.steps} steps of Adam"

    def climb(self, way: Route, objectives: Sequence[Objective], canvas: Canvas, seed: int, tick: Step) -> Climbed:
        """A batch of objectives, an image each."""
        keys = [one.key for one in objectives]
        spectrum = self._start(keys, canvas, seed).to(way.place).requires_grad_()
        first, second = torch.zeros_like(spectrum), torch.zeros_like(spectrum)  # moments of the gradient
        with torch.no_grad():
            before = way.values(canvas.normalise(painted(spectrum, canvas)), objectives)
        moved = torch.zeros(len(keys), dtype=torch.bool, device=way.place)
        for i in range(self.steps):
            with torch.enable_grad():
                pixels = painted(spectrum, canvas)
                seen = canvas.normalise(self._shaken(pixels, draws(seed, i, "shaken", keys, (4,)).to(way.place)))
                rough = total_variation(pixels / 255)
            _, g = way.gradient(seen, objectives)
            g = awoken(way, seen, g, objectives)
            moved |= (g != 0).flatten(1).any(1)
            along = g / (rms(g) + 1e-12)
            across = torch.full_like(rough, -self.smooth)
            (up,) = torch.autograd.grad([seen, rough], [spectrum], [along, across])
            first.lerp_(up, 1 - BETAS[0])
            second.lerp_(up**2, 1 - BETAS[1])
            mean, square = first / (1 - BETAS[0] ** (i + 1)), second / (1 - BETAS[1] ** (i + 1))
            with torch.no_grad():  # Adam, here because torch's loads its compiler first: seconds
                spectrum += self.rate * (1 - i / self.steps) * mean / (square.sqrt() + 1e-8)
            tick()
        pixels = painted(spectrum, canvas).detach()
        after = way.values(canvas.normalise(pixels), objectives)
        never = torch.zeros_like(moved)
        return Climbed(pixels, before, after, ~moved, never, never)

    def picture(self, pixels: Tensor) -> Tensor:
        """(N, c, H, W) -> uint8, rounded."""
        return pixels.clamp(0, 255).round().to(torch.uint8)

    def _start(self, keys: list[str], canvas: Canvas, seed: int) -> Tensor:
        """Small normal noise (N, c, H, W // 2 + 1, 2)."""
        h, w = canvas.size
        u = draws(seed, 0, "spectrum", keys, (2, canvas.channels, h, w // 2 + 1))
        radius, angle = (-2 * torch.log1p(-u[:, 0])).sqrt(), 2 * torch.pi * u[:, 1]
        return 0.01 * torch.stack([radius * angle.cos(), radius * angle.sin()], -1)

    def _shaken(self, pixels: Tensor, u: Tensor) -> Tensor:
        """Each image turned, scaled and shifted by what its row of u (N, 4) says; what comes in is mirrored."""
        v = 2 * u - 1
        angle, scale = v[:, 0] * self.turn * torch.pi / 180, 1 + v[:, 1] * self.scale
        h, w = pixels.shape[2:]
        cos, sin = angle.cos() / scale, angle.sin() / scale
        rows = [
            torch.stack([cos, -sin * h / w, 2 * (self.shift * w * v[:, 2]).round() / w], 1),
            torch.stack([sin * w / h, cos, 2 * (self.shift * h * v[:, 3]).round() / h], 1),
        ]
        grid = functional.affine_grid(torch.stack(rows, 1), list(pixels.shape), align_corners=False)
        return functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def painted(spectrum: Tensor, canvas: Canvas) -> Tensor:
    """A spectrum (N, c, H, W // 2 + 1, 2) -> pixels (N, c, H, W) in 0..255."""
    h, w = canvas.size
    fy = torch.fft.fftfreq(h, device=spectrum.device)[:, None]
    fx = torch.fft.rfftfreq(w, device=spectrum.device)[None]
    frequency = (fy**2 + fx**2).sqrt().clamp_min(1 / max(h, w))
    scaled = torch.view_as_complex(spectrum) / frequency * (h * w) ** 0.5 / 4
    flat = torch.fft.irfft2(scaled, s=(h, w))
    if canvas.channels == 3:
        mix = flat.new_tensor(COLOURS[:: -1 if canvas.order == "bgr" else 1])
        flat = torch.einsum("ij,njhw->nihw", mix / mix.norm(dim=0).max(), flat)
    return 255 * torch.sigmoid(flat)


def total_variation(image: Tensor) -> Tensor:
    """(N, c, H, W) in 0..1 -> (N,): the lengths of the steps to the next pixels below and at the right, added up."""
    down = functional.pad(image.diff(dim=2), (0, 0, 0, 1))
    right = functional.pad(image.diff(dim=3), (0, 1))
    return (down**2 + right**2 + 1e-6).sqrt().sum((1, 2, 3))


def rms(g: Tensor) -> Tensor:
    """(N, c, H, W) -> (N, 1, 1, 1), the root of the mean square."""
    return (g**2).mean((1, 2, 3), keepdim=True).sqrt()


def _same(g: Tensor, first: Tensor) -> Tensor:
    """Gradients (N, c, H, W) -> (N,) bool."""
    return (rms(g - first) <= 1e-3 * rms(first)).flatten()


def _positive(name: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"{name} is {value}; expected a whole number from 1 on")
