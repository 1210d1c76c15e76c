# Stage 8: figures.


rule all_figures:
    """Every figure, and every cell's samples, reconstructions and interpolations."""
    input:
        expand(
            "<results>/figures/{figure}.{format}",
            figure=[*FIGURE_FILES, "contact_sheet"],
            format=["pdf", "png", "html"],
        ),
        expand("<results>/datasets/{dataset}/preview.png", dataset=USED_DATASETS),
        for_cells("<results>/cells/<cell>/reconstructions.png"),
        for_cells("<results>/cells/<cell>/interpolations.png"),
        for_cells("<results>/cells/<cell>/samples.png"),
        for_cells("<results>/cells/<cell>/neighbours.png") if OF_TRAINING else [],
    message:
        "the figures are complete"


rule preview_dataset:
    """Draw a few of a dataset's prepared images."""
    input:
        test="<results>/datasets/{dataset}/test.npz",
        modules=modules("preview_dataset"),
    output:
        report(
            "<results>/datasets/{dataset}/preview.png",
            caption="../report/preview.rst",
            category=CATEGORIES["datasets"],
            labels={"dataset": "{dataset}"},
        ),
    log:
        "<logs>/preview_dataset/{dataset}.log",
    benchmark:
        "<benchmarks>/preview_dataset/{dataset}.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=megabytes(2000, images=1),
        runtime=minutes(5),
    message:
        "drawing a preview of {wildcards.dataset}"
    script:
        "../scripts/preview_dataset.py"


rule figure:
    """Draw one of the paper's figures of scores, or a similar one for another experiment."""
    input:
        scores=figure_scores,
        cells=figure_records,
        external=figure_external,
        published=PUBLISHED,
        caption=caption("figure"),
        modules=modules("figure"),
    output:
        pdf="<results>/figures/{figure}-{extractor}.pdf",
        png="<results>/figures/{figure}-{extractor}.png",
        html=report(
            "<results>/figures/{figure}-{extractor}.html",
            caption="../report/figure.rst",
            category=CATEGORIES["figures"],
            labels=figure_label(score_figure_title),
        ),
    log:
        "<logs>/figure/{figure}-{extractor}.log",
    benchmark:
        "<benchmarks>/figure/{figure}-{extractor}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        title=score_figure_title,
        models=MODELS,
    message:
        "drawing {wildcards.figure} in {wildcards.extractor} features"
    script:
        "../scripts/figure.py"


use rule figure as figure_by_measure with:
    output:
        pdf="<results>/figures/{figure}-{extractor}-{measure}.pdf",
        png="<results>/figures/{figure}-{extractor}-{measure}.png",
        html=report(
            "<results>/figures/{figure}-{extractor}-{measure}.html",
            caption="../report/figure.rst",
            category=CATEGORIES["figures"],
            labels=figure_label(score_figure_title),
        ),
    log:
        "<logs>/figure/{figure}-{extractor}-{measure}.log",
    benchmark:
        "<benchmarks>/figure/{figure}-{extractor}-{measure}.tsv"
    message:
        "drawing {wildcards.figure} by {wildcards.measure} in {wildcards.extractor} features"


rule precision_recall:
    """Draw precision against recall, by model and prior."""
    input:
        scores=compared_scores,
        external=compared_external,
        caption=caption("precision_recall"),
        modules=modules("precision_recall"),
    output:
        pdf="<results>/figures/precision_recall-{extractor}.pdf",
        png="<results>/figures/precision_recall-{extractor}.png",
        html=report(
            "<results>/figures/precision_recall-{extractor}.html",
            caption="../report/precision_recall.rst",
            category=CATEGORIES["figures"],
            labels=figure_label(precision_recall_title),
        ),
    log:
        "<logs>/precision_recall/{extractor}.log",
    benchmark:
        "<benchmarks>/precision_recall/{extractor}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        title=precision_recall_title,
        models=MODELS,
    message:
        "drawing precision and recall in {wildcards.extractor} features"
    script:
        "../scripts/precision_recall.py"


