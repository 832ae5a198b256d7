"""The receipt of a freeze: the SHA-256 of every frozen tensor before training and after it.

    freeze.json   {"verified": true, "sentence": "...", "tensors": {"bn1.running_mean": {"before": ..., "after": ...}}}

It is written with every checkpoint. A tensor that is not what it was ends the training before anything is saved. Where
a part is unfrozen on the way, its tensors are compared when they are let go, and the receipt says in which epoch.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate import durable
from striate.errors import TrainingError

FILE = "freeze.json"


def digest(tensor: Tensor) -> str:
    """Of type, shape and values; the memory layout makes no difference.

    >>> digest(torch.zeros(2)) == digest(torch.zeros(2)), digest(torch.zeros(2)) == digest(torch.zeros(1, 2))
    (True, False)
    """
    plain = tensor.detach().cpu().contiguous()
    whole = hashlib.sha256(f"{plain.dtype}|{tuple(plain.shape)}|".encode())
    whole.update(plain.reshape(-1).view(torch.uint8).numpy().data if plain.numel() else b"")
    return whole.hexdigest()


def digests(module: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Of the named tensors of a network's state."""
    state = module.state_dict()
    return {name: digest(state[name]) for name in names}


class Receipt:
    """What is frozen, what it was before, and when it was let go. `content` is what a checkpoint keeps of it."""

    def __init__(self, content: dict[str, dict[str, Any]]) -> None:
        self.content = content  # tensor -> before; and, once it was let go, until (epoch) and after

    def hold(self, module: nn.Module, names: Iterable[str]) -> None:
        """From here on these tensors must not change."""
        for name, sha in digests(module, names).items():
            self.content.setdefault(name, {"before": sha})

    def let_go(self, module: nn.Module, names: Sequence[str], epoch: int) -> None:
        """These are trained from now on; `epoch` is the last in which they were frozen.

        Raises: TrainingError where one has changed before.
        """
        for name, sha in digests(module, names).items():
            self.content[name] |= {"after": sha, "until": epoch}
        self._complain([name for name in names if self.content[name]["before"] != self.content[name]["after"]])

    def check(self, module: nn.Module, path: Path, where: str) -> str:
        """Compare all that is frozen now with what it was, write the receipt, and say it in a sentence.

        Raises: TrainingError where a tensor has changed; the receipt then says which.
        """
        now = digests(module, [name for name, row in self.content.items() if "until" not in row])
        ordered = [name for name in module.state_dict() if name in self.content]
        rows = {}
        for name in ordered:
            row = self.content[name]
            rows[name] = {"before": row["before"], "after": row.get("after", now.get(name))}
            rows[name] |= {"until": row["until"]} if "until" in row else {}
        changed, said = self.changed(now), self.sentence(module, now)
        durable.write_json(
            path,
            {"frozen": where, "verified": not changed, "sentence": said, "changed": changed,
             "tensors": rows},
        )  # fmt: skip
        self._complain(changed)
        return said

    def changed(self, now: Mapping[str, str]) -> list[str]:
        """Names of the tensors that are not what they were."""
        return [n for n, row in self.content.items() if row["before"] != row.get("after", now.get(n, row["before"]))]

    def sentence(self, module: nn.Module, now: Mapping[str, str]) -> str:
        """What the receipt says, in one sentence; `now` are the digests of what is still frozen."""
        state = module.state_dict()
        values = sum(state[name].numel() for name in self.content)
        what = f"{len(self.content)} frozen tensors with {values:,} values, running statistics included"
        if changed := self.changed(now):
            return f"{what}: {len(changed)} of them changed: {', '.join(changed[:3])}"
        gone = [row["until"] for row in self.content.values() if "until" in row]
        when = ", ".join(map(str, sorted(set(gone))))
        until = f", until the training of {len(gone)} began (after epoch {when})" if gone else ""
        return f"{what}: every SHA-256 is the same as before training{until}"

    def _complain(self, changed: list[str]) -> None:
        if changed:
            more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
            raise TrainingError(
                f"frozen tensors have changed: {', '.join(changed[:3])}{more}. A frozen layer was put into training "
                "mode, or something else wrote to it; nothing was saved after that"
            )
