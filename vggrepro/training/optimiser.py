"""PAPER 3.1: stochastic gradient descent with momentum and weight decay, by torch's own fused kernel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


class SGD:
    """v = momentum v + gradient + weight_decay w;  w -= learning_rate v, for every weight w that moves.

    Torch's class imports its compiler, two seconds of every training; the function that the class calls does not.
    """

    def __init__(self, net: nn.Module, *, learning_rate: float, momentum: float, weight_decay: float) -> None:
        """Take the parameters of `net` that require gradients. Velocities begin at rest: without momentum there are none."""
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay
        self.weights = {name: weight for name, weight in net.named_parameters() if weight.requires_grad}
        self.velocities = {name: torch.zeros_like(weight) for name, weight in self.weights.items() if momentum}

    @torch.no_grad()
    def step(self) -> None:
        """Move every weight by its gradient."""
        weights: list[Tensor] = list(self.weights.values())
        gradients = [weight.grad for weight in weights]
        sgd(
            weights,
            gradients,  # type: ignore[arg-type]
            list(self.velocities.values()),
            fused=True,
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )

    def load_velocities(self, velocities: dict[str, Tensor]) -> None:
        """Go on with the velocities of a checkpoint. Raises KeyError where they are those of other weights."""
        if velocities.keys() != self.velocities.keys():
            raise KeyError(*sorted(velocities.keys() ^ self.velocities.keys()))
        for name, velocity in velocities.items():
            self.velocities[name].copy_(velocity)