rule methods_figure:
    """Draw methods beside a plain autoencoder: samples against reconstructions, and ratios to it."""
    input:
        scores=baseline_scores,
        published=PUBLISHED,
        caption=caption("methods"),
        modules=modules("methods_figure"),
    output:
        pdf="<results>/figures/baselines-{extractor}.pdf",
        png="<results>/figures/baselines-{extractor}.png",
        html=report(
            "<results>/figures/baselines-{extractor}.html",
            caption="../report/methods.rst",
            category=CATEGORIES["figures"],
            labels=figure_label(baselines_title),
        ),
    log:
        "<logs>/methods_figure/{extractor}.log",
    benchmark:
        "<benchmarks>/methods_figure/{extractor}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        title=baselines_title,
        models=MODELS,
        methods=METHODS,
    message:
        "drawing methods in {wildcards.extractor} features"
    script:
        "../scripts/methods_figure.py"


rule scatter:
    """Draw the codes of a few cells in two latent dimensions (Figures A.1 and A.2)."""
    input:
        codes=scatter_codes,
        cells=scatter_records,
        caption=caption("scatter"),
        modules=modules("scatter"),
    output:
        pdf="<results>/figures/scatter-{dataset}.pdf",
        png="<results>/figures/scatter-{dataset}.png",
        html=report(
            "<results>/figures/scatter-{dataset}.html",
            caption="../report/scatter.rst",
            category=CATEGORIES["figures"],
            labels=figure_label(scatter_title),
        ),
    log:
        "<logs>/scatter/{dataset}.log",
    benchmark:
        "<benchmarks>/scatter/{dataset}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(8000),
        runtime=minutes(3),
    params:
        title=scatter_title,
        clouds=scatter_clouds,
        models=scatter_models,
        seed=scatter_seed,
    message:
        "drawing codes of {wildcards.dataset}"
    script:
        "../scripts/scatter.py"


rule latent_figure:
    """Draw how Gaussian codes are against width and depth."""
    input:
        statistics="<results>/tables/latent.parquet",
        cells=for_cells("<results>/cells/<cell>/cell.json"),
        caption=caption("latent_statistics"),
        modules=modules("latent_figure"),
    output:
        pdf="<results>/figures/latent_statistics.pdf",
        png="<results>/figures/latent_statistics.png",
        html=report(
            "<results>/figures/latent_statistics.html",
            caption="../report/latent_statistics.rst",
            category=CATEGORIES["figures"],
            labels={"figure": figure_title("latent_statistics")},
        ),
    log:
        "<logs>/latent_figure.log",
    benchmark:
        "<benchmarks>/latent_figure.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        title=figure_title("latent_statistics"),
        comparison_latent=COMPARISON_LATENT,
    message:
        "drawing how Gaussian the codes are"
    script:
        "../scripts/latent_figure.py"


rule learning_curves:
    """Draw the learning curves of a dataset's cells."""
    input:
        cells=for_dataset("<results>/cells/<cell>/cell.json"),
        histories=for_dataset("<results>/cells/<cell>/history.parquet"),
        caption=caption("learning_curves"),
        modules=modules("learning_curves"),
    output:
        pdf="<results>/figures/learning_curves-{dataset}.pdf",
        png="<results>/figures/learning_curves-{dataset}.png",
        html=report(
            "<results>/figures/learning_curves-{dataset}.html",
            caption="../report/learning_curves.rst",
            category=CATEGORIES["figures"],
            labels=figure_label(learning_curves_title),
        ),
    log:
        "<logs>/learning_curves/{dataset}.log",
    benchmark:
        "<benchmarks>/learning_curves/{dataset}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        title=learning_curves_title,
        comparison_latent=lambda wildcards: COMPARISON_LATENT[wildcards.dataset],
        models=MODELS,
    message:
        "drawing the learning curves of {wildcards.dataset}"
    script:
        "../scripts/learning_curves.py"


rule tuning_figure:
    """Draw scores on validation images against the factor of each method's weights."""
    input:
        scores=tuning_scores,
        caption=caption("tuning_figure"),
        modules=modules("tuning_figure"),
    output:
        pdf="<results>/figures/tuning-{dataset}-{extractor}.pdf",
        png="<results>/figures/tuning-{dataset}-{extractor}.png",
        html=report(
            "<results>/figures/tuning-{dataset}-{extractor}.html",
            caption="../report/tuning_figure.rst",
            category=CATEGORIES["figures"],
            labels=figure_label(tuning_title),
        ),
    log:
        "<logs>/tuning_figure/{dataset}-{extractor}.log",
    benchmark:
        "<benchmarks>/tuning_figure/{dataset}-{extractor}.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        title=tuning_title,
        settings=SETTINGS,
        models=MODELS,
    message:
        "drawing the choice of weights on {wildcards.dataset} in {wildcards.extractor} features"
    script:
        "../scripts/tuning_figure.py"


