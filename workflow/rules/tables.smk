rule table:
    """One table of the paper beside the published numbers, from score stores (or box stores) alone."""
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
    threads: PLAN.table_threads
    params:
        number=PLAN.table_number,
        stores=PLAN.table_folder,
        settings=PLAN.table_settings,
    shell:
        "vggrepro table {params.number}"
        " --settings {params.settings:q}"
        " --scores {params.stores:q}"
        " --out results/{wildcards.folder}/tables"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"
