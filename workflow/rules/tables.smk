# Stage 7: tables as parquet for machines, and as CSV, Markdown, LaTeX and HTML for people.


localrules:
    provenance,


rule all_tables:
    """Every table, the claims, the costs and the provenance."""
    input:
        expand(
            "<results>/tables/{table}.{format}",
            table=[
                *["table1", "table2", "table3", "claims", "scores", "latent", "parameters", "costs"],
                *["tuning"] * bool(TUNING),
            ],
            format=["parquet", "csv", "md", "tex", "html"],
        ),
        "<results>/provenance.json",
        "<results>/provenance.html",
    message:
        "the tables are complete"


rule provenance:
    """Record the config, the code and the versions of packages."""
    input:
        modules=modules("provenance"),
        own_kinds=OWN_KINDS,
    output:
        "<results>/provenance.json",
    log:
        "<logs>/provenance.log",
    benchmark:
        "<benchmarks>/provenance.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        config=digest(config),
        code=provenance.code_version(),
        own_files=own_files(own_kinds),
    message:
        "recording the config, the code and the versions"
    script:
        "../scripts/provenance.py"


rule provenance_page:
    """Show this record as a page, with the machines on which networks were trained."""
    input:
        record="<results>/provenance.json",
        cells=for_cells("<results>/cells/<cell>/cell.json"),
        modules=modules("provenance_page"),
    output:
        report(
            "<results>/provenance.html",
            caption="../report/provenance.rst",
            category=CATEGORIES["costs"],
            labels={"table": "Provenance"},
        ),
    log:
        "<logs>/provenance_page.log",
    benchmark:
        "<benchmarks>/provenance_page.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    message:
        "writing the page of config, code and machines"
    script:
        "../scripts/provenance_page.py"


rule collect_scores:
    """Collect all cells' scores in one table, beside the paper's scores where they are comparable."""
    input:
        scores=SCORES,
        cells=for_cells("<results>/cells/<cell>/cell.json"),
        external=EXTERNAL_SCORES,
        published=PUBLISHED,
        modules=modules("collect_scores"),
    output:
        **table_files("scores", "Table of all scores"),
    log:
        "<logs>/collect_scores.log",
    benchmark:
        "<benchmarks>/collect_scores.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    message:
        "collecting the scores of all cells"
    script:
        "../scripts/collect_scores.py"


rule collect_latent_statistics:
    """Collect the statistics of all cells' codes in one table."""
    input:
        statistics=for_cells("<results>/cells/<cell>/latent.parquet"),
        modules=modules("collect_latent_statistics"),
    output:
        **table_files("latent", "Table of codes: how Gaussian they are"),
    log:
        "<logs>/collect_latent_statistics.log",
    benchmark:
        "<benchmarks>/collect_latent_statistics.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    message:
        "collecting the statistics of all cells' codes"
    script:
        "../scripts/collect_latent_statistics.py"


rule table1:
    """Write Table 1: the experiments."""
    input:
        modules=modules("table1"),
    output:
        **table_files("table1", "Table 1: experiments"),
    log:
        "<logs>/table1.log",
    benchmark:
        "<benchmarks>/table1.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        experiments=digest([[name, cells_of(name)] for name in config["run"]]),
    message:
        "writing Table 1: the experiments"
    script:
        "../scripts/table1.py"


rule table2:
    """Write Table 2: models at one latent size."""
    input:
        scores="<results>/tables/scores.parquet",
        redraws=REDRAWS,
        published=PUBLISHED,
        modules=modules("table2"),
    output:
        **table_files("table2", "Table 2: models at one latent size"),
    log:
        "<logs>/table2.log",
    benchmark:
        "<benchmarks>/table2.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        comparison_latent=COMPARISON_LATENT,
        methods=METHODS,
    message:
        "writing Table 2: all models at the comparison latent sizes"
    script:
        "../scripts/table2.py"


use rule table2 as table2_by_measure with:
    output:
        **table_files("table2-{measure}", "Table 2 by {measure}", caption="table2"),
    log:
        "<logs>/table2-{measure}.log",
    benchmark:
        "<benchmarks>/table2-{measure}.tsv"
    message:
        "writing Table 2 by {wildcards.measure}"


rule table3:
    """Write Table 3: models at their best latent size."""
    input:
        scores="<results>/tables/scores.parquet",
        redraws=REDRAWS,
        published=PUBLISHED,
        modules=modules("table3"),
    output:
        **table_files("table3", "Table 3: models at their best latent size"),
    log:
        "<logs>/table3.log",
    benchmark:
        "<benchmarks>/table3.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        methods=METHODS,
    message:
        "writing Table 3: every model at its best latent size"
    script:
        "../scripts/table3.py"


rule claims:
    """Judge each claim of the paper by the numbers of this run, and by the published ones."""
    input:
        scores="<results>/tables/scores.parquet",
        latent="<results>/tables/latent.parquet",
        redraws=REDRAWS,
        published=PUBLISHED,
        modules=modules("claims"),
    output:
        **table_files("claims", "The paper's claims", category="claims"),
        # The report begins with it.
        answer="<results>/tables/answer.rst",
    log:
        "<logs>/claims.log",
    benchmark:
        "<benchmarks>/claims.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        comparison_latent=COMPARISON_LATENT,
        methods=METHODS,
    message:
        "judging the paper's claims"
    script:
        "../scripts/claims.py"


rule parameters:
    """Compare the size of each network with the size required for smooth interpolation (section 5)."""
    input:
        cells=for_cells("<results>/cells/<cell>/cell.json"),
        modules=modules("parameters"),
    output:
        **table_files("parameters", "Table of parameters"),
    log:
        "<logs>/parameters.log",
    benchmark:
        "<benchmarks>/parameters.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        comparison_latent=COMPARISON_LATENT,
    message:
        "counting parameters"
    script:
        "../scripts/parameters.py"


rule costs:
    """Add up the time, memory and energy of each cell."""
    input:
        cells=for_cells("<results>/cells/<cell>/cell.json"),
        # So that all jobs whose times are added up are finished.
        scores=SCORES,
        modules=modules("costs"),
    output:
        **table_files("costs", "Costs", category="costs"),
    log:
        "<logs>/costs.log",
    benchmark:
        "<benchmarks>/costs.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    message:
        "adding up what the cells cost"
    script:
        "../scripts/costs.py"


rule tuning:
    """Choose the weights of each method by validation images."""
    input:
        scores=tuning_scores,
        modules=modules("tuning"),
    output:
        **table_files("tuning", "Tuning: weights of the methods"),
    log:
        "<logs>/tuning.log",
    benchmark:
        "<benchmarks>/tuning.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        settings=SETTINGS,
    message:
        "choosing the weights of each method"
    script:
        "../scripts/tuning.py"