rule contact_sheet:
    """Draw all figures on one page."""
    input:
        figures=expand("<results>/figures/{figure}.png", figure=FIGURE_FILES),
        caption=caption("contact_sheet"),
        modules=modules("contact_sheet"),
    output:
        pdf="<results>/figures/contact_sheet.pdf",
        png="<results>/figures/contact_sheet.png",
        html=report(
            "<results>/figures/contact_sheet.html",
            caption="../report/contact_sheet.rst",
            category=CATEGORIES["figures"],
            labels={"figure": "All on one page"},
        ),
    log:
        "<logs>/contact_sheet.log",
    benchmark:
        "<benchmarks>/contact_sheet.tsv"
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(3),
    params:
        title="All figures on one page",
        titles=[figure_title(name) for name in FIGURE_FILES],
    message:
        "drawing all figures on one page"
    script:
        "../scripts/contact_sheet.py"


rule pictures:
    """Draw a cell's reconstructions, and steps between test images."""
    input:
        gallery="<results>/cells/<cell>/gallery.npz",
        cell="<results>/cells/<cell>/cell.json",
        modules=modules("pictures"),
    output:
        reconstructions=report(
            "<results>/cells/<cell>/reconstructions.png",
            caption="../report/reconstructions.rst",
            category=CATEGORIES["reconstructions"],
            subcategory=report_subcategory,
            labels=picture_label("reconstructions"),
        ),
        interpolations=report(
            "<results>/cells/<cell>/interpolations.png",
            caption="../report/interpolations.rst",
            category=CATEGORIES["reconstructions"],
            subcategory=report_subcategory,
            labels=picture_label("interpolations"),
        ),
    log:
        "<logs>/pictures/<cell>.log",
    benchmark:
        "<benchmarks>/pictures/<cell>.tsv"
    priority: 4
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(5),
    message:
        "drawing images of {wildcards.dataset}/{wildcards.model}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/pictures.py"


rule draw_samples:
    """Draw a cell's samples with their scores, below test images."""
    input:
        gallery="<results>/cells/<cell>/gallery.npz",
        cell="<results>/cells/<cell>/cell.json",
        scores=cell_scores,
        modules=modules("draw_samples"),
    output:
        report(
            "<results>/cells/<cell>/samples.png",
            caption="../report/samples.rst",
            category=CATEGORIES["samples"],
            subcategory=report_subcategory,
            labels=picture_label("samples"),
        ),
    log:
        "<logs>/draw_samples/<cell>.log",
    benchmark:
        "<benchmarks>/draw_samples/<cell>.tsv"
    priority: 4
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000),
        runtime=minutes(5),
    params:
        priors=shown_priors,
    message:
        "drawing samples of {wildcards.dataset}/{wildcards.model}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/draw_samples.py"


use rule draw_samples as draw_unscored_samples with:
    input:
        gallery="<results>/cells/<cell>/gallery.npz",
        cell="<results>/cells/<cell>/cell.json",
        modules=modules("draw_samples"),
    output:
        "<results>/cells/<cell>/samples-unscored.png",
    log:
        "<logs>/draw_unscored_samples/<cell>.log",
    benchmark:
        "<benchmarks>/draw_unscored_samples/<cell>.tsv"


rule draw_neighbours:
    """Draw those of a cell's samples that are the nearest to a training image, beside it."""
    input:
        gallery="<results>/cells/<cell>/gallery.npz",
        cell="<results>/cells/<cell>/cell.json",
        train="<results>/datasets/{dataset}/train.npz",
        neighbours=cell_neighbours,
        modules=modules("draw_neighbours"),
    output:
        report(
            "<results>/cells/<cell>/neighbours.png",
            caption="../report/neighbours.rst",
            category=CATEGORIES["samples"],
            subcategory=report_subcategory,
            labels=picture_label("nearest training images"),
        ),
    log:
        "<logs>/draw_neighbours/<cell>.log",
    benchmark:
        "<benchmarks>/draw_neighbours/<cell>.tsv"
    priority: 4
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=megabytes(2000, images=1),
        runtime=minutes(5),
    params:
        priors=shown_priors,
        extractors=cell_extractors,
    message:
        "drawing the nearest training images of {wildcards.dataset}/{wildcards.model}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/draw_neighbours.py"
