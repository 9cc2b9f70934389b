"""A net made ready to be tested: the same function, laid out once for the arithmetic and the device at hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vggrepro.nets import VGG

TILES = 192
"""Tiles of 4x4 outputs that a Winograd convolution computes at a time: enough for a matrix product, little for the caches."""
WORTH = 64 * 128
"""Input times output channels from which the multiplications that it saves take longer than its transforms."""

# At the points 0, 1, -1, 1/2, -2 and infinity: rounding errors are those of a plain convolution. With the usual 2 in place
# of 1/2 they are three times as large.
_INPUT = torch.tensor(
    [
        [1, -1.5, -2, 1.5, 1, 0],
        [0, -1, 0.5, 2.5, 1, 0],
        [0, 1, -2.5, 0.5, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 0.5, -1, -0.5, 1, 0],
        [0, 1, -1.5, -2, 1.5, 1],
    ],
    dtype=torch.float64,
)
_FILTER = torch.tensor(
    [[15, 0, 0], [5, 5, 5], [-5, 5, -5], [-16, -8, -4], [1, -2, 4], [0, 0, 15]], dtype=torch.float64
) / 15  # fmt: skip
_OUTPUT = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 0.5, -2, 0], [0, 1, 1, 0.25, 4, 0], [0, 1, -1, 0.125, -8, 1]], dtype=torch.float64
)


class Winograd(nn.Module):
    """A 3x3 convolution of padding 1, by Winograd's minimal filtering F(4x4, 3x3): a quarter of the multiplications.

    Overlapping tiles of 6x6 inputs are transformed, multiplied with the transformed filters, and transformed back to 4x4
    outputs: three kinds of matrix products. Inputs in channels-last memory, float32, on a CPU, without gradients.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        assert convolution.bias is not None
        # along both sides of a tile at once
        filters, before, after = (torch.kron(m, m).float() for m in (_FILTER, _INPUT, _OUTPUT))
        weight = convolution.weight.detach().permute(2, 3, 1, 0)
        self.filters = (filters @ weight.reshape(9, -1)).view(36, *weight.shape[2:])
        self.before, self.after, self.bias = before, after, convolution.bias.detach()

    def forward(self, x: Tensor) -> Tensor:
        """[N, K, H, W] of [N, C, H, W]."""
        down, across = -(-x.shape[2] // 4), -(-x.shape[3] // 4)
        images, rows = max(1, TILES // (down * across)), min(down, max(1, TILES // across))
        out = x.new_empty(len(x), down, 4, across, 4, len(self.bias))
        for first in range(0, len(x), images):
            some = x[first : first + images].permute(0, 2, 3, 1)
            padded = F.pad(some, (0, 0, 1, 4 * across + 1 - x.shape[3], 1, 4 * down + 1 - x.shape[2]))
            for row in range(0, down, rows):
                strip = padded[:, 4 * row : 4 * min(row + rows, down) + 2]
                self._tiles(strip, out[first : first + images, row : row + rows])
        # tiles reach over the right and lower edge
        return out.flatten(3, 4).flatten(1, 2)[:, : x.shape[2], : x.shape[3]].permute(0, 3, 1, 2)

    def _tiles(self, strip: Tensor, out: Tensor) -> None:
        """Outputs [N, R, 4, T, 4, K] of rows [N, 4R + 2, 4T + 2, C] of tiles."""
        tiles = strip.unfold(1, 6, 4).unfold(2, 6, 4).permute(0, 1, 2, 4, 5, 3)
        count = tiles.shape[:3].numel()
        # a product for each tile, in place of a flat one for all, is shared out over threads
        seen = torch.bmm(self.before.expand(count, -1, -1), tiles.reshape(count, 36, -1))
        products = torch.bmm(seen.transpose(0, 1), self.filters)
        found = torch.bmm(self.after.expand(count, -1, -1), products.transpose(0, 1))
        torch.add(found.view(*tiles.shape[:3], 4, 4, -1).transpose(2, 3), self.bias, out=out)


def ready(net: VGG, precision: str) -> VGG:
    """The net for inference: the same outputs, within rounding. Weights in fp32 are shared with `net`, not copied.

    In bf16 its weights are converted now, not at every call. In fp32 on a CPU, 3x3 convolutions of many channels are
    Winograd's; a GPU's library chooses by itself.
    """
    device = net.fc8.weight.device
    with torch.device("meta"):
        made = VGG(net.net, net.fc8.out_features, net.model)
    made.load_state_dict({name: value.detach() for name, value in net.state_dict().items()}, assign=True)
    made.eval().requires_grad_(False)
    if precision == "bf16":
        made.to(torch.bfloat16)
    made.to(memory_format=torch.channels_last)
    if device.type == "cpu" and precision == "fp32":
        for name, layer in made.features.named_children():
            if isinstance(layer, nn.Conv2d) and _worth(layer):
                made.features.set_submodule(name, Winograd(layer))
    # who watches the net (`witness`) watches what stands in for it
    made.features._forward_hooks = net.features._forward_hooks
    return made


def _worth(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == (3, 3) and layer.in_channels * layer.out_channels >= WORTH
