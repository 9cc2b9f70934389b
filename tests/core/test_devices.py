"""Every process takes a GPU of its own, and lets it go however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import types

import pytest
import torch

from vggrepro.core import devices
from vggrepro.core.paths import ROOT

HOLD = """
import sys, time
from pathlib import Path
from vggrepro.core import devices
print(devices.take_gpu(["a", "b"], Path(sys.argv[1]), wait=0.05), flush=True)
time.sleep(60)
"""


def hold(folder) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def test_two_processes_take_two_gpus_and_the_third_waits(tmp_path):
    first, second = hold(tmp_path), hold(tmp_path)
    assert {first.stdout.readline(), second.stdout.readline()} == {"0\n", "1\n"}
    third = hold(tmp_path)
    assert "waiting for one of 2 GPUs" in third.stderr.readline()
    second.send_signal(signal.SIGKILL)
    number = third.stdout.readline()
    assert number in ("0\n", "1\n")
    for process in (first, second, third):
        process.kill()
        process.communicate()


def test_energy_is_read_where_the_driver_tells(monkeypatch):
    class Unsupported(Exception):  # noqa: N818
        pass

    def energy(handle: str) -> int:
        if handle == "GPU-old":
            raise Unsupported
        return 5_000

    driver = types.SimpleNamespace(
        NVMLError=Unsupported,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda name: name,
        nvmlDeviceGetTotalEnergyConsumption=energy,
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    for name, expected in (("new", 5.0), ("old", float("nan"))):
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _, name=name: types.SimpleNamespace(uuid=name))
        assert devices.gpu_joules(torch.device("cuda", 0)) == pytest.approx(expected, nan_ok=True)


def test_a_cpus_memory_and_time_are_measured():
    meter = devices.Meter(torch.device("cpu"))
    assert 10_000_000 < meter.peak_bytes < 100_000_000_000
    assert 0 <= meter.seconds < 60
    assert meter.joules != meter.joules


@pytest.mark.parametrize("name", ["mps", "meta", "xpu", "cuda:", "cuda:x", "cpu:0", "", "CUDA"])
def test_a_device_that_is_not_supported_is_named(name):
    with pytest.raises(ValueError, match=f"--device {name}: expected auto, cpu, cuda or cuda:N"):
        devices.choose_device(name)


def test_convolutions_round_as_finely_without_onednn():
    """Torch would take NNPACK's then, from 16 images on, which are 50 times as far from float64."""
    devices.set_cpu_arithmetic(torch.get_num_threads())
    torch.manual_seed(0)
    layer, images = torch.nn.Conv2d(3, 5, 3, padding=1), torch.randn(70, 3, 7, 16)
    with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=False):
        exact = torch.nn.functional.conv2d(images.double(), layer.weight.double(), layer.bias.double(), padding=1)
        assert (layer(images) - exact).abs().max() < 5e-6
