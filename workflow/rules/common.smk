import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from vggrepro.config import load
from vggrepro.plan import Plan

# A job runs the vggrepro beside the Python that runs Snakemake, whether or not its environment is activated.
os.environ["PATH"] = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]

try:
    PLAN = Plan(load(config))
except ValueError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    folder=PLAN.folder,
    run="|".join(PLAN.runs),
    protocol="dense|multi-crop|centre-crop",
    table="|".join(PLAN.tables),
