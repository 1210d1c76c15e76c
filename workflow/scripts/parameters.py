"""Parameter counts beside the bound of Bubeck and Sellke (rule parameters; section 5)."""

from autoencoders.evidence.cell_tables import cell_records, parameters_sections, parameters_table
from autoencoders.evidence.table_files import write_table
from autoencoders.jobs.files import read_json
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        table = parameters_table(cell_records(map(read_json, snakemake.input.cells)))
        sections = parameters_sections(table, snakemake.params.comparison_latent)
        write_table(table, "Parameter counts", snakemake.output, sections)
