"""All figures on one page (rule contact_sheet)."""

from autoencoders.contact_sheet import contact_sheet
from autoencoders.job import job
from autoencoders.style import save

if __name__ == "__main__":
    with job(snakemake):
        pictures = dict(zip(snakemake.params.titles, snakemake.input.figures, strict=True))
        save(contact_sheet(pictures), snakemake.output.pdf, snakemake.output.png)
