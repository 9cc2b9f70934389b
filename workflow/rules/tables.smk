rule table:
    """One table of the paper beside the published numbers, from score stores alone."""
    input:
        scores=PLAN.table_scores,
        published=PLAN.published,
    output:
        multiext(
            "results/{folder}/tables/{table}", ".json", ".csv", ".md", ".html", ".tex"
        ),
    log:
        "results/{folder}/logs/tables/{table}.log",
    benchmark:
        "results/{folder}/benchmarks/tables/{table}.tsv"
    conda:
        "../../environment.yml"
    params:
        number=PLAN.table_number,
        settings=PLAN.table_settings,
    shell:
        "vggrepro table {params.number}"
        " --settings {params.settings:q}"
        " --scores results/{wildcards.folder}/scores"
        " --out results/{wildcards.folder}/tables"
        " 2>&1 | tee {log:q}"
