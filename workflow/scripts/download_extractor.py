"""Download the weights of an extractor's network (rule download_extractor)."""

from autoencoders.data.downloads import fetch
from autoencoders.data.model_downloads import fetch_model
from autoencoders.jobs import kinds
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        extractor = kinds.load("extractors", snakemake.wildcards.kind)
        if hasattr(extractor, "URL"):
            fetch(extractor.URL, snakemake.output[0], extractor.SHA256)
        else:
            fetch_model(extractor.hub_address(snakemake.wildcards.weights), snakemake.output[0])
