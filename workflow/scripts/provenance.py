"""Record the resolved config, the code's version and the packages' versions beside the results (rule provenance)."""

from autoencoders.files import write_json
from autoencoders.job import job
from autoencoders.provenance import package_versions

if __name__ == "__main__":
    with job(snakemake):
        write_json(
            snakemake.output[0],
            {"config": snakemake.config, "code": snakemake.params.code, "versions": package_versions()},
        )
