# Stage 1: images from their source as uint8 arrays, one file per split.


localrules:
    download_dataset,


rule all_datasets:
    """Every dataset of the run, prepared."""
    input:
        expand("<results>/datasets/{dataset}/{split}.npz", dataset=USED_DATASETS, split=["train", "test"]),
    message:
        "the datasets are prepared"


rule download_dataset:
    """Download a dataset, and verify its official checksum if it has one."""
    input:
        modules=modules("download_dataset", source_kind),
    output:
        "<resources>/datasets/{dataset}.json",
    log:
        "<logs>/download_dataset/{dataset}.log",
    benchmark:
        "<benchmarks>/download_dataset/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(TESTED),
    priority: 6  # on a machine without a network, fail before the first training, not after the last
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        dataset=dataset_source,
    message:
        "downloading {wildcards.dataset}"
    script:
        "../scripts/download_dataset.py"


rule prepare_dataset:
    """Crop and resize a dataset's images, and split them."""
    input:
        source=dataset_manifest,
        modules=modules("prepare_dataset", source_kind),
    output:
        train="<results>/datasets/{dataset}/train.npz",
        test="<results>/datasets/{dataset}/test.npz",
        info="<results>/datasets/{dataset}/dataset.json",
    log:
        "<logs>/prepare_dataset/{dataset}.log",
    benchmark:
        "<benchmarks>/prepare_dataset/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(TESTED),
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=megabytes(4000, images=2),
        runtime=minutes(60),
    params:
        dataset=dataset_options,
        fingerprint=fingerprint,
        format=FORMAT,
    message:
        "preparing {wildcards.dataset}"
    script:
        "../scripts/prepare_dataset.py"


rule prepare_validation:
    """Hold images out of a dataset's training images, to choose weights by."""
    input:
        train=of_images("<results>/datasets/{dataset}/train.npz"),
        info=of_images("<results>/datasets/{dataset}/dataset.json"),
        modules=modules("prepare_validation"),
    output:
        train="<results>/datasets/{dataset}/train.npz",
        test="<results>/datasets/{dataset}/test.npz",
        info="<results>/datasets/{dataset}/dataset.json",
    log:
        "<logs>/prepare_validation/{dataset}.log",
    benchmark:
        "<benchmarks>/prepare_validation/{dataset}.tsv"
    wildcard_constraints:
        dataset=one_of(VALIDATION),
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=megabytes(2000, images=3),
        runtime=minutes(15),
    params:
        split=validation_options,
        format=FORMAT,
    message:
        "holding out {wildcards.dataset}"
    script:
        "../scripts/prepare_validation.py"
