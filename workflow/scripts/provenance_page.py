"""Show code, machines, packages and config on one page of the report (rule provenance_page)."""

from autoencoders.evidence.provenance_page import provenance_sections
from autoencoders.evidence.table_files import to_html
from autoencoders.jobs.files import atomic, read_json
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        cells = [read_json(path) for path in snakemake.input.cells]
        sections = provenance_sections(read_json(snakemake.input.record), cells)
        with atomic(snakemake.output[0]) as temporary:
            temporary.write_text(to_html("Provenance", sections), encoding="utf-8")
