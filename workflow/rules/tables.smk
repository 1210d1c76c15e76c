# Stage 7: tables, as parquet for machines, and CSV and Markdown for people.


localrules:
    provenance,


rule all_tables:
    input:
        expand(
            "<results>/tables/{table}.{format}",
            table=["scores", "table2", "table3"],
            format=["parquet", "csv", "md", "html"],
        ),
        "<results>/provenance.json",
    message:
        "the tables are complete"


rule provenance:
    input:
        modules=modules("provenance"),
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
        config=config,
        code=provenance.code_version(),
    message:
        "recording the config, the code and the versions"
    script:
        "../scripts/provenance.py"


rule collect_scores:
    input:
        scores=SCORES,
        published=PUBLISHED,
        modules=modules("collect_scores"),
    output:
        parquet="<results>/tables/scores.parquet",
        csv="<results>/tables/scores.csv",
        md="<results>/tables/scores.md",
        html=report(
            "<results>/tables/scores.html",
            caption="../report/scores.rst",
            category="Tables",
            labels={"table": "all scores"},
        ),
    log:
        "<logs>/collect_scores.log",
    benchmark:
        "<benchmarks>/collect_scores.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    message:
        "collecting the scores of all cells"
    script:
        "../scripts/collect_scores.py"


rule table2:
    input:
        scores="<results>/tables/scores.parquet",
        published=PUBLISHED,
        modules=modules("table2"),
    output:
        parquet="<results>/tables/table2.parquet",
        csv="<results>/tables/table2.csv",
        md="<results>/tables/table2.md",
        html=report(
            "<results>/tables/table2.html",
            caption="../report/table2.rst",
            category="Tables",
            labels={"table": "Table 2"},
        ),
    log:
        "<logs>/table2.log",
    benchmark:
        "<benchmarks>/table2.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        comparison_latent={name: config["datasets"][name]["comparison_latent"] for name in USED_DATASETS},
    message:
        "writing Table 2: all models at the comparison latent sizes"
    script:
        "../scripts/table2.py"


rule table3:
    input:
        scores="<results>/tables/scores.parquet",
        published=PUBLISHED,
        modules=modules("table3"),
    output:
        parquet="<results>/tables/table3.parquet",
        csv="<results>/tables/table3.csv",
        md="<results>/tables/table3.md",
        html=report(
            "<results>/tables/table3.html",
            caption="../report/table3.rst",
            category="Tables",
            labels={"table": "Table 3"},
        ),
    log:
        "<logs>/table3.log",
    benchmark:
        "<benchmarks>/table3.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    message:
        "writing Table 3: every model at its best latent size"
    script:
        "../scripts/table3.py"
