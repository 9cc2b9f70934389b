"""A batch that is computed in pieces has the gradients of the whole."""

from __future__ import annotations

import pytest
import torch

from tests.conftest import small
from tests.training.helpers import build, float64, losses, with_dropout
from vggrepro.nets.vgg import VGG
from vggrepro.paper.runs import Run
from vggrepro.training import gradients
from vggrepro.training.gradients import DropoutDraws, fit_into_memory
from vggrepro.training.processes import ALONE, ProcessGroup

pytestmark = pytest.mark.trains
EXACT = {"rel": 1e-5, "abs": 1e-5}
A = Run("A", "256")


@pytest.mark.parametrize("pieces", [2, 3, 20])
def test_gradients_of_pieces_add_up_to_those_of_the_batch(stores, pieces):
    settings = with_dropout(small())
    with float64():
        expected = losses(build(A, settings, stores), 12)
        training = build(A, settings, stores)
        training.gradients.pieces.count = pieces
        assert losses(training, 12) == pytest.approx(expected, **EXACT)


@pytest.fixture
def memory(monkeypatch):
    """How many images fit into memory: an entry that a test sets."""
    limit = {"images": 16}
    forward = VGG.forward

    def limited(net, images, kept=None):
        if len(images) > limit["images"]:
            raise torch.OutOfMemoryError
        return forward(net, images, kept)

    monkeypatch.setattr(VGG, "forward", limited)
    return limit


def test_what_does_not_fit_into_memory_is_computed_in_pieces(stores, memory, capsys):
    with float64():
        expected = losses(build(A, small(), stores), 5)
        memory["images"] = 5
        training = build(A, small(), stores)
        fit_into_memory(training.gradients.pieces, training.net, "fp32")
        assert training.gradients.pieces.count == 4
        assert "A_256_s0: 16 images at a time do not fit" in capsys.readouterr().err
        assert losses(training, 5) == pytest.approx(expected, **EXACT)


def test_a_memory_in_which_no_image_fits_is_refused(stores, memory):
    training = build(A, small(), stores)
    memory["images"] = 0
    with pytest.raises(ValueError, match="A_256_s0: not even one image at a time fits"):
        fit_into_memory(training.gradients.pieces, training.net, "fp32")
    with pytest.raises(torch.OutOfMemoryError):
        losses(training, 1)


def test_memory_that_runs_short_in_the_middle_only_makes_smaller_pieces(stores, monkeypatch, capsys):
    """Somebody else takes a part of the GPU's memory: in the backward pass of the third step, one image in four fits."""
    settings = with_dropout(small())
    with float64():
        expected = losses(build(A, settings, stores), 10)
    forward, backward = VGG.forward, torch.Tensor.backward
    limits, sizes = iter([16, 16] + [4] * 100), [0]

    def short(self, *arguments, **options):
        if sizes[-1] > next(limits):
            raise torch.OutOfMemoryError
        return backward(self, *arguments, **options)

    def noted(net, images, kept=None):
        sizes.append(len(images))
        return forward(net, images, kept)

    monkeypatch.setattr(VGG, "forward", noted)
    monkeypatch.setattr(torch.Tensor, "backward", short)
    with float64():
        assert losses(build(A, settings, stores), 10) == pytest.approx(expected, **EXACT)
    assert sizes[1:8] == [16, 16, 16, 8, 4, 4, 4]
    assert "8 images at a time do not fit into the GPU's memory" in capsys.readouterr().err


def test_of_several_processes_none_takes_more_pieces_than_the_others(stores, memory, monkeypatch):
    training = build(A, small(), stores)
    monkeypatch.setattr(training.gradients.pieces, "group", ProcessGroup(size=2))
    memory["images"] = 5
    with pytest.raises(torch.OutOfMemoryError):
        losses(training, 1)


@pytest.mark.parametrize(("batch", "processes", "count", "images"), [(16, 1, 1, 16), (16, 1, 5, 4), (79, 2, 3, 14)])
def test_the_most_images_of_a_piece(batch, processes, count, images):
    pieces = gradients.Pieces("A_256_s0", batch, ProcessGroup(size=processes), count)
    assert pieces.images == images


def test_pieces_do_not_become_more_than_images(capsys):
    pieces = gradients.Pieces("A_256_s0", 5, ALONE)
    counts = []
    while pieces.images > 1:
        pieces.increase()
        counts.append(pieces.count)
    assert counts == [2, 4, 5]
    assert capsys.readouterr().err.count("the batch stays 5") == 3


@pytest.mark.parametrize("first", [0, 7])
def test_what_dropout_leaves_out_is_the_same_where_it_is_drawn_ahead(stores, first):
    """Whatever the sizes of batches, and wherever a training goes on; no step has the draws of another."""
    net = build(A, with_dropout(small()), stores).net
    ahead, at_once = (DropoutDraws(net, 3, torch.device("cpu"), ahead=ahead) for ahead in (True, False))
    sizes = [(16, first), (16, first + 1), (4, first + 2), (16, first + 3)]
    drawn = [ahead(*size) for size in sizes]
    for kept, size in zip(drawn, sizes, strict=True):
        assert torch.equal(kept, at_once(*size))
    assert not torch.equal(drawn[0], drawn[1])
