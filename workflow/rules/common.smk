from snakemake.exceptions import WorkflowError

from vggrepro.catalogue import PROTOCOLS
from vggrepro.config import load
from vggrepro.plan import Plan, find_own_commands

find_own_commands()

try:
    PLAN = Plan(load(config))
except ValueError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    folder=PLAN.folder,
    run="|".join(PLAN.runs),
    protocol="|".join(PROTOCOLS),
    seed="[0-9]+",
    table="|".join(PLAN.tables),
