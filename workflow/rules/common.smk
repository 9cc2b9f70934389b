from snakemake.exceptions import WorkflowError

from vggrepro.catalogue import COLLECTIONS, PROTOCOLS, SHALLOW_AND_DEEP, TASKS
from vggrepro.config import TRANSFER_SETS, load
from vggrepro.plan import Plan, find_own_commands, one_of

find_own_commands()

try:
    PLAN = Plan(load(config))
except ValueError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    folder=PLAN.folder,
    run=one_of(PLAN.runs),
    protocol="|".join(PROTOCOLS),
    seed="[0-9]+",
    collection="|".join(COLLECTIONS),
    set="|".join(TRANSFER_SETS),
    task="|".join(TASKS),
    members=f"({one_of(PLAN.by_class)})([+]({one_of(PLAN.by_class)}))*",
    table="|".join(PLAN.tables),
