"""What the demo shows, for three seeds: training in full, on two cores for some minutes."""

import pandas as pd
import pytest
from running import PROJECT, copy_project, snakemake

from autoencoders.evidence.claim_values import our_values
from autoencoders.evidence.paper_values import read_published
from autoencoders.evidence.redraw_noise import redraw_noise
from autoencoders.evidence.verdicts import claims_table

pytestmark = pytest.mark.slow

# The cells of the demo that its primary claims and its figure of normalisation compare.
SEEDS = """
run: [normalisation]
seeds: [0, 1, 2]
experiments:
  normalisation:
    - { dataset: digits, model: [dae, vae], filters: 4, latent: 16 }
    - { dataset: digits, model: [vae, dae-bn], filters: 4, latent: 32 }
"""
CONFIGS = ("config/demo.yaml", "seeds.yaml")
PUBLISHED = read_published(PROJECT / "config" / "published_fid.csv")


def test_claims_about_fitted_priors_for_three_seeds(project, tmp_path):
    folder = copy_project(project, tmp_path)
    (folder / "seeds.yaml").write_text(SEEDS, encoding="utf-8")
    snakemake(folder, "results/demo/tables/claims.parquet", configs=CONFIGS)
    results = folder / "results" / "demo"
    scores, latent = (pd.read_parquet(results / f"tables/{name}.parquet") for name in ("scores", "latent"))
    noise = redraw_noise([pd.read_parquet(results / "redraws/digits-classifier.parquet")])
    assert scores["steps"].min() >= 500
    by_seed = [claims_of(scores[scores["seed"] == seed], latent[latent["seed"] == seed], noise) for seed in range(3)]
    # One seed of such small networks may tie within the noise of drawing; which one depends on the processor.
    assert all(set(table["outcome"]) <= {"holds", "tie"} for table in by_seed)
    together = claims_of(scores, latent, noise)
    assert together["verdict"].eq("indicative").all()
    assert together.loc["dae_below_vae_gmm", "outcome"] == "holds"
    frechet = scores[scores["measure"] == "frechet"]
    values = frechet.set_index(["model", "latent", "comparison", "seed"])["value"].sort_index()
    # The finding behind them: N(0, I) is the DAE's worst prior, and the mixture its best, with every seed.
    dae = values["dae", 16]
    assert (dae["gmm"] < dae["mvg"]).all() and (dae["mvg"] < dae["standard_normal"]).all()
    # With more latent units, batch normalisation mostly brings N(0, I) below the VAE's: with two of the seeds.
    assert (values["dae-bn", 32, "standard_normal"] < values["vae", 32, "standard_normal"]).sum() >= 2


def claims_of(scores, latent, noise):
    """The primary claims that the cells measure, by their name."""
    table = claims_table(our_values(scores, latent), PUBLISHED, {"digits": 16}, noise)
    table = table[(table["family"] == "primary") & (table["outcome"] != "not measured")].set_index("claim")
    assert set(table.index) == {"dae_below_vae_gmm", "dae_below_vae_mvg"}
    return table
