# Stage 8: figures.


rule all_figures:
    input:
        expand(
            "<results>/figures/figure1-{extractor}.{format}", extractor=extractors_of("width"), format=["pdf", "png"]
        ),
        expand("<results>/datasets/{dataset}/preview.png", dataset=USED_DATASETS),
        for_cells("<results>/cells/<cell>/reconstructions.png"),
        for_cells("<results>/cells/<cell>/samples.png"),
    message:
        "the figures are complete"


rule preview_dataset:
    input:
        test="<results>/datasets/{dataset}/test.npz",
        modules=modules("preview_dataset"),
    output:
        report(
            "<results>/datasets/{dataset}/preview.png",
            caption="../report/preview.rst",
            category="Datasets",
            labels={"dataset": "{dataset}"},
        ),
    log:
        "<logs>/preview_dataset/{dataset}.log",
    benchmark:
        "<benchmarks>/preview_dataset/{dataset}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=4000,
        runtime=10,
    message:
        "drawing a preview of {wildcards.dataset}"
    script:
        "../scripts/preview_dataset.py"


rule figure1:
    input:
        scores="<results>/tables/scores.parquet",
        published=PUBLISHED,
        modules=modules("figure1"),
    output:
        pdf="<results>/figures/figure1-{extractor}.pdf",
        png=report(
            "<results>/figures/figure1-{extractor}.png",
            caption="../report/figure1.rst",
            category="Figures",
            labels={"figure": "Figure 1", "extractor": "{extractor}"},
        ),
    log:
        "<logs>/figure1/{extractor}.log",
    benchmark:
        "<benchmarks>/figure1/{extractor}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        cells=cells_of("width"),
    message:
        "drawing Figure 1 in {wildcards.extractor} features"
    script:
        "../scripts/figure1.py"


rule grids:
    input:
        gallery="<results>/cells/<cell>/gallery.npz",
        modules=modules("grids"),
    output:
        reconstructions=report(
            "<results>/cells/<cell>/reconstructions.png",
            caption="../report/reconstructions.rst",
            category="Reconstructions",
            subcategory="{dataset}",
            labels=CELL_LABELS,
        ),
        samples=report(
            "<results>/cells/<cell>/samples.png",
            caption="../report/samples.rst",
            category="Samples",
            subcategory="{dataset}",
            labels=CELL_LABELS,
        ),
    log:
        "<logs>/grids/<cell>.log",
    benchmark:
        "<benchmarks>/grids/<cell>.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime=10,
    params:
        priors=list(config["priors"]),
    message:
        "drawing images of {wildcards.dataset}/{wildcards.model}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/grids.py"
