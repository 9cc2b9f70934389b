"""Images on which two systems differ: all are counted, some are shown, and other images are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vggrepro.data.store import Store
from vggrepro.diagnosis import flips
from vggrepro.external.imported import import_scores
from vggrepro.paper.systems import Imported, parse_system
from vggrepro.paper.tables import SHALLOW_AND_DEEP, published_table
from vggrepro.report.figures.flips import draw_flips
from vggrepro.scores.stores import write_scores

PAIR = SHALLOW_AND_DEEP


@pytest.fixture(scope="module")
def posteriors(stores) -> dict[str, np.ndarray]:
    """Random posteriors of two nets, each right on about half of the images."""
    val, rng = Store(stores[1]), np.random.default_rng(0)
    posteriors = {run: rng.random((len(val), val.classes)) for run in ("A_256_s0", "E_256_s0")}
    for values in posteriors.values():
        values[np.arange(len(val)), val.labels] += 2 * (rng.random(len(val)) < 0.5)
        values /= values.sum(1, keepdims=True)
    return posteriors


def write_all_scores(folder: Path, val: Store, posteriors: dict[str, np.ndarray], data: str) -> Path:
    for run, values in posteriors.items():
        write_scores(
            folder / run / "dense" / "256", values.astype(np.float32), val.labels, list(val.ids), {"data": data}
        )
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory, stores, posteriors) -> Path:
    root, val = tmp_path_factory.mktemp("flips"), Store(stores[1])
    scores = write_all_scores(root / "scores", val, posteriors, val.digest)
    flips.write_flips(PAIR, protocol="dense", seed=0, scores_folder=scores, val_folder=stores[1], out=root / "flips")
    return root / "flips"


def test_every_image_is_counted_once(folder, stores, posteriors):
    comparison, labels = flips.read_flips(folder), Store(stores[1]).labels
    first, second = (values.argmax(1) == labels for values in posteriors.values())
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    counts = (comparison.both_right, comparison.both_wrong, comparison.mended, comparison.broken)
    assert counts == tuple(pairs.count(p) for p in [(True, True), (False, False), (False, True), (True, False)])
    assert comparison.points == pytest.approx(100 * (comparison.broken - comparison.mended) / comparison.images)
    assert comparison.interval[0] < comparison.points < comparison.interval[1]


def test_the_images_shown_are_flips(folder, stores, posteriors):
    comparison, val = flips.read_flips(folder), Store(stores[1])
    words, wnids = val.about["words"], val.about["wnids"]
    for kind, right in (("mended", 1), ("broken", 0)):
        assert len({flip.id for flip in comparison.shown[kind]}) == flips.FLIPS_SHOWN
        for flip in comparison.shown[kind]:
            i = val.ids.index(flip.id)
            assert flip.true == words[wnids[val.labels[i]]] == flip.answers[right] != flip.answers[1 - right]
            assert list(flip.answers) == [words[wnids[values[i].argmax()]] for values in posteriors.values()]
            assert Image.open(folder / flip.picture).size == (64, 64)


def test_scores_of_other_images_are_refused(tmp_path, stores, posteriors):
    scores = write_all_scores(tmp_path / "scores", Store(stores[1]), posteriors, "another digest")
    with pytest.raises(ValueError, match="scores of other images than those in"):
        flips.write_flips(
            PAIR, protocol="dense", seed=0, scores_folder=scores, val_folder=stores[1], out=tmp_path / "flips"
        )
    assert not (tmp_path / "flips").exists()


def test_the_figure_has_both_kinds_and_their_pictures(folder, tmp_path):
    figure, comparison = draw_flips(folder, tmp_path), flips.read_flips(folder)
    assert f"A/256/256 wrong, E/256/256 right: {comparison.mended} images" in figure.svg
    assert f"A/256/256 right, E/256/256 wrong: {comparison.broken} images" in figure.svg
    assert figure.svg.count("data:image/jpeg;base64,") == 2 * flips.FLIPS_SHOWN
    assert "image/png" not in figure.svg


def test_two_equal_systems_differ_on_no_image(tmp_path, stores, posteriors):
    val, same = Store(stores[1]), dict.fromkeys(posteriors, posteriors["A_256_s0"])
    scores = write_all_scores(tmp_path / "scores", val, same, val.digest)
    flips.write_flips(
        PAIR, protocol="dense", seed=0, scores_folder=scores, val_folder=stores[1], out=tmp_path / "flips"
    )
    comparison = flips.read_flips(tmp_path / "flips")
    assert (comparison.mended, comparison.broken, comparison.shown) == (0, 0, {"mended": [], "broken": []})
    assert draw_flips(tmp_path / "flips", tmp_path).svg.count("image/jpeg") == 0


def test_the_pair_of_the_report_are_rows_of_the_paper():
    systems = [row.system for row in published_table("3").rows]
    assert all(parse_system(name, "dense") in systems for name in PAIR)


def import_system(root: Path, name: str, file: Path, val: Path) -> None:
    import_scores(file, name=name, out=root / "scores" / Imported(name).path, val=val, order="folders")


def test_imported_systems_are_compared_by_their_names(tmp_path, stores, posteriors):
    """With ours and with each other, whether they are posteriors or lists of labels."""
    val, second = Store(stores[1]), posteriors["E_256_s0"]
    write_all_scores(tmp_path / "scores", val, posteriors, val.digest)
    np.save(tmp_path / "p.npy", second)
    np.save(tmp_path / "l.npy", np.argsort(-second, 1)[:, :5])
    import_system(tmp_path, "Their net", tmp_path / "p.npy", stores[1])
    import_system(tmp_path, "Their labels", tmp_path / "l.npy", stores[1])

    def compared(*names: str) -> flips.FlipsComparison:
        flips.write_flips(
            names, protocol="dense", seed=0, scores_folder=tmp_path / "scores", val_folder=stores[1], out=tmp_path / "f"
        )
        return flips.read_flips(tmp_path / "f")

    ours = compared(*PAIR)
    for name in ("Their net", "Their labels"):
        theirs = compared(PAIR[0], name)
        assert theirs.names == (PAIR[0], name)
        assert (theirs.mended, theirs.broken, theirs.points) == (ours.mended, ours.broken, ours.points)
    alike = compared("Their net", "Their labels")
    assert (alike.mended, alike.broken, alike.both_right) == (0, 0, int((second.argmax(1) == val.labels).sum()))
    with pytest.raises(ValueError, match="Imported systems: Their labels, Their net"):
        compared(PAIR[0], "Nobody")
