"""Download a dataset's official archive or Hub files (rule download_dataset).

The files stay in the folder of params; the output is a manifest {file: sha256} of them.
"""

from autoencoders.files import write_json
from autoencoders.job import job
from autoencoders.sources import download

if __name__ == "__main__":
    with job(snakemake):
        write_json(snakemake.output[0], download(snakemake.params.dataset, snakemake.params.folder))
