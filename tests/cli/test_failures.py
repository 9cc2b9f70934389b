"""A user's mistake is one message that names the file; a mistake of the program is a traceback and a file to report."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from vggrepro import cli
from vggrepro.cli.failures import UNEXPECTED, message_of


@pytest.fixture
def failing(monkeypatch):
    """Lets `vggrepro check x` fail with an error."""

    def fail_with(error: BaseException) -> None:
        def check_bundle(path: Path) -> int:
            raise error

        monkeypatch.setattr("vggrepro.report.bundle_check.check_bundle", check_bundle)

    return fail_with


def test_what_nobody_expected_is_a_traceback_and_a_file_to_report(failing, capsys):
    failing(KeyError("surprise"))
    assert cli.main(["check", "a b.zip"]) == UNEXPECTED
    output = capsys.readouterr().err
    assert "Traceback" in output
    file = Path(output.strip().rpartition("with the file ")[2])
    report = file.read_text()
    assert "vggrepro check 'a b.zip'" in report
    assert "surprise" in report
    assert "versions" in report
    file.unlink()


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.ENOSPC, "no space"), MemoryError("1 TB")])
def test_an_error_from_deep_inside_gets_the_name_of_its_file(error):
    def library() -> None:
        raise error

    def read(path: Path) -> None:
        library()

    with pytest.raises(type(error)) as caught:
        read(Path("results/x.npy"))
    assert message_of(caught.value).startswith("results/x.npy: ")


def test_a_message_of_ours_stays_as_it_is():
    from vggrepro.core.files import Files

    with pytest.raises(ValueError) as caught:
        Files(Path("nowhere"))
    assert message_of(caught.value) == "nowhere: no such file or folder"


def test_escape_codes_in_a_message_do_not_reach_the_terminal(capsys):
    assert cli.main(["check", "\x1b[2Jevil.zip"]) == 2
    assert "\\x1b[2Jevil.zip: no such file" in capsys.readouterr().err
