"""The list of downloads says what its sources say, and a net is known by the digest of its file."""

from __future__ import annotations

import hashlib
import inspect
import zipfile
from collections import Counter

import pytest

from tests.conftest import real
from vggrepro.paper.systems import released_run
from vggrepro.settings import downloads as listed
from vggrepro.settings.downloads import DIGEST_LENGTHS, downloads, fetched_name, place_of, record_of, released_net
from vggrepro.settings.loading import PATHS


def test_every_file_has_an_address_and_what_it_stands_for_is_a_setting():
    names = [file.name for entry in downloads().values() for file in entry.files]
    assert len(set(names)) == len(names), "a mirror has each under its own name"
    stands_for = Counter(of for entry in downloads().values() for of in entry.of)
    assert set(stands_for.values()) == {1}
    for of in stands_for:
        assert of in (*PATHS, "ReaL") or released_run(of).label == of
    for entry in downloads().values():
        for file in entry.files:
            assert file.url.endswith(file.name)
            assert file.digest is None or len(file.expected) in (8, DIGEST_LENGTHS[file.algorithm])
            assert len(file.expected) != 8 or file.expected in file.name


@pytest.mark.parametrize(("name", "year"), [("voc2007", "2007"), ("voc2007", "2007-test"), ("voc2012", "2012")])
def test_voc_is_listed_as_torchvision_has_it(name, year):
    from torchvision.datasets import voc  # two seconds, which the other tests need not wait for

    theirs = voc.DATASET_YEAR_DICT[year]
    (ours,) = (file for file in downloads()[name].files if file.name == theirs["filename"])
    assert (ours.url, ours.digest) == (theirs["url"], f"md5:{theirs['md5']}")


@pytest.mark.parametrize(("name", "kind"), [("caltech101", "Caltech101"), ("caltech256", "Caltech256")])
def test_caltech_is_listed_as_torchvision_has_it(name, kind):
    from torchvision.datasets import caltech

    (ours,) = downloads()[name].files
    theirs = inspect.getsource(getattr(caltech, kind).download)
    assert f'"{ours.url}"' in theirs
    assert f'"{ours.expected}"' in theirs


@pytest.mark.parametrize("name", ["vgg11", "vgg13", "vgg16", "vgg19"])
def test_torchvisions_nets_are_listed_as_torchvision_has_them(name):
    from torchvision import models

    (ours,) = downloads()[name].files
    theirs = models.get_model_weights(name).IMAGENET1K_V1
    assert ours.url == theirs.url
    assert ours.expected.startswith(theirs.url.rpartition("-")[2].removesuffix(".pth"))
    assert ours.about / 2**20 == pytest.approx(theirs.meta["_file_size"], abs=1e-3)


def test_real_labels_have_the_digest_that_is_listed():
    content = zipfile.ZipFile(real("vgg-predictions.zip")).read("vgg-predictions/real.json")
    (ours,) = downloads()["real"].files
    assert (ours.bytes, ours.digest) == (len(content), f"sha256:{hashlib.sha256(content).hexdigest()}")


def test_a_net_is_known_by_the_digest_of_its_file_alone():
    assert released_net(sha256="8a719046" + 56 * "0").recipe == "torchvision"
    assert released_net(sha256="db26f1a5" + 56 * "0").recipe == "mmpretrain"
    authors = released_net(sha1="9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24")
    assert (authors.recipe, authors.S) == ("the authors", (256, 512))
    assert released_net(sha1="9363e1f6d65f7dba68c4f27a1e62105cdf6c4e25") is None
    assert released_net(sha256=64 * "0") is None


def test_only_the_place_of_a_download_has_a_record():
    for name, entry in downloads().items():
        if entry.files:
            assert fetched_name(place_of(name, "d"), "d") == name
    assert record_of("d/voc2007", "d") == ["d/voc2007/fetched.json"]
    others = ("d/vgg11/other.pth", "d/vgg11", "d", "vgg11/vgg11-8a719046.pth", "d/ilsvrc", "x/voc2007", None)
    assert [record_of(path, "d") for path in others] == [[]] * len(others)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{what: a}", "expected either files or `by hand`"),
        ("{what: a, files: [{name: ../a, url: 'http://a', bytes: 1, digest: null, source: b}]}", "files.0.name"),
        ("{what: a, files: [{name: a, url: 'file:///a', bytes: 1, digest: null, source: b}]}", "files.0.url"),
        ("{what: a, files: [{name: a, url: 'http://a', bytes: 1, digest: 'md5:0', source: b}]}", "files.0.digest"),
        ("{what: a, files: [{name: a, url: 'http://a', bytes: 1, digest: null}]}", "files.0.source is missing"),
    ],
)
def test_what_is_wrong_in_the_list_is_named(entry, message, tmp_path, monkeypatch):
    (tmp_path / "d.yaml").write_text(f"a: {entry}")
    monkeypatch.setattr(listed, "DOWNLOADS_FILE", tmp_path / "d.yaml")
    downloads.cache_clear()
    with pytest.raises(ValueError, match=f"d.yaml: a: {message}|d.yaml: a: .*{message}"):
        downloads()
    downloads.cache_clear()
