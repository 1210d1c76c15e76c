"""Code, machines, packages and config on one page, for the report (rule provenance_page)."""

from autoencoders.files import atomic, read_json
from autoencoders.job import job
from autoencoders.provenance_page import provenance_sections
from autoencoders.rendering import to_html

if __name__ == "__main__":
    with job(snakemake):
        cells = [read_json(path) for path in snakemake.input.cells]
        sections = provenance_sections(read_json(snakemake.input.record), cells)
        with atomic(snakemake.output[0]) as temporary:
            temporary.write_text(to_html("Provenance", sections), encoding="utf-8")
