"""Download the weights of the Inception network that FID is defined by (rule download_inception)."""

from autoencoders.download import INCEPTION_SHA256, INCEPTION_URL, fetch
from autoencoders.job import job

if __name__ == "__main__":
    with job(snakemake):
        fetch(INCEPTION_URL, snakemake.output[0], INCEPTION_SHA256)
