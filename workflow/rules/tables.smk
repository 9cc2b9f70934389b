rule import_scores:
    """What somebody else's system says of the validation images, checked, beside our own scores."""
    input:
        PLAN.import_inputs,
        file=PLAN.imported_file,
    output:
        directory("<results>/scores/imported/{system}"),
    log:
        "<results>/logs/import/{system}.log",
    benchmark:
        "<results>/benchmarks/import/{system}.tsv"
    wildcard_constraints:
        system=one_of(PLAN.slugs),
    conda:
        "../../environment.yml"
    params:
        options=PLAN.import_options,
    shell:
        "vggrepro import {input.file:q} {params.options:q}"
        " --out {output:q}"
        " 2>&1 | tee {log:q}"


rule table:
    """One table of the paper beside the published numbers, from score stores (or box stores) alone."""
    input:
        scores=PLAN.table_scores,
        runs=PLAN.table_runs,
        imported=PLAN.imported,
        published=PLAN.published,
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
    threads: PLAN.table_threads
    params:
        results=PLAN.results,
        number=PLAN.table_number,
        stores=PLAN.table_folder,
        imported=PLAN.imported_option,
        settings=PLAN.table_settings,
    shell:
        "vggrepro table {params.number}"
        " --settings {params.settings:q}"
        " --scores {params.stores:q}"
        " --runs {params.results}/runs"
        " {params.imported:q}"
        " --out {params.results}/tables"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule claims:
    """Every claim of the paper, judged on which images each system gets wrong."""
    input:
        PLAN.claims,
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
        settings=PLAN.table_settings,
    shell:
        "vggrepro claims"
        " --settings {params.settings:q}"
        " --tables {params.results}/tables"
        " --runs {input.runs:q}"
        " --out {params.results}/claims"
        " 2>&1 | tee {log:q}"
