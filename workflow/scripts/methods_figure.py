"""Sample scores of methods against their reconstructions' (rule methods_figure)."""

from autoencoders.evidence.paper_values import read_published
from autoencoders.evidence.score_tables import collect_scores, read_scores
from autoencoders.figures.figure_page import write_figure_page
from autoencoders.figures.methods import methods_figure
from autoencoders.figures.page_style import save
from autoencoders.jobs.job import job

if __name__ == "__main__":
    with job(snakemake.log[0]):
        params, output = snakemake.params, snakemake.output
        scores = collect_scores(read_scores(path, snakemake.config) for path in snakemake.input.scores)
        # Not the wildcard: scores with other weights than Inception's official ones have a name that says so.
        published = read_published(snakemake.input.published)
        figure = methods_figure(scores, scores["extractor"].iloc[0], published, params.models, params.methods)
        save(figure, output.pdf, output.png)
        write_figure_page(output.html, output.png, params.title, snakemake.input.caption, snakemake.wildcards)
