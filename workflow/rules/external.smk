# Images made elsewhere: an image set of each, and its scores, beside stages 5 and 6.


rule prepare_external:
    """Read images made elsewhere, exactly as they are."""
    input:
        train=of_its_dataset(lambda wildcards: f"<results>/datasets/{wildcards.dataset}/train.npz"),
        test=of_its_dataset(lambda wildcards: f"<results>/datasets/{wildcards.dataset}/test.npz"),
        modules=modules("prepare_external", external_kind),
    output:
        images="<results>/external/{external}/images.npy",
        info="<results>/external/{external}/external.json",
    log:
        "<logs>/prepare_external/{external}.log",
    benchmark:
        "<benchmarks>/prepare_external/{external}.tsv"
    priority: 6  # images that can't be scored fail before the first training, not after the last
    conda:
        "../../envs/data.yaml"
    resources:
        mem_mb=of_its_dataset(megabytes(4000, images=2)),
        runtime=minutes(30),
    params:
        source=external_source,
        fingerprint=external_fingerprint,
        images=lookup(within=config, dpath="scoring/images"),
        seed=lookup(within=config, dpath="scoring/seed"),
        format=FORMAT,
    message:
        "reading the images of {wildcards.external}"
    script:
        "../scripts/prepare_external.py"


rule score_external:
    """Score images made elsewhere against the dataset's images."""
    input:
        images="<results>/external/{external}/images.npy",
        references=of_its_dataset(external_references),
        extractor=of_its_dataset(extractor_weights),
        record=of_its_dataset(extractor_record),
        modules=modules("score_external", scoring_kinds),
    output:
        "<results>/external/{external}/scores/{extractor}.parquet",
    log:
        "<logs>/score_external/{external}/{extractor}.log",
    benchmark:
        "<benchmarks>/score_external/{external}/{extractor}.tsv"
    priority: 4
    conda:
        extractor_environment
    threads: config["threads"]
    resources:
        gpu=1,
        mem_mb=megabytes(8000),
        runtime=minutes(scoring_minutes),
    params:
        dataset=of_its_dataset(lambda wildcards: wildcards.dataset),
        seed=lookup(within=config, dpath="scoring/seed"),
        measures=scoring_options,
        own_files=own_files(scoring_kinds),
    message:
        "scoring the images of {wildcards.external} with {wildcards.extractor}"
    script:
        "../scripts/score_external.py"
