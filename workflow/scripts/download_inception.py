"""Download the weights of the Inception network that FID is defined by (rule download_inception)."""

from autoencoders import inception
from autoencoders.download import fetch
from autoencoders.job import job

if __name__ == "__main__":
    with job(snakemake):
        fetch(inception.URL, snakemake.output[0], inception.SHA256)
