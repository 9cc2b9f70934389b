"""Slow, obvious versions of layers in `vggrepro.nets`."""

from __future__ import annotations

import torch
from torch import Tensor

from vggrepro.nets.vgg import VGG


def krizhevsky_lrn(a: Tensor) -> Tensor:
    """Section 3.3 of Krizhevsky et al. (2012), channel by channel."""
    k, n, alpha, beta = 2, 5, 1e-4, 0.75
    channels, b = a.shape[1], torch.empty_like(a)
    for i in range(channels):
        total = torch.zeros_like(a[:, i])
        for j in range(max(0, i - n // 2), min(channels - 1, i + n // 2) + 1):
            total += a[:, j] ** 2
        b[:, i] = a[:, i] / (k + alpha * total) ** beta
    return b


def slid_head(net: VGG, features: Tensor) -> Tensor:
    """The class score map: the fully connected layers at every 7x7 window of a feature map, one window at a time."""
    rows, columns = features.shape[2] - 6, features.shape[3] - 6
    scores = features.new_empty(len(features), net.fc8.out_features, rows, columns)
    for y in range(rows):
        for x in range(columns):
            cut = features[:, :, y : y + 7, x : x + 7].flatten(1)
            scores[:, :, y, x] = net.fc8(torch.relu(net.fc7(torch.relu(net.fc6(cut)))))
    return scores
