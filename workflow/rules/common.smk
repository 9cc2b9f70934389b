from snakemake.exceptions import WorkflowError

from vggrepro.paper.runs import PROTOCOLS
from vggrepro.paper.tables import SHALLOW_AND_DEEP
from vggrepro.paper.tasks import COLLECTIONS, TASKS, TRANSFER_SETS
from vggrepro.settings.loading import load_settings
from vggrepro.workflow import (
    Plan,
    find_own_commands,
    keep_what_is_planned,
    one_of,
    one_run_of,
)

find_own_commands()
keep_what_is_planned()

try:
    PLAN = Plan(load_settings(config))
except ValueError as error:
    raise WorkflowError(str(error)) from None


pathvars:
    results=PLAN.root,


wildcard_constraints:
    run=one_run_of(PLAN.runs),
    protocol="|".join(PROTOCOLS),
    seed="[0-9]+",
    collection="|".join(COLLECTIONS),
    set="|".join(TRANSFER_SETS),
    task="|".join(TASKS),
    members=f"({one_run_of(PLAN.by_class)})([+]({one_run_of(PLAN.by_class)}))*",
    table="|".join(PLAN.tables),
