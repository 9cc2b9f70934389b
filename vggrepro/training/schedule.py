"""The learning rate: when it drops, and when training ends (section 3.1). No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from vggrepro.settings.blocks import TrainSettings


@dataclass
class Schedule:
    """PAPER 3.1: the rate is divided by 10 when validation accuracy stops improving, at most three times.

    CHOICE 16: however often that is, training lasts all epochs. With `drop_epochs` the drops are fixed, and validation images
    steer nothing.
    """

    settings: TrainSettings
    drops: list[int] = field(default_factory=list)
    """Epochs after which the rate dropped."""
    best: float = -1.0
    """The best validation accuracy so far."""
    waited: int = 0
    """Epochs since then, or since the last drop."""
    finished: bool = False

    @property
    def learning_rate(self) -> float:
        """The rate of the epoch to come."""
        return self.settings.learning_rate * 0.1 ** len(self.drops)

    def after(self, epoch: int, accuracy: float) -> None:
        """Move on by the validation accuracy after an epoch (counted from 1)."""
        fixed = self.settings.drop_epochs
        if accuracy > self.best:
            self.best, self.waited = accuracy, 0
        else:
            self.waited += 1
        self.finished = epoch >= self.settings.epochs
        stopped_improving = self.waited >= self.settings.patience and len(self.drops) < self.settings.drops
        if not self.finished and (stopped_improving if fixed is None else epoch in fixed):
            self.drops.append(epoch)
            self.waited = 0

    def as_json(self) -> dict[str, Any]:
        """All but the settings."""
        return {name: value for name, value in vars(self).items() if name != "settings"}
