"""All figures on one page (rule contact_sheet)."""

from autoencoders.figures.contact_sheet import contact_sheet
from autoencoders.figures.figure_page import write_figure_page
from autoencoders.figures.page_style import save
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        pictures = dict(zip(snakemake.params.titles, snakemake.input.figures, strict=True))
        save(contact_sheet(pictures), snakemake.output.pdf, snakemake.output.png)
        params, output = snakemake.params, snakemake.output
        write_figure_page(output.html, output.png, params.title, snakemake.input.caption, snakemake.wildcards)
