"""CapsNet: groups of values that point, each group predicting the next ones, and routed to where predictions agree.

Sabour, Frosst & Hinton, "Dynamic Routing Between Capsules", 2017, arXiv:1710.09829, sections 2 to 4, procedure 1 and
figures 1 and 2. The length of a digit's capsule is the probability that the digit is there.
Differs: the model returns logits, log(p / (1 - p)) of these lengths p, so that sigmoid(logits) are the lengths;
`margin_loss` takes them. The capsules of digits have no bias (the authors' code has one of 160 numbers, the paper
none). A plain forward pass does not run the decoder: see `reconstruct` and `capsnet_loss`.
First weights: Glorot uniform and zero bias; W_ij normal, deviation 0.1.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.blocks.initial import glorot_uniform
from striate.blocks.misfit import Misfit
from striate.blocks.wiring import Chain
from striate.models.registry import Entry, register


def squash(s: Tensor) -> Tensor:
    """Shrink vectors along the last axis to a length below 1, and keep their direction.

    v = |s|² / (1 + |s|²) · s / |s|

    Source: eq. 1.

    >>> round(squash(torch.tensor([3.0, 4.0])).norm().item(), 4)  # 25/26
    0.9615
    """
    square = s.square().sum(-1, keepdim=True)
    return s * (square + 1e-12).sqrt() / (1 + square)


class PrimaryCapsules(nn.Module):
    """Cut maps into capsules.  (N, C·d, H, W) -> (N, C·H·W, d), each squashed"""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.d = d

    def forward(self, x: Tensor) -> Tensor:
        n, channels, h, w = x.shape
        maps = x.flatten(1).view(n, channels // self.d, self.d, h * w)
        return squash(maps.transpose(2, 3).reshape(n, -1, self.d))

    def extra_repr(self) -> str:
        return f"d={self.d}"


class DigitCapsules(nn.Module):
    """Every capsule predicts every digit's; the digits listen to those that agree.  (N, I, d_in) -> (N, J, d_out)

        û_j|i = W_ij u_i          c_i = softmax_j(b_i)          s_j = Σ_i c_ij û_j|i          v_j = squash(s_j)

    with b = 0 at first, and b_ij <- b_ij + û_j|i · v_j after each round but the last.

    Source: eq. 2 and 3, procedure 1.
    """

    def __init__(self, c_in: int, d_in: int, c_out: int, d_out: int, rounds: int = 3) -> None:
        super().__init__()
        self.in_features, self.out_features, self.rounds = c_in, c_out, rounds
        self.weight = nn.Parameter(torch.empty(c_in, c_out, d_out, d_in))
        nn.init.normal_(self.weight, 0.0, 0.1)

    def forward(self, u: Tensor) -> Tensor:
        if u.shape[1] != self.in_features:
            got = f"takes {self.in_features:,} capsules and got {u.shape[1]:,}"
            raise Misfit("weight", f"{got}: the image has another size than the network was built for", tuple(u.shape))
        predicted = torch.einsum("ijpq,niq->nijp", self.weight, u)
        b = torch.zeros_like(predicted[..., 0])
        v = self.agree(predicted, b)
        for _ in range(self.rounds - 1):
            b = b + (predicted * v[:, None]).sum(-1)
            v = self.agree(predicted, b)
        return v

    @staticmethod
    def agree(predicted: Tensor, b: Tensor) -> Tensor:
        """(N, I, J, d), (N, I, J) -> (N, J, d)"""
        return squash((b.softmax(-1)[..., None] * predicted).sum(1))

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}, rounds={self.rounds}"


class Presence(nn.Module):
    """log(p / (1 - p)) of the lengths p of capsules.  (N, J, d) -> (N, J)"""

    def forward(self, v: Tensor) -> Tensor:
        return torch.logit((v.square().sum(-1) + 1e-12).sqrt(), eps=1e-6)


class CapsNet(Chain):
    """(N, 1, 28, 28) -> (N, 10) logits; and a decoder from capsules to pixels, which forward does not run."""

    def __init__(self, num_classes: int, in_chans: int, input_size: tuple[int, int]) -> None:
        h, w = ((side - 8 - 9) // 2 + 1 for side in input_size)  # 6×6 for 28×28
        super().__init__(
            conv1=nn.Conv2d(in_chans, 256, 9), relu1=nn.ReLU(),
            conv2=nn.Conv2d(256, 32 * 8, 9, stride=2),
            primary_caps=PrimaryCapsules(8),
            digit_caps=DigitCapsules(32 * h * w, 8, num_classes, 16),
            lengths=Presence())  # fmt: skip
        self.image = (in_chans, *input_size)
        pixels = in_chans * input_size[0] * input_size[1]
        self.decoder = Chain(
            fc1=nn.Linear(16 * num_classes, 512), relu1=nn.ReLU(),
            fc2=nn.Linear(512, 1024),             relu2=nn.ReLU(),
            fc3=nn.Linear(1024, pixels),          sigmoid=nn.Sigmoid())  # fmt: skip

    def capsules(self, x: Tensor) -> Tensor:
        """The capsules of the digits: (N, C, H, W) -> (N, 10, 16)."""
        for name in self.order[:-1]:
            x = self._run(name, x)
        return x

    def reconstruct(self, capsules: Tensor, labels: Tensor | None = None) -> Tensor:
        """Draw from the capsules of these classes, or else of the longest: (N, 10, 16) -> (N, C, H, W) in 0..1.

        Source: section 4.1.
        """
        chosen = capsules.square().sum(-1).argmax(-1) if labels is None else labels
        mask = functional.one_hot(chosen, capsules.shape[1]).to(capsules)
        drawn: Tensor = self.decoder((capsules * mask[..., None]).flatten(1))
        return drawn.view(-1, *self.image)


def margin_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Σ_k T_k max(0, 0.9 - p_k)² + 0.5 (1 - T_k) max(0, p_k - 0.1)², the mean over images; p = sigmoid(logits).

    Source: eq. 4.

    >>> logits = torch.tensor([[0.7, 0.3]]).logit()
    >>> round(margin_loss(logits, torch.tensor([0])).item(), 4)  # 0.2² + 0.5 · 0.2²
    0.06
    """
    p, t = logits.sigmoid(), functional.one_hot(labels, logits.shape[1])
    return (t * (0.9 - p).relu().square() + 0.5 * (1 - t) * (p - 0.1).relu().square()).sum(1).mean()


def capsnet_loss(model: CapsNet, images: Tensor, labels: Tensor, targets: Tensor | None = None) -> Tensor:
    """Margin loss plus 0.0005 of the squared error, summed over pixels, of the images drawn from the right capsules.

    Targets are the images in 0..1 if `images` are normalised otherwise.

    Source: section 4.1.
    """
    capsules = model.capsules(images)
    drawn = model.reconstruct(capsules, labels)
    error = (drawn - (images if targets is None else targets)).square().flatten(1).sum(1).mean()
    return margin_loss(model._run("lengths", capsules), labels) + 0.0005 * error


def capsnet(num_classes: int, in_chans: int, input_size: tuple[int, int]) -> CapsNet:
    """(N, 1, 28, 28) -> (N, 10) logits; 8,215,568 parameters, 1,411,344 of them in the decoder."""
    return glorot_uniform(CapsNet(num_classes, in_chans, input_size))


register(Entry("capsnet_mnist", capsnet, year=2017, paper="arXiv:1710.09829",
    about="Vectors in place of values, routed to the capsules whose predictions agree.",
    input=(1, 28, 28), classes=10, head="digit_caps", stem="conv1", look="conv2",
    smallest=17, fixed_size=True))  # fmt: skip
