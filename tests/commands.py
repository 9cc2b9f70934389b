"""Commands forked from one process that has loaded their libraries: jobs of the smoke run start at once, not in two seconds.

    with forked_commands(folder) as environment:
        subprocess.run(["bash", "-c", "vggrepro train ..."], env=environment)

The `vggrepro` that bash finds in this environment hands its arguments, folder, variables and outputs to that process, whose
fork runs the command as it would run alone. It is not the server of `tests.forks`, because it has to have the instructions of
the smoke run pinned before it loads anything. Other tests start commands as users do: `slurm/`, `cli/`,
and runs that are killed or have odd paths in `workflow/test_short_runs.py`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vggrepro.core.instructions import PINNED
from vggrepro.core.paths import ROOT
from vggrepro.workflow.compiled import compile_loops

LIBRARIES = (
    "torch", "scipy.stats", "pandas", "sklearn.svm", "matplotlib.figure", "pydantic", "jinja2", "safetensors.torch",
)  # fmt: skip
MODULES = (
    "data.crops", "training.train", "evaluation.evaluate", "localisation.prediction", "localisation.merging",
    "transfer.features", "judging.pipeline", "report.page",
)  # fmt: skip

CLIENT = """#!{python} -SE
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({address!r})
    call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)])
    socket.send_fds(server, [call.encode()], [0, 1, 2])
    # a fork that was killed says nothing
    sys.exit(int(server.recv(16) or 1))
"""


@contextmanager
def forked_commands(folder: Path) -> Iterator[dict[str, str]]:
    """Variables with which `vggrepro` is such a command; what it takes is in a `folder`."""
    program, address = folder / "call", folder / "calls"
    program.write_text(CLIENT.format(python=sys.executable, address=str(address)))
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(address))
        listening.listen()
        call = [sys.executable, "-m", "tests.commands", str(listening.fileno())]
        server = subprocess.Popen(call, pass_fds=[listening.fileno()], cwd=ROOT)
    try:
        # a function of bash, which Snakemake's jobs run in, comes before all programs
        yield {**os.environ, "BASH_FUNC_vggrepro%%": f'() {{ {shlex.quote(str(program))} "$@"; }}'}
    finally:
        server.terminate()
        server.wait()


def serve(listening: socket.socket) -> None:
    """Load what commands load, with the instructions that they ask for, and fork for every call."""
    compile_loops()
    for name in (*LIBRARIES, *(f"vggrepro.{module}" for module in MODULES)):
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        connection, _ = listening.accept()
        if not os.fork():
            listening.close()
            answer(connection)
        connection.close()


def answer(connection: socket.socket) -> None:
    """Be the command that a call asks for; the last thing that the process does is to say its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    call, outputs, *_ = socket.recv_fds(connection, 1 << 20, 3)
    arguments, folder, variables = json.loads(call)
    for number, output in enumerate(outputs):
        os.dup2(output, number)
        os.close(output)
    os.chdir(folder)
    os.environ.clear()
    # the libraries are loaded: nothing the command sets would reach them
    os.environ.update(variables, **PINNED)
    status = 1
    atexit.register(lambda: connection.send(str(status).encode()))
    from vggrepro.cli import main

    status = main(arguments)
    sys.exit(status)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
