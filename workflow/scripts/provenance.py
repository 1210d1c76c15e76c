"""Record the resolved config, the code's version and the packages' versions beside the results (rule provenance)."""

from autoencoders.jobs.files import file_sha256, write_json
from autoencoders.jobs.job import job
from autoencoders.jobs.provenance import package_versions

if __name__ == "__main__":
    with job(snakemake.log[0]):
        record = {"config": snakemake.config, "code": snakemake.params.code, "versions": package_versions()}
        record["own_kinds"] = {path: file_sha256(path) for path in snakemake.input.own_kinds}
        write_json(snakemake.output[0], record)
