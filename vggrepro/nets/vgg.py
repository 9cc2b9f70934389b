"""The nets of Table 1, built from their lists of layers (section 2.1-2.3), and nets of the user's own."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vggrepro.core.instructions import instructions_in_force
from vggrepro.paper.nets import WINDOW, Conv, averages, blocks_of, scaled_width
from vggrepro.settings.blocks import NetSettings


def net_input(pixels: Tensor, shift: Tensor, out: Tensor | None = None) -> Tensor:
    """A net's input [B, 3, H, W], float32, channels-last: pixels [B, H, W, 3] plus a shift [B or 1, 3].

    Written into `out` [at least B, H, W, 3] if given, because on a CPU new memory costs more than the arithmetic.
    """
    count, height, width, _ = pixels.shape
    out = torch.empty(pixels.shape, device=pixels.device) if out is None else out[:count]
    # whole rows at a time, because inner loops over three colours are ten times slower on a CPU
    rows = out.view(count, height, 3 * width).copy_(pixels.view(count, height, 3 * width))
    rows += shift.repeat(1, width)[:, None]
    return out.permute(0, 3, 1, 2)


class LocalResponseNorm(nn.Module):
    """Krizhevsky's formula: b_i = a_i / (k + alpha * sum of a_j^2 over the n channels around i)^beta, for a [N, C, H, W].

    CHOICE 2: k = 2, n = 5, alpha = 1e-4, beta = 0.75. Alpha is not divided by n; torch's and Caffe's layers divide it.
    """

    k, n, alpha, beta = 2.0, 5, 1e-4, 0.75

    def forward(self, a: Tensor) -> Tensor:
        """The normalised activations [N, C, H, W]."""
        squares = F.pad(a * a, (0, 0, 0, 0, self.n // 2, self.n // 2))
        total = sum(squares[:, j : j + a.shape[1]] for j in range(self.n))
        return a * (self.k + self.alpha * total) ** -self.beta


class VGG(nn.Module):
    """A net of Table 1, for crops (`forward`) and for whole images (`scores`, `score_map`).

    Layers have the names of the released nets (conv1_1 ... conv5_4, fc6, fc7, fc8), so that "the first four convolutions of
    A" (section 3.1) have the names of the layers of B-E that they initialise.
    """

    def __init__(self, net: str, outputs: int, model: NetSettings) -> None:
        super().__init__()
        self.net, self.model = net, model
        self.features = nn.Sequential(OrderedDict(_feature_layers(net, model)))
        channels = [layer for layer in self.features if isinstance(layer, nn.Conv2d)][-1].out_channels
        self.averages = averages(model.layers)
        """Whether fc8 follows the mean over a 7x7 window of features, in a net of the user's own."""
        if not self.averages:
            self.fc6 = nn.Linear(channels * WINDOW * WINDOW, model.fc)
            self.fc7 = nn.Linear(model.fc, model.fc)
        self.fc8 = nn.Linear(channels if self.averages else model.fc, outputs)

    def forward(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Scores before the soft-max, or box vectors, [N, outputs] of crops [N, 3, 7u, 7u], where u is the scale unit.

        The mean is already subtracted. In training `kept` [N, 2, fc], from `dropout`, multiplies the first two FC layers.
        """
        if self.averages:
            averaged: Tensor = self.fc8(self.features(x).mean((2, 3)))
            return averaged
        x = F.relu(self.fc6_at_windows(self.features(x)))
        x = x if kept is None else x * kept[:, 0].to(x.dtype)
        x = F.relu(self.fc7(x))
        x = x if kept is None else x * kept[:, 1].to(x.dtype)
        scores: Tensor = self.fc8(x)
        return scores

    def fc6_at_windows(self, x: Tensor) -> Tensor:
        """fc6 at every 7x7 window of features [N, C, H, W]: [N (H - 6) (W - 6), fc]."""
        if x.shape[2:] == (7, 7):
            windows = x.flatten(1)
        elif instructions_in_force() == "avx2" and x.device.type == "cpu":
            # MKL's product that is the same on all CPUs is several times slower than a convolution
            kernel = self.fc6.weight.view(-1, x.shape[1], 7, 7)
            return F.conv2d(x, kernel, self.fc6.bias).permute(0, 2, 3, 1).reshape(-1, self.fc6.out_features)
        else:
            # a matrix product, which with wider instructions is several times as fast as a 7x7 convolution
            windows = x.contiguous().unfold(2, 7, 1).unfold(3, 7, 1).permute(0, 2, 3, 1, 4, 5)
        hidden: Tensor = self.fc6(windows.reshape(-1, self.fc6.in_features))
        return hidden

    def dropout(self, images: int, seed: int, device: torch.device) -> Tensor | None:
        """The factors [images, 2, fc] of the first two FC layers of a batch: 0, or 1/(1 - p); None without dropout.

        Drawn for the whole batch from the step's seed, so that an image loses the same units whichever process it falls to;
        and on the CPU, because every kind of GPU draws other numbers from a seed: anyone can repeat a step anywhere.
        """
        p = self.model.dropout
        if not p or self.averages:
            return None
        kept = torch.rand(images, 2, self.model.fc, generator=torch.Generator().manual_seed(seed)) >= p
        # a byte per unit is copied
        return kept.to(device) / (1 - p)

    def hidden_map(self, x: Tensor) -> Tensor:
        """The second FC layer's activations [N, H/u - 6, W/u - 6, fc] for whole images [N, 3, H, W], or the means of windows.

        PAPER 3.2: the first two FC layers become 7x7 and 1x1 convolutions. Raises ValueError for images smaller than the crop.
        """
        if min(x.shape[-2:]) < self.model.crop:
            raise ValueError(
                f"an image of {tuple(x.shape[-2:])} px is smaller than the net's input of {self.model.crop} px"
            )
        x = self.features(x)
        if self.averages:
            return F.avg_pool2d(x, WINDOW, 1).permute(0, 2, 3, 1)
        rows, columns = x.shape[2] - 6, x.shape[3] - 6
        x = F.relu(self.fc6_at_windows(x))
        return F.relu(self.fc7(x)).view(-1, rows, columns, self.model.fc)

    def score_map(self, x: Tensor) -> Tensor:
        """The map [N, outputs, H/u - 6, W/u - 6] of class scores, or of box vectors, for whole images [N, 3, H, W].

        Location (y, x) belongs to the window of the crop's size whose top-left corner is (u y, u x), because the strides
        multiply to u and every layer is padded evenly.
        """
        scores: Tensor = self.fc8(self.hidden_map(x))
        return scores.permute(0, 3, 1, 2)

    def scores(self, x: Tensor) -> Tensor:
        """The class score map averaged over space, [N, classes], for whole images [N, 3, H, W].

        Averaged before the last layer, which is exact because that layer is linear, and computes no map of 1000 classes.
        """
        scores: Tensor = self.fc8(self.hidden_map(x).mean((1, 2)))
        return scores


def _feature_layers(net: str, model: NetSettings) -> Iterator[tuple[str, nn.Module]]:
    """Names and modules of the convolutional part.

    CHOICE: a net with a scale unit below 32 px leaves out the last poolings, so that its crop of 7 units ends as 7x7, as in
    the paper.
    """
    poolings = model.scale_unit.bit_length() - 1
    channels = 3
    for b, block in enumerate(blocks_of(net, model.layers), start=1):
        i = lrns = 0
        for layer, following in zip(block, [*block[1:], ""], strict=True):
            if isinstance(layer, Conv):
                i += 1
                outputs = scaled_width(layer.channels, model.width)
                yield f"conv{b}_{i}", nn.Conv2d(channels, outputs, layer.size, padding=layer.size // 2)
                channels = outputs
            elif layer == "BN":
                yield f"bn{b}_{i}", nn.BatchNorm2d(channels)
            else:
                lrns += 1
                yield f"lrn{b}" if lrns == 1 else f"lrn{b}_{lrns}", LocalResponseNorm()
            if following != "BN" and layer != "LRN":
                yield f"relu{b}_{i}", nn.ReLU(inplace=True)
        if b <= poolings:
            yield f"pool{b}", nn.MaxPool2d(2, 2, ceil_mode=model.pooling == "ceil")


def full_size_net(net: str) -> VGG:
    """The paper's net for 1000 classes, with parameters that take no memory: for Tables 1 and 2."""
    with torch.device("meta"):
        return VGG(net, 1000, NetSettings())


def count_parameters(net: VGG) -> int:
    """Weights and biases of all layers."""
    return sum(parameter.numel() for parameter in net.parameters())
