# The paper as one DAG: images -> runs -> scores -> tables -> report.
#   snakemake --cores all --config smoke=true     minutes on a laptop
#   snakemake --cores all table5                  one table, and only what it needs
#   snakemake --cores all verify                  every image of the data set decoded
from snakemake.utils import min_version

from vggrepro.core.messages import one_message

with one_message():
    from vggrepro.planning.session import begin_session
    from vggrepro.workflow.session import (
        be_alone,
        check_data,
        check_executor,
        print_comparison,
        print_report_path,
        remove_checkpoints,
    )

min_version("9.20")


# Settings, and the plan that follows from them and from tables/published/
include: "workflow/rules/common.smk"
# In the order of the science
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/localise.smk"
include: "workflow/rules/transfer.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/why.smk"
include: "workflow/rules/report.smk"


rule all:
    """Every table, the report, and the citable bundle."""
    default_target: True
    input:
        "<results>/report/report.html",
        "<results>/export/crate.zip",


# table1 ... table12, text
for name, number in PLAN.tables.items():

    rule:
        """One table and only what it needs."""
        name:
            f"table{number}" if number.isdigit() else number
        input:
            f"<results>/tables/{name}.html",


rule export:
    """All cells as tidy data, and the citable bundle."""
    input:
        "<results>/export/crate.zip",


rule verify:
    """Is the data set whole? Before days of training, not after."""
    input:
        "<results>/verified/manifest.csv",


onstart:
    with one_message():
        check_executor(workflow.executor_plugin.name)
        be_alone(PLAN)
        check_data(PLAN, workflow.dag.needrun_jobs())
        begin_session(PLAN, workflow)


onsuccess:
    remove_checkpoints(PLAN, workflow.dag.jobs)
    print_report_path(PLAN, workflow)
    print_comparison(PLAN, workflow)
