"""Which instructions are used is decided before a library that chooses them is loaded, and for all of them at once."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from vggrepro.cli.app import instructions_of
from vggrepro.cli.options import ForwardStep
from vggrepro.core import instructions

LOOK = """
import json
import vggrepro.core.instructions as ours
ours.pin_instructions("avx2")
import numpy, torch, numba, threadpoolctl
from numba.core.registry import cpu_target
from numpy._core._multiarray_umath import __cpu_features__ as loops
import scipy.linalg
_, cpu, features = cpu_target.target_context.codegen().magic_tuple()
print(json.dumps({
    "torch": torch.backends.cpu.get_cpu_capability(),
    "numpy": [name for name in ("X86_V4", "AVX512_ICL", "AVX512_SPR") if loops[name]],
    "openblas": [(p["architecture"], p["num_threads"]) for p in threadpoolctl.threadpool_info() if "architecture" in p],
    "numba": [cpu, "avx512" in features.replace("-avx512", "")],
    "in force": ours.instructions_in_force(),
}))
"""


def printed(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


@pytest.mark.skipif(not instructions.cpu_has_avx2(), reason="this CPU has no AVX2 with FMA")
def test_every_library_computes_with_avx2_and_nothing_wider():
    found = json.loads(printed(LOOK))
    assert found["torch"] == "AVX2"
    assert found["numpy"] == []
    assert {tuple(blas) for blas in found["openblas"]} == {("Haswell", 1)}
    assert found["numba"] == ["haswell", False]
    assert found["in force"] == "avx2"


def test_commands_load_no_library_that_chooses_before_they_run():
    program = (
        "import sys, importlib, vggrepro.cli.app as app, vggrepro.settings.loading\n"
        "for group in app.GROUPS: importlib.import_module(f'vggrepro.cli.{group}')\n"
        "from vggrepro.core.instructions import CHOOSERS\n"
        "print(*(module for module in CHOOSERS if module in sys.modules))"
    )
    assert printed(program).split() == []


def test_half_a_choice_is_none(monkeypatch):
    """Here numpy is loaded already: nothing is pinned any more, and no result says that it was."""
    for name in instructions.PINNED:
        monkeypatch.delenv(name, raising=False)
    instructions.pin_instructions("avx2")
    assert instructions.instructions_in_force() == "fastest"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("smoke", "avx2"),
        ("paper", "fastest"),
        ("{}", "fastest"),
        ('{"smoke": true}', "avx2"),
        ('{"preset": "smoke", "instructions": "fastest"}', "fastest"),
        ('{"precision": "fp32", "instructions": "avx2"}', "avx2"),
    ],
)
def test_settings_decide_for_the_command_that_is_given_them(text, expected):
    assert instructions_of({"settings": text}) == expected
    assert instructions_of({"step": ForwardStep(settings=text, weights="w", out="o")}) == expected


def test_a_command_without_settings_takes_what_all_cpus_have():
    assert instructions_of({"set": "voc2007"}) == "avx2"
