# Stage 6: Fréchet distances between a cell's image sets and the dataset's images.


localrules:
    download_inception,


rule all_scores:
    """Every cell's Fréchet distances."""
    input:
        SCORES,
    message:
        "every cell is scored"


rule download_inception:
    """Download pytorch-fid's Inception weights, and check them."""
    input:
        modules=modules("download_inception"),
    output:
        "<resources>/inception/pt_inception-2015-12-05-6726825d.pth",
    log:
        "<logs>/download_inception.log",
    benchmark:
        "<benchmarks>/download_inception.tsv"
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=1000,
        runtime=30,
    message:
        "downloading the Inception weights of pytorch-fid"
    script:
        "../scripts/download_inception.py"


rule train_classifier:
    """Train the classifier whose features a dataset is scored in, where that is asked for."""
    input:
        train="<results>/datasets/{dataset}/train.npz",
        test="<results>/datasets/{dataset}/test.npz",
        modules=modules("train_classifier"),
    output:
        weights="<results>/extractors/classifier-{dataset}.safetensors",
        info="<results>/extractors/classifier-{dataset}.json",
    log:
        "<logs>/train_classifier/{dataset}.log",
    benchmark:
        "<benchmarks>/train_classifier/{dataset}.tsv"
    priority: 5
    conda:
        "../../envs/score.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=megabytes(6000, images=2),
        runtime=minutes(30),
    params:
        options=lookup(within=config, dpath="extractors/classifier"),
        seed=lookup(within=config, dpath="scoring/seed"),
    message:
        "training the classifier whose features {wildcards.dataset} is scored in"
    script:
        "../scripts/train_classifier.py"


rule reference:
    """The statistics of a dataset's images in an extractor's features."""
    input:
        images="<results>/datasets/{dataset}/{split}.npz",
        extractor=extractor_weights,
        modules=modules("reference"),
    output:
        "<results>/reference/{dataset}/{extractor}-{split}.npz",
    log:
        "<logs>/reference/{dataset}/{extractor}-{split}.log",
    benchmark:
        "<benchmarks>/reference/{dataset}/{extractor}-{split}.tsv"
    priority: 5
    conda:
        "../../envs/score.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=megabytes(8000, images=2),
        runtime=minutes(15),
    params:
        images=lookup(within=config, dpath="scoring/images"),
        seed=lookup(within=config, dpath="scoring/seed"),
    message:
        "computing the statistics of {wildcards.dataset}'s {wildcards.split} images in {wildcards.extractor} features"
    script:
        "../scripts/reference.py"


rule score:
    """The Fréchet distances between a cell's images and the dataset's."""
    input:
        cell="<results>/cells/<cell>/cell.json",
        images=expand("<results>/cells/<cell>/images/{name}.npy", name=IMAGE_SETS, allow_missing=True),
        references=expand("<results>/reference/{dataset}/{extractor}-{split}.npz", split=REFERENCES, allow_missing=True),
        extractor=extractor_weights,
        classifier=classifier_record,
        modules=modules("score"),
    output:
        "<results>/cells/<cell>/scores/{extractor}.parquet",
    log:
        "<logs>/score/<cell>/{extractor}.log",
    benchmark:
        "<benchmarks>/score/<cell>/{extractor}.tsv"
    priority: 4
    conda:
        "../../envs/score.yaml"
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=megabytes(8000),
        runtime=minutes(15),
    params:
        cell=cell_identity,
        comparisons=COMPARISONS,
    message:
        "scoring {wildcards.dataset}/{wildcards.model} with {wildcards.extractor}: filters {wildcards.filters}, depth {wildcards.depth}, latent {wildcards.latent}, seed {wildcards.seed}"
    script:
        "../scripts/score.py"
