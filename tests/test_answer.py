"""The answer with which the report begins, on made-up scores and verdicts."""

import pandas as pd
import pytest
from docutils.core import publish_doctree

from autoencoders.evidence.answer import answer
from autoencoders.evidence.verdicts import (
    FAILS,
    HOLDS,
    INDICATIVE,
    NOT_MEASURED,
    ONE_RUN,
    PUBLISHED,
    THIS_RUN,
    TIE,
    UNDECIDED,
)


def claims(*judged, dataset="digits", evidence=THIS_RUN, family="primary", extractor="classifier", setting="own"):
    """Claims with pairs (verdict, outcome)."""
    keys = {"dataset": dataset, "evidence": evidence, "family": family, "extractor": extractor, "setting": setting}
    return pd.DataFrame([{**keys, "verdict": verdict, "outcome": outcome} for verdict, outcome in judged])


def scores(values, dataset="digits", extractor="classifier", setting="own", latent=16, **changes):
    """Scores by (model, filters, seed, comparison); None: diverged."""
    rows = [
        {
            **{"dataset": dataset, "setting": setting, "extractor": extractor, "model": model, "filters": filters},
            **{"depth": "1", "latent": latent, "seed": seed, "comparison": comparison, "measure": "frechet"},
            **{"value": value, "status": "ok" if value is not None else "diverged", "steps": 500, **changes},
        }
        for (model, filters, seed, comparison), value in values.items()
    ]
    return pd.DataFrame(rows).astype({"value": "float64"})


BOTH = {("dae", 8, 0, "gmm"): 10.0, ("vae", 8, 0, "gmm"): 12.5}
AT = {"digits": 16, "cifar10": 128, "mine_": 16}


def test_claims_are_counted_by_their_verdicts_or_by_what_a_few_seeds_show():
    few = answer(claims((ONE_RUN, HOLDS), (ONE_RUN, HOLDS), (ONE_RUN, FAILS), (NOT_MEASURED,) * 2), scores(BOTH), AT)
    assert few.startswith(
        "**digits, FD (classifier features), not the paper's setting: of 4 primary claims of the paper, 2 hold, "
        "1 fails, 1 is not measured.** Each was compared in one run"
    )
    indicative = answer(claims((INDICATIVE, TIE), (INDICATIVE, HOLDS)), scores(BOTH), AT)
    assert "1 holds, 1 is a tie.** These are means over a few seeds" in indicative and "needs 5 seeds" in indicative
    # With enough seeds the verdict counts, not what the means show.
    many = answer(claims((UNDECIDED, HOLDS), (HOLDS, HOLDS), (UNDECIDED, FAILS)), scores(BOTH), AT)
    assert "1 holds, 2 are undecided.**" in many and "seeds" not in many
    others = [claims((HOLDS, HOLDS), evidence=PUBLISHED), claims((HOLDS, HOLDS), family="paper")]
    assert answer(pd.concat([claims((FAILS, FAILS)), *others]), scores(BOTH), AT).count("primary claims") == 1
    assert answer(pd.concat(others), scores(BOTH), AT) == "**Nothing is measured yet.**\n"


def test_scores_are_means_at_the_comparison_latent_size_of_widths_that_both_have():
    values = {
        **{("dae", 8, seed, "gmm"): value for seed, value in enumerate((10, 11, None))},
        **{("vae", 8, seed, "gmm"): value for seed, value in enumerate((12, 13, 14))},
        **{("dae", 8, 0, "standard_normal"): 99, ("vae", 8, 0, "standard_normal"): 40, ("dae", 8, 0, "test_recon"): 1},
        **{("dae", 16, 0, "gmm"): 5, ("dae-bn", 8, 0, "gmm"): 1, ("vae", 8, 0, "test_recon"): 2},
    }
    elsewhere = [scores(BOTH, latent=32), scores(BOTH, depth="3321"), scores(BOTH, measure="kid")]
    elsewhere += [scores(BOTH, extractor="inception"), scores(BOTH, dataset="cifar10", latent=128)]
    text = answer(claims((ONE_RUN, HOLDS)), pd.concat([scores(values), *elsewhere]), AT)
    assert "FD (classifier features) of samples at 16 latent units, DAE against VAE" in text
    assert "\n- 8 filters: N(0,I) 99.00 against 40.00, GMM 10.50 against 13.00\n" in text
    assert text.count(" against ") == 1 + 2
    paper = {"dataset": "cifar10", "setting": "paper", "extractor": "inception"}
    text = answer(claims((ONE_RUN, HOLDS), **paper), scores(BOTH, latent=128, **paper), AT)
    assert "**CIFAR-10, FID: of 1 primary" in text and "not the paper's setting" not in text
    nothing = answer(claims((NOT_MEASURED, NOT_MEASURED)), scores(BOTH, latent=32), AT)
    assert "no width has a score of both" in nothing
    short = answer(claims((ONE_RUN, HOLDS)), scores(BOTH, steps=14), AT)
    assert "Trained for 14 steps only" in short and "steps" not in text


@pytest.mark.parametrize("name", ["mine_", "a_b", "x-1"])
def test_names_are_shown_as_they_are(name):
    text = answer(claims((ONE_RUN, HOLDS), dataset=name), scores(BOTH, dataset=name), {name: 16})
    tree = publish_doctree(text, settings_overrides={"report_level": 1, "halt_level": 1})
    assert tree.astext().startswith(f"{name}, FD (classifier features)") and "16 latent units" in tree.astext()
