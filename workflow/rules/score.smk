# Stage 6: scores, which compare a cell's image sets with the dataset's images.


localrules:
    download_extractor,


# Extractors that are trained on a dataset, and the weights that others download, with their kinds.
TRAINED = [
    name for name, entry in config["extractors"].items() if hasattr(kinds.load("extractors", entry["kind"]), "train")
]
DOWNLOADS = {
    downloaded_weights(entry): entry["kind"] for name, entry in config["extractors"].items() if name not in TRAINED
}


rule all_scores:
    """Every cell's scores, and those of images made elsewhere."""
    input:
        SCORES,
        EXTERNAL_SCORES,
    message:
        "every cell is scored"


rule download_extractor:
    """Download an extractor's weights, and verify their checksum."""
    input:
        modules=modules("download_extractor", lambda wildcards: [("extractors", wildcards.kind)]),
    output:
        "<resources>/{kind}/{weights}",
    log:
        "<logs>/download_extractor/{kind}/{weights}.log",
    benchmark:
        "<benchmarks>/download_extractor/{kind}/{weights}.tsv"
    wildcard_constraints:
        kind="|".join(sorted(set(DOWNLOADS.values()))),
        weights="|".join(map(re.escape, DOWNLOADS)),
    priority: 6  # on a machine without a network, fail before the first training, not after the last
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    message:
        "downloading the extractor's weights {wildcards.kind}/{wildcards.weights}"
    script:
        "../scripts/download_extractor.py"


rule train_extractor:
    """Train an extractor's network on a dataset."""
    input:
        train="<results>/datasets/{dataset}/train.npz",
        test="<results>/datasets/{dataset}/test.npz",
        modules=modules("train_extractor", extractor_kind),
    output:
        weights="<results>/extractors/{extractor}-{dataset}.safetensors",
        info="<results>/extractors/{extractor}-{dataset}.json",
    log:
        "<logs>/train_extractor/{extractor}-{dataset}.log",
    benchmark:
        "<benchmarks>/train_extractor/{extractor}-{dataset}.tsv"
    wildcard_constraints:
        extractor="|".join(map(re.escape, TRAINED)) or "(?!)",
    priority: 5
    conda:
        "../../envs/score.yaml"
    threads: config["threads"]
    resources:
        gpu=extractor_slots,
        mem_mb=megabytes(6000, images=2),
        runtime=minutes(extractor_minutes),
    params:
        options=extractor_options,
        seed=lookup(within=config, dpath="scoring/seed"),
        format=FORMAT,
    message:
        "training the extractor {wildcards.extractor} on {wildcards.dataset}"
    script:
        "../scripts/train_extractor.py"


rule reference:
    """Compute an extractor's features of a dataset's images, and what measures prepare from them."""
    input:
        images=reference_split,
        test=test_reference,
        extractor=extractor_weights,
        modules=modules("reference", preparing_kinds),
    output:
        "<results>/reference/{dataset}/{extractor}-{split}.npz",
    log:
        "<logs>/reference/{dataset}/{extractor}-{split}.log",
    benchmark:
        "<benchmarks>/reference/{dataset}/{extractor}-{split}.tsv"
    priority: 5
    conda:
        extractor_environment
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=megabytes(8000, images=2),
        runtime=minutes(reference_minutes),
    params:
        images=reference_count,
        seed=lookup(within=config, dpath="scoring/seed"),
        measures=preparing_options,
        format=FORMAT,
        own_files=own_files(preparing_kinds),
    message:
        "computing {wildcards.extractor} features of {wildcards.dataset}'s {wildcards.split} images"
    script:
        "../scripts/reference.py"


rule score:
    """Score a cell's image sets against the dataset's images."""
    input:
        cell="<results>/cells/<cell>/cell.json",
        images=cell_images,
        references=expand(
            "<results>/reference/{dataset}/{extractor}-{split}.npz",
            split=[*REFERENCES, *[TRAINING] * bool(OF_TRAINING)],
            allow_missing=True,
        ),
        extractor=extractor_weights,
        record=extractor_record,
        modules=modules("score", scoring_kinds),
    output:
        **NEIGHBOURS,
        scores="<results>/cells/<cell>/scores/{extractor}.parquet",
    log:
        "<logs>/score/<cell>/{extractor}.log",
    benchmark:
        "<benchmarks>/score/<cell>/{extractor}.tsv"
    priority: 4
    conda:
        extractor_environment
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=megabytes(8000),
        runtime=minutes(scoring_minutes),
    params:
        cell=cell_identity,
        comparisons=cell_comparisons,
        measures=scoring_options,
        own_files=own_files(scoring_kinds),
    message:
        "scoring {wildcards.dataset}/{wildcards.model} with {wildcards.extractor}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/score.py"


rule redraw:
    """Draw samples of one cell of a dataset again and again, to measure how much scores depend on the draw."""
    input:
        weights=of_redrawn_cell("<results>/cells/<cell>/weights.safetensors"),
        cell=of_redrawn_cell("<results>/cells/<cell>/cell.json"),
        priors=of_redrawn_cell("<results>/cells/<cell>/priors/{prior}.npz"),
        reference="<results>/reference/{dataset}/{extractor}-test.npz",
        extractor=extractor_weights,
        modules=modules("redraw", redrawing_kinds),
    output:
        "<results>/redraws/{dataset}-{extractor}.parquet",
    log:
        "<logs>/redraw/{dataset}-{extractor}.log",
    benchmark:
        "<benchmarks>/redraw/{dataset}-{extractor}.tsv"
    priority: 4
    conda:
        extractor_environment
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=megabytes(8000),
        runtime=minutes(30),
    params:
        cell=redrawn_cell,
        images=lookup(within=config, dpath="scoring/images"),
        precision=redrawn_precision,
        measure=entry_options("measures", {"frechet": MEASURES["frechet"]})["frechet"],
        own_files=own_files(redrawing_kinds),
    message:
        "drawing samples of {wildcards.dataset} again, and scoring them with {wildcards.extractor}"
    script:
        "../scripts/redraw.py"
