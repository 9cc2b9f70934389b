"""A heartbeat says how far a training is, every few seconds, and never stands in its way."""

from __future__ import annotations

import json

import torch

from vggrepro.settings.blocks import TrainSettings
from vggrepro.training import heartbeat
from vggrepro.training.files import HEARTBEAT
from vggrepro.training.heartbeat import Heartbeat
from vggrepro.training.progress import EpochProgress, TrainingProgress
from vggrepro.training.schedule import Schedule


def progress(batches: int) -> TrainingProgress:
    """In the second epoch, after so many batches of 4 images, 2 s each, with a mean loss of 1.5."""
    seen = 4 * batches
    sums = torch.tensor([1.5 * seen, 1.0, float(seen)])
    return TrainingProgress(Schedule(TrainSettings()), EpochProgress(2, batches, seen, 2.0 * batches, sums))


def beats(folder, monkeypatch, *moments: float) -> list[int]:
    """The batches that the file says after a beat at each moment."""
    said, beating = [], Heartbeat(folder, {"run": "A_256_s0", "epochs": 74, "device": "CPU", "processes": 1})
    for batch, moment in enumerate(moments, start=1):
        monkeypatch.setattr(heartbeat.time, "monotonic", lambda moment=moment: moment)
        beating.beat(progress(batch), 100)
        said.append(json.loads((folder / HEARTBEAT).read_text())["batches"])
    return said


def test_it_is_written_at_once_and_then_every_ten_seconds(tmp_path, monkeypatch):
    assert beats(tmp_path, monkeypatch, 0.0, 1.0, 9.9, 10.0, 11.0, 30.0) == [1, 1, 1, 4, 4, 6]


def test_it_says_epoch_loss_and_speed(tmp_path):
    Heartbeat(tmp_path, {"run": "A_256_s0"}).beat(progress(50), 100)
    said = json.loads((tmp_path / HEARTBEAT).read_text())
    assert (said["run"], said["epoch"], said["batches"], said["of"]) == ("A_256_s0", 2, 50, 100)
    assert (said["loss"], said["images_per_s"]) == (1.5, 2.0)
    assert {"host", "pid", "at"} <= set(said)


def test_without_a_folder_and_without_room_a_training_goes_on(tmp_path):
    Heartbeat(None, {}).beat(progress(1), 100)
    (tmp_path / "file").write_text("")
    Heartbeat(tmp_path / "file", {}).beat(progress(1), 100)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
