from vggrepro.paper.systems import PROTOCOLS
from vggrepro.paper.tasks import COLLECTIONS, TASKS, TRANSFER_SETS
from vggrepro.settings.downloads import downloads
from vggrepro.settings.loading import load_settings
from vggrepro.workflow.content import decide_by_content
from vggrepro.workflow.plan import Plan, one_of, one_run_of
from vggrepro.workflow.session import (
    check_config_files,
    collect_garbage_less,
    find_own_commands,
    keep_output_in_logs,
    sample_memory_less,
    unlock_after_a_kill,
)

find_own_commands()
keep_output_in_logs(workflow, shell)
collect_garbage_less()
sample_memory_less()
unlock_after_a_kill(workflow)

with one_message():
    check_config_files(workflow)
    PLAN = Plan.of(load_settings(config, look_for_files=True))
    DOWNLOADS = downloads()

decide_by_content(workflow, PLAN.root)


pathvars:
    results=PLAN.root,
    downloads=PLAN.settings.downloads.folder,


wildcard_constraints:
    run=one_run_of(PLAN.runs),
    protocol="|".join(PROTOCOLS),
    seed="[0-9]+",
    collection="|".join(COLLECTIONS),
    set="|".join(TRANSFER_SETS),
    download=one_of(DOWNLOADS),
    task="|".join(TASKS),
    members=f"({one_run_of(PLAN.classifiers)})([+]({one_run_of(PLAN.classifiers)}))*",
    table="|".join(PLAN.tables),
