"""Download a dataset's official archive or Hub files (rule download_dataset).

The files stay in the folder of the dataset's name beside the output, a manifest {file: sha256} of them.
"""

from pathlib import Path

from autoencoders.files import write_json
from autoencoders.job import job
from autoencoders.sources import download

if __name__ == "__main__":
    with job(snakemake):
        manifest = Path(snakemake.output[0])
        write_json(manifest, download(snakemake.params.dataset, manifest.with_suffix("")))
