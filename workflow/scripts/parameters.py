"""Parameter counts beside the bound of Bubeck and Sellke (rule parameters; section 5)."""

from autoencoders.cell_records import cell_records, parameters_sections, parameters_table
from autoencoders.files import read_json
from autoencoders.job import job
from autoencoders.rendering import write_table

if __name__ == "__main__":
    with job(snakemake):
        table = parameters_table(cell_records(map(read_json, snakemake.input.cells)))
        sections = parameters_sections(table, snakemake.params.comparison_latent)
        write_table(table, "Parameter counts", snakemake.output, sections)
