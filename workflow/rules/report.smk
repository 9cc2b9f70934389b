from vggrepro.workflow.report import evidence_job, report_job, whatif_job


rule whatif:
    """Scores packed so that the report fuses any of them in the browser."""
    input:
        PLAN.ask(whatif_job, "scores"),
    output:
        "<results>/whatif/whatif.json",
    log:
        "<results>/logs/whatif.log",
    benchmark:
        "<results>/benchmarks/whatif.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        results=PLAN.results,
        settings=PLAN.ask(whatif_job, "settings"),
    shell:
        "vggrepro whatif"
        " --settings {params.settings:q}"
        " --scores {params.results}/scores"
        " --out {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule evidence:
    """Images, answers and classes behind each number, in files that the report reads when they are asked for."""
    input:
        tables=PLAN.ask(evidence_job, "tables"),
        scores=PLAN.ask(evidence_job, "scores"),
        val=PLAN.ask(evidence_job, "val"),
    output:
        directory("<results>/evidence"),
    log:
        "<results>/logs/evidence.log",
    benchmark:
        "<results>/benchmarks/evidence.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        results=PLAN.results,
        settings=PLAN.ask(evidence_job, "settings"),
        val=PLAN.options(evidence_job, "val"),
    shell:
        "vggrepro evidence"
        " --settings {params.settings:q}"
        " --tables {input.tables:q}"
        " --scores {params.results}/scores"
        " {params.val:q}"
        " --out {output:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"


rule report:
    """One self-contained page of all tables and figures, and the same for LaTeX."""
    input:
        tables=expand("<results>/tables/{table}.json", table=PLAN.tables),
        runs=expand("<results>/runs/{run}/run.json", run=PLAN.trained),
        metrics=expand("<results>/runs/{run}/metrics.csv", run=PLAN.trained),
        adopted=expand("<results>/runs/{run}/adopted.json", run=PLAN.adopted),
        merging=PLAN.ask(report_job, "merging"),
        claims="<results>/claims/claims.json",
        why=PLAN.ask(report_job, "why"),
        flips=PLAN.ask(report_job, "flips"),
        whatif=PLAN.ask(report_job, "whatif"),
        evidence=PLAN.ask(report_job, "evidence"),
    output:
        html="<results>/report/report.html",
        tex="<results>/report/report.tex",
        figures=directory("<results>/report/figures"),
    log:
        "<results>/logs/report.log",
    benchmark:
        "<results>/benchmarks/report.tsv"
    conda:
        "../../environment.yml"
    params:
        results=PLAN.results,
        settings=PLAN.ask(report_job, "settings"),
        merging=PLAN.options(report_job, "merging"),
        shown=PLAN.options(report_job, "why", "flips", "whatif", "evidence"),
    shell:
        "vggrepro report"
        " --settings {params.settings:q}"
        " --tables {input.tables:q}"
        " --runs {input.runs:q}"
        " --adopted {input.adopted:q}"
        " {params.merging:q}"
        " --claims {input.claims:q}"
        " {params.shown:q}"
        " --results {params.results}"
        " --out {params.results}/report"
        " 2>&1 | tee {log:q}"


rule bundle:
    """All cells as tidy data, and a citable bundle of everything but weights, images and scores."""
    input:
        tables=expand("<results>/tables/{table}.json", table=PLAN.tables),
        runs=expand("<results>/runs/{run}/run.json", run=PLAN.trained),
        claims="<results>/claims/claims.json",
        report="<results>/report/report.html",
    output:
        multiext("<results>/export/cells", ".csv", ".parquet", ".json"),
        multiext("<results>/export/sources", ".csv", ".parquet", ".json"),
        multiext("<results>/export/claims", ".csv", ".parquet", ".json"),
        crate="<results>/export/crate.zip",
    log:
        "<results>/logs/export.log",
    benchmark:
        "<results>/benchmarks/export.tsv"
    conda:
        "../../environment.yml"
    threads: PLAN.settings.threads
    params:
        results=PLAN.results,
        settings=PLAN.ask(report_job, "settings"),
    shell:
        "vggrepro export"
        " --settings {params.settings:q}"
        " --results {params.results}"
        " --out {params.results}/export"
        " --crate {output.crate:q}"
        " --threads {threads}"
        " 2>&1 | tee {log:q}"
