"""Download a dataset's official archive or Hub files (rule download_dataset).

The files go to the folder with the dataset's name beside the output, which lists them: {file: sha256}.
"""

from pathlib import Path

from autoencoders.jobs import kinds
from autoencoders.jobs.files import write_json
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        dataset, manifest = snakemake.params.dataset, Path(snakemake.output[0])
        source = kinds.load("sources", dataset["source"])
        options = kinds.complete(dataset[dataset["source"]], source.OPTIONS)
        write_json(manifest, source.download(options, manifest.with_suffix("")))
