"""All that decides a fast training, but the network."""

from pydantic import BaseModel, ConfigDict, Field


class Way(BaseModel):
    """Settings of `striate.reproduce.fastest.training.train`, as they stand in a recipe's [way].

    Source:  Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", appendix A (the values for CIFAR-10).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str = Field(min_length=1)  # a name in striate.reproduce.fastest.networks.NETWORKS
    data: str = Field(min_length=1)  # a named data set that lies in memory
    epochs: float = Field(gt=0)  # over the training images; the last one may be broken off
    batch: int = Field(ge=1)
    lr: float = Field(gt=0)  # highest rate of the weights, for the mean loss of a batch
    bias_factor: float = Field(64.0, gt=0)  # rate of biases over that of weights
    momentum: float = Field(0.85, ge=0, lt=1)
    decay: float = Field(0.002, ge=0, lt=1)  # share of each weight that a step at the highest rate takes away
    smoothing: float = Field(0.2, ge=0, lt=1)  # of the labels
    begin: float = Field(0.2, ge=0, le=1)  # rate of the first step; the highest is 1
    peak: float = Field(0.23, gt=0, lt=1)  # where the highest is, as a share of the training
    end: float = Field(0.07, ge=0, le=1)  # rate of the last step
    first_until: float = Field(3.0, ge=0)  # epochs for which the bias of the fixed first filters is trained
    average_every: int = Field(5, ge=1)  # steps
    shift: int = Field(0, ge=0)  # pixels by which images are moved at most
    mirror: bool = False
    views: int = Field(1, ge=1, le=6)  # of each test image; 1, 2 or 6

    def rate(self, done: float) -> float:
        """The share of the highest rate after a share `done` of the training: up and down in straight lines."""
        if done < self.peak:
            return self.begin + (1 - self.begin) * done / self.peak
        return 1 - (1 - self.end) * (done - self.peak) / (1 - self.peak)
