from vggrepro.workflow.tables import (
    claims_job,
    import_elsewhere_job,
    import_scores_job,
    labels_job,
    table_job,
)


rule import_scores:
    """What somebody else's system says of the validation images, checked, beside our own scores."""
    input:
        PLAN.ask(import_scores_job, "others"),
        file=PLAN.ask(import_scores_job, "file"),
    output:
        directory("<results>/scores/imported/{system}"),
    log:
        "<results>/logs/import/{system}.log",
    benchmark:
        "<results>/benchmarks/import/{system}.tsv"
    wildcard_constraints:
        system=one_of(PLAN.imported),
    conda:
        "../../environment.yml"
    params:
        options=PLAN.options(
            import_scores_job,
            "name",
            "order",
            "ids",
            "classes",
            "devkit",
            "solution",
            "val",
            "logits",
            "scores",
            "accept",
        ),
    shell:
        "vggrepro import {input.file:q} {params.options:q}"
        " --out {output:q}"
        " 2>&1 | tee {log:q}"


use rule import_scores as import_elsewhere with:
    input:
        PLAN.ask(import_elsewhere_job, "others"),
        file=PLAN.ask(import_elsewhere_job, "file"),
    output:
        directory("<results>/scores/imported/{system}@{reference}"),
    log:
        "<results>/logs/import/{system}@{reference}.log",
    benchmark:
        "<results>/benchmarks/import/{system}@{reference}.tsv"
    wildcard_constraints:
        system=one_of(PLAN.imported),
        reference=one_of(PLAN.validation),
    params:
        options=PLAN.options(
            import_elsewhere_job,
            "name",
            "order",
            "ids",
            "classes",
            "devkit",
            "val",
            "folders",
            "logits",
            "accept",
        ),


rule labels:
    """Other labels of the validation images, checked: several of an image, or none."""
    input:
        PLAN.ask(labels_job, "images"),
        source=PLAN.ask(labels_job, "source"),
    output:
        directory("<results>/labels/{reference}"),
    log:
        "<results>/logs/labels/{reference}.log",
    benchmark:
        "<results>/benchmarks/labels/{reference}.tsv"
    wildcard_constraints:
        reference=one_of(PLAN.labels),
    conda:
        "../../environment.yml"
    params:
        file=PLAN.ask(labels_job, "file"),
        options=PLAN.options(labels_job, "name", "devkit", "val"),
    shell:
        "vggrepro labels {params.file:q} {params.options:q}"
        " --out {output:q}"
        " 2>&1 | tee {log:q}"


rule table:
    """One table of the paper beside the published numbers, from score stores (or box stores) alone."""
    input:
        scores=PLAN.ask(table_job, "scores"),
        runs=PLAN.ask(table_job, "runs"),
        imported=PLAN.ask(table_job, "imported"),
        labels=PLAN.ask(table_job, "labels"),
        published=PLAN.ask(table_job, "published"),
    output:
        multiext(
            "<results>/tables/{table}",
            ".json",
            ".csv",
            ".md",
            ".html",
            ".tex",
            ".npz",
        ),
    log:
        "<results>/logs/tables/{table}.log",
    benchmark:
        "<results>/benchmarks/tables/{table}.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.ask(table_job, "threads")
    params:
        results=PLAN.results,
        number=PLAN.ask(table_job, "number"),
        stores=PLAN.ask(table_job, "folder"),
        more=PLAN.options(table_job, "imported", "labels"),
        settings=PLAN.ask(table_job, "settings"),
    shell:
        # a table may have no results of ours, as Tables 1 and 2
        "mkdir -p {params.stores:q} &&"
        " vggrepro table {params.number}"
        " --settings {params.settings:q}"
        " --scores {params.stores:q}"
        " --runs {params.results}/runs"
        " {params.more:q}"
        " --out {params.results}/tables"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule claims:
    """Every claim of the paper, judged on which images each system gets wrong."""
    input:
        PLAN.ask(claims_job, "files"),
        tables=expand("<results>/tables/{table}.npz", table=PLAN.tables),
        parameters="<results>/tables/table02.json",
        runs=expand("<results>/runs/{run}/run.json", run=PLAN.trained),
    output:
        multiext("<results>/claims/claims", ".json", ".csv"),
    log:
        "<results>/logs/claims.log",
    benchmark:
        "<results>/benchmarks/claims.tsv"
    conda:
        "../../environment.yml"
    params:
        results=PLAN.results,
        settings=PLAN.ask(claims_job, "settings"),
    shell:
        "vggrepro claims"
        " --settings {params.settings:q}"
        " --tables {params.results}/tables"
        " --runs {input.runs:q}"
        " --out {params.results}/claims"
        " 2>&1 | tee {log:q}"
