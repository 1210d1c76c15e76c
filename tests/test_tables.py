"""Tables 1 to 3 and the table of all scores, on made-up scores with known answers."""

import itertools
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from autoencoders.config import settings
from autoencoders.config.grid import network_options, objective_options
from autoencoders.evidence.cell_tables import table1, table1_sections
from autoencoders.evidence.methods import untuned_text, with_native_priors, with_untuned
from autoencoders.evidence.paper_values import (
    ABOUT,
    CITED,
    READINGS,
    RECIPE,
    RECIPES,
    merge_published,
    read_published,
    with_setting,
)
from autoencoders.evidence.score_pages import all_scores_sections, table2_sections, table3_sections
from autoencoders.evidence.score_tables import best, collect_scores, read_scores, table2, table3
from autoencoders.evidence.table_files import to_markdown, write_table
from autoencoders.jobs import kinds
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import write_json
from autoencoders.jobs.parquet_tables import write_parquet

PUBLISHED = read_published(Path(__file__).parents[1] / "config" / "published_fid.csv")
COMPARISONS = ["train_recon", "train_recon_vs_train", "test_recon", "interpolation", "standard_normal", "mvg", "gmm"]
SHOWN = [comparison for comparison in COMPARISONS if comparison != "interpolation"]
LATENT = {"cifar10": 128, "celeba": 64, "digits": 16}
NO_NOISE = pd.DataFrame(columns=["dataset", "extractor", "comparison", "sd_of_log"])


def cell(dataset="digits", model="dae", filters=8, depth="1", latent=16, seed=0, values=None, **other):
    """The rows that rule score writes for one cell; ``values`` None: diverged; a number: the same for all."""
    if not isinstance(values, dict):
        values = dict.fromkeys(COMPARISONS, values)
    extractor = other.pop("extractor", "classifier")
    known = (0.915, 0.1) if extractor == "classifier" else (np.nan, np.nan)
    rows = [
        {
            **{"dataset": dataset, "model": model, "filters": filters, "depth": depth, "latent": latent, "seed": seed},
            **{"setting": "paper" if dataset in ("cifar10", "celeba") else "own", "steps": 500, "precision": "bf16"},
            **{"extractor": extractor},
            **{"extractor_accuracy": known[0], "extractor_chance": known[1], "comparison": comparison},
            **{"measure": "frechet", "value": np.nan if value is None else float(value), "error": np.nan},
            **{"images": 0 if value is None else 10, "reference_images": 12_000},
            **{"status": "diverged" if value is None else "ok", **other},
        }
        for comparison, value in values.items()
    ]
    return pd.DataFrame(rows).astype({"value": "float64"})


def paths(folder):
    return {suffix: folder / f"t.{suffix}" for suffix in ("parquet", "csv", "md", "html", "tex")}


def merged(*cells):
    return merge_published(collect_scores(cells), PUBLISHED)


def shown(sections, heading):
    """The header and the rows of the section of that heading, as lists of texts."""
    (rows,) = (section.rows for section in sections if section.heading == heading)
    return [list(rows), *rows.to_numpy().tolist()]


@pytest.fixture(scope="module")
def beside():
    """Scores of a DAE and a VAE beside which the paper has values, and others beside which it has none."""
    values = dict(zip(COMPARISONS, (40, 30, 50, 70, 300, 97.6, 90), strict=True))
    same = {"filters": 128, "latent": 128}
    return merged(
        cell("cifar10", extractor="inception", values=values, **same),
        cell("cifar10", "vae", extractor="inception", values=values | {"mvg": 99, "gmm": None}, **same),
        cell("cifar10", values=3, **same),
        cell("digits", extractor="inception", values=3),
    )


def test_the_long_table_has_every_row_in_order():
    scores = merged(cell(latent=64, values=1), cell(latent=4, values=2), cell(model="ae", values=None))
    assert scores["latent"].tolist() == [16] * 7 + [4] * 7 + [64] * 7
    assert scores["comparison"].tolist() == COMPARISONS * 3 and scores["value"].count() == 14


def test_published_values_are_beside_exactly_their_cell():
    same = {"filters": 128, "latent": 128, "values": 50}
    paper = cell("cifar10", extractor="inception", **same)
    scores = merged(
        *(paper, paper.assign(measure="kid")),
        cell("cifar10", extractor="classifier", **same),
        cell("cifar10", extractor="inception", setting="own", **same),
        cell("cifar10", extractor="inception-other", **same),
        cell("digits", extractor="inception", **same),
        cell("cifar10", extractor="inception", **same | {"latent": 127}),
        cell("cifar10", extractor="inception", depth="2222", **same),
        cell("cifar10", extractor="inception", model="dae-sn", **same),
    )
    has = scores[scores["published"].notna()].set_index("comparison")
    printed = {"train_recon": 16.95, "test_recon": 45.21, "standard_normal": 282.3, "mvg": 82.49, "gmm": 73.78}
    assert has["published"].to_dict() == printed
    assert has["difference"].tolist() == pytest.approx([33.05, 4.79, -232.3, -32.49, -23.78])
    keys = ["extractor", "dataset", "latent", "depth", "model", "setting", "measure"]
    (cells,) = has[keys].drop_duplicates().to_numpy().tolist()
    assert cells == ["inception", "cifar10", 128, "1", "dae", "paper", "frechet"]
    assert has.loc["standard_normal", "published_confidence"] == "medium"
    assert scores.loc[scores["published"].isna(), ["difference", "published_source"]].isna().all(axis=None)
    # A user's own model may have the name of a cited one.
    own = merged(cell("cifar10", "rae-l2", filters=128, latent=128, extractor="inception", values=70))
    assert own["published"].isna().all()
    # A depth is matched as text.
    best = cell("cifar10", filters=128, depth="3321", latent=96, extractor="inception", values=70)
    scores = merged(best).set_index("comparison")
    assert scores["published"].dropna().to_dict() == {"mvg": 77.10, "gmm": 67.32}
    # Tables 2 and 3 both have this cell.
    both = merged(cell("cifar10", filters=64, latent=128, extractor="inception", values=70))
    assert set(both["published_source"].dropna()) == {"Table 2"}


def test_table2_means_over_the_seeds_that_are_ok():
    scores = merged(
        *(cell(seed=seed, values=value) for seed, value in enumerate([1, 2, 6])),
        *(cell(model="vae", seed=seed, values=value) for seed, value in enumerate([4, None, 8])),
        *(cell(model="dae-bn", seed=seed, values=None) for seed in range(3)),
        cell(filters=16, values=9),
        cell(latent=64, values=0.1),
        cell(depth="2222", values=0.1),
    )
    table = table2(scores, PUBLISHED, LATENT)
    assert table["model"].tolist() == ["dae", "dae-bn", "vae", "dae"]
    assert table["mvg"].tolist() == pytest.approx([3, np.nan, 6, 9], nan_ok=True)
    assert table["seeds"].tolist() == [3, 0, 2, 1]
    assert table["status"].tolist() == ["ok", "diverged", "partly diverged", "ok"]
    spread = [np.std([1, 2, 6], ddof=1), np.nan, np.sqrt(8), np.nan]
    assert table["mvg_sd"].tolist() == pytest.approx(spread, nan_ok=True)
    (section,) = table2_sections(table, scores, PUBLISHED, NO_NOISE)
    assert section.rows["MVG"].tolist() == ["3.00 ± 2.65", "diverged", "6.00 ± 2.83", "**9.00**"]
    assert "sample standard deviation" in section.text


def test_tables_say_what_was_compared():
    scores = merged(cell(values=1), cell(model="vae", values=None), cell("celeba", extractor="inception"))
    texts = {section.heading: section.text for section in all_scores_sections(scores)}
    for part in ("Every score compares 10 images with 12,000.", "91.5%", "10.0%"):
        assert part in texts["digits, classifier"]
    assert "no better than guessing" not in texts["digits, classifier"]
    # All diverged.
    assert "compares 10" not in texts["CelebA, inception"]
    scores.loc[(scores["model"] == "dae") & (scores["comparison"] == "gmm"), "images"] = 2000
    scores["extractor_chance"] = 0.92
    *_, digits = all_scores_sections(scores)
    assert ", MVG: 10 images with 12,000; GMM: 2,000 images with 12,000." in digits.text
    assert "no better than guessing" in digits.text
    scores[["extractor_accuracy", "extractor_chance"]] = np.nan
    texts = {section.heading: section.text for section in all_scores_sections(scores)}
    assert "The classifier's test accuracy is unknown." in texts["digits, classifier"]
    assert "accuracy" not in texts["CelebA, inception"]
    # A table without midpoints does not explain them.
    *_, second = table2_sections(table2(scores, PUBLISHED, LATENT), scores, PUBLISHED, NO_NOISE)
    assert "Midpoints" in digits.text and "Midpoints" not in second.text


def bold_models(*cells):
    """The models whose MVG score is bold in Table 2."""
    table = table2(merged(*cells), PUBLISHED, LATENT)
    return set(table.loc[best(table)["mvg"], "model"])


def of_seeds(model, *values):
    return [cell(model=model, seed=seed, values=value) for seed, value in enumerate(values)]


def test_the_lowest_mean_of_several_seeds_is_bold_only_if_its_interval_overlaps_no_other():
    # 95 % intervals of 1.0, 1.1, 1.2 and 2.0, 2.1, 2.2: mean ± 4.303 * 0.1 / sqrt(3), so 1.1 ± 0.248 and 2.1 ± 0.248.
    low, high = (1.0, 1.1, 1.2), (2.0, 2.1, 2.2)
    assert bold_models(*of_seeds("dae", *low), *of_seeds("vae", *high)) == {"dae"}
    # 1.1 and 1.59 are 0.49 apart, less than both half-widths; 1.1 and 1.61 are further.
    for other, expected in ((1.59, set()), (1.61, {"dae"})):
        near = (other - 0.1, other, other + 0.1)
        assert bold_models(*of_seeds("dae", *low), *of_seeds("vae", *near)) == expected
        # A third model far away changes nothing.
        assert bold_models(*of_seeds("dae", *low), *of_seeds("vae", *near), *of_seeds("dae-bn", 9, 9.1)) == expected
    # One seed has no interval, be it the lowest or another.
    assert bold_models(*of_seeds("dae", *low), *of_seeds("vae", 9)) == set()
    assert bold_models(*of_seeds("dae", 0.1), *of_seeds("vae", *high)) == set()
    # One run each: the lowest, as in the paper. A diverged model has no value.
    assert bold_models(*of_seeds("dae", 1), *of_seeds("vae", 1.01)) == {"dae"}
    assert bold_models(*of_seeds("dae", *low), *of_seeds("vae", None, None, None)) == {"dae"}


def test_captions_say_how_many_runs_and_in_which_precision_and_how_large_the_noise_is(beside):
    noise = {"dataset": "cifar10", "extractor": "inception", "comparison": "gmm", "sd_of_log": 0.0041, "draws": 5}
    noise = pd.DataFrame([noise | {"model": "dae", "filters": 256, "latent": 128}])
    for make, sections in ((lambda *a: table2(*a, LATENT), table2_sections), (table3, table3_sections)):
        texts = {each.heading: each.text for each in sections(make(beside, PUBLISHED), beside, PUBLISHED, noise)}
        text = texts["CIFAR-10, inception"]
        assert "One run: bold is our lowest" in text and "Ours were trained in bf16, the paper's in float32" in text
        assert "GMM 0.41 % (standard deviation over 5 draws from one cell: DAE, 256 filters, 128 latent" in text
        assert "float32" not in texts["digits, inception"] and "Drawing" not in texts["digits, inception"]
    several = merged(*of_seeds("dae", 1, 2), *of_seeds("vae", 3, 4))
    (section,) = table2_sections(table2(several, PUBLISHED, LATENT), several, PUBLISHED, NO_NOISE)
    assert "95 % interval over seeds" in section.text and "One run" not in section.text


def test_doubtful_values_of_the_paper_are_noted_under_its_tables(beside):
    sections = table2_sections(table2(beside, PUBLISHED, LATENT), beside, PUBLISHED, NO_NOISE)
    (notes,) = (each.text.splitlines()[1:] for each in sections if each.heading == "CIFAR-10, inception")
    assert any(
        note.startswith("WAE (cited), 128 filters, 128 latent units (Test R): ") and "VAE's" in note for note in notes
    )
    assert any("RAE-L2" in note and "training images" in note for note in notes)
    narrow = merged(cell("cifar10", filters=32, latent=160, extractor="inception", values=70))
    (section,) = table3_sections(table3(narrow, PUBLISHED), narrow, PUBLISHED, NO_NOISE)
    (note,) = (each for each in section.text.splitlines() if "160 latent units" in each)
    assert note.startswith("DAE, 32 filters, 160 latent units (Test R, N(0,I), MVG, GMM): ")
    assert "98.00 with 90.17 and 98.90 with 88.17 both fit" in note


def test_table2_order_and_a_users_own_prior():
    values = dict.fromkeys(["zeta", *reversed(COMPARISONS)], 5)
    models = ["zae", "vae", "dae-bn", "aae", "dae"]
    scores = merged(*(cell(model=model, filters=f, values=values) for model in models for f in (16, 8)))
    table = table2(scores, PUBLISHED, LATENT)
    order = [(filters, model) for filters in (8, 16) for model in ("dae", "dae-bn", "vae", "aae", "zae")]
    assert list(zip(table["filters"], table["model"], strict=True)) == order
    assert [name for name in table if name in values] == [*SHOWN, "zeta"]
    assert "zeta" in shown(table2_sections(table, scores, PUBLISHED, NO_NOISE), "digits, classifier")[0]


def test_table2_with_published_values_and_cited_rows(beside):
    table = table2(beside, PUBLISHED, LATENT)
    assert not best(table)[table["source"] == "cited"].any(axis=None)  # RAE's Test R is lower than ours
    assert table.loc[table["source"] == "cited", [*SHOWN, "seeds"]].isna().all(axis=None)
    dae, vae, *_, rae, _ = rows = shown(table2_sections(table, beside, PUBLISHED, NO_NOISE), "CIFAR-10, inception")[1:]
    # GMM-DAE has CelebA results only.
    assert [row[1] for row in rows] == ["DAE", "VAE", "EAE (cited)", "RAE-L2 (cited)", "WAE (cited)"]
    assert dae == [
        *("128", "DAE", "128", "**40.00**", "16.95 (+23.05)", "**30.00**", "**50.00**", "45.21 (+4.79)"),
        *("**300.00**", "282.3? (+17.70)", "**97.60**", "82.49 (+15.11)", "**90.00**", "73.78 (+16.22)", "1", "ok"),
    ]
    # Equally low values are all bold.
    assert vae[3] == "**40.00**" and vae[-6:] == ["99.00", "101.9 (-2.90)", "–", "94.21", "1", "partly diverged"]
    assert rae[2:-1] == ["128", *"––––", "32.24", "–", "–", "–", "80.80", "–", "74.16", "–"]
    # A reduced run has none beside it.
    reduced = table2(beside.assign(setting="own"), PUBLISHED, LATENT)
    assert not reduced.filter(regex="published|difference|cited").columns.any()


def test_a_cited_method_that_is_trained_here_has_its_cited_value_and_the_difference_beside_ours():
    same = {"filters": 128, "latent": 128, "extractor": "inception"}
    scores = merged(cell("cifar10", values=40, **same), cell("cifar10", "wae", values=30, **same))
    table = table2(scores, PUBLISHED, LATENT)
    header, *rows = shown(table2_sections(table, scores, PUBLISHED, NO_NOISE), "CIFAR-10, inception")
    assert [row[1] for row in rows] == ["DAE", "WAE", "EAE (cited)", "RAE-L2 (cited)"]
    ours, theirs = (dict(zip(header, row, strict=True)) for row in (rows[1], rows[2]))
    assert (ours["GMM"], ours["GMM, paper"]) == ("**30.00**", "93.53 (-63.53)")
    # The paper cites no MVG score of WAE, and doubts its reconstruction's.
    assert (ours["MVG"], ours["MVG, paper"]) == ("**30.00**", "–")
    assert ours["Test R, paper"] == "57.94? (-27.94)"
    assert (theirs["GMM"], theirs["GMM, paper"]) == ("–", "73.12")
    # Of another width, or in another extractor's features, it is another network's or another distance.
    for other in ({"filters": 64}, {"latent": 64}, {"extractor": "classifier"}):
        scores = merged(cell("cifar10", values=40, **same), cell("cifar10", "wae", values=30, **same | other))
        table = table2(scores, PUBLISHED, LATENT)
        assert table.loc[(table["model"] == "wae") & (table["source"] == "ours"), "gmm_published"].isna().all()
        assert (table["source"] == "cited").sum() == 3
    scores = merged(cell("cifar10", values=40, **same), cell("cifar10", "wae", values=30, **same))
    best_sizes = table3(scores, PUBLISHED)
    assert best_sizes.loc[best_sizes["model"] == "wae", "frechet_distance_published"].isna().all()
    assert best_sizes.loc[best_sizes["model"] == "dae", "frechet_distance_published"].notna().any()


def test_table2_names_the_native_prior_and_marks_weights_that_were_not_chosen_on_the_dataset():
    scores = merged(cell(values=40), cell(model="wae", values=30), cell("celeba", "wae", latent=64, values=30))
    methods = {"wae": {"native_prior": "standard_normal", "untuned": ["digits"]}, "dae": {"native_prior": None}}
    table = with_untuned(with_native_priors(table2(scores, PUBLISHED, LATENT), methods), methods)
    assert table["untuned"].tolist() == [False, False, True]
    sections = list(table2_sections(table, scores, PUBLISHED, NO_NOISE))
    header, *rows = shown(sections, "digits, classifier")
    found = [(row[header.index("Model")], row[header.index("Native prior")]) for row in rows]
    assert found == [("DAE", "–"), ("WAE (untuned)", "N(0,I)")]
    header, *rows = shown(sections, "CelebA, classifier")
    assert [row[header.index("Model")] for row in rows] == ["WAE"]
    assert all("(untuned): with weights" in section.text for section in sections)
    of_table3 = with_untuned(table3(scores, PUBLISHED), methods)
    header, *rows = shown(table3_sections(of_table3, scores, PUBLISHED, NO_NOISE), "digits, classifier")
    assert {row[header.index("Model")] for row in rows} == {"DAE", "WAE (untuned)"}
    assert untuned_text(["dae", "wae"], "digits", methods).endswith("on this dataset: WAE.")
    assert untuned_text(["dae", "wae"], "celeba", methods) == untuned_text(["dae"], "digits", methods) == ""
    tuned = with_untuned(table2(scores, PUBLISHED, LATENT), {})
    assert not any("untuned" in section.text for section in table2_sections(tuned, scores, PUBLISHED, NO_NOISE))


def test_table3_takes_the_lowest_mean_and_the_smaller_of_equals():
    def at(latent, mvg, gmm, seed=0, model="dae"):
        return cell(model=model, latent=latent, seed=seed, values={"test_recon": latent / 10, "mvg": mvg, "gmm": gmm})

    scores = merged(
        *(at(4, 10, 7), at(4, 30, 7, seed=1)),  # means 20 and 7: the single best seed does not win
        *(at(16, 15, 9), at(16, 17, 9, seed=1)),  # means 16 and 9
        *(at(64, 16, 7), at(64, 16, 7, seed=1)),  # means 16 and 7: ties with both of the above
        *(at(4, 8, None, model="vae"), at(16, None, None, model="vae")),
        cell(depth="2222", latent=32, values={"test_recon": 1, "mvg": 1, "gmm": 1}),
    )
    table = table3(scores, PUBLISHED).set_index(["model", "prior"])
    assert table.loc[("dae", "mvg"), ["latent", "frechet_distance", "test_recon", "seeds"]].tolist() == [16, 16, 1.6, 2]
    assert table.loc[("dae", "gmm"), ["latent", "frechet_distance", "test_recon"]].tolist() == [4, 7, 0.4]
    assert table.loc[("dae", "mvg"), "frechet_distance_sd"] == pytest.approx(np.sqrt(2))
    assert table.loc[[("vae", "mvg"), ("vae", "gmm")], "frechet_distance_sd"].isna().all()
    # Every comparison at the latent size that is best for the row's prior.
    assert table.loc[("dae", "mvg"), "gmm"] == 9
    assert table.loc[("dae", "gmm"), "mvg"] == 20
    assert table.loc[("vae", "mvg"), "latent"] == 4
    assert table.loc[("vae", "gmm"), "status"] == "diverged"
    assert table.loc[("vae", "gmm"), ["latent", "frechet_distance", "test_recon"]].isna().all()
    assert len(table) == 4


def test_a_prior_of_one_model_has_no_row_of_others_in_table3_and_no_rival_in_table2():
    own = dict.fromkeys(COMPARISONS, 7) | {"target_gmm": 3}
    scores = merged(cell(values=5), cell(model="gmm-dae", values=own), cell(model="vae", values=None))
    best_sizes = table3(scores, PUBLISHED).set_index(["model", "prior"])["status"]
    assert best_sizes[best_sizes.index.get_level_values("prior") == "target_gmm"].to_dict() == {
        ("gmm-dae", "target_gmm"): "ok"
    }
    assert best_sizes["vae", "gmm"] == "diverged"
    table = with_native_priors(table2(scores, PUBLISHED, LATENT), {"gmm-dae": {"native_prior": "target_gmm"}})
    header, *rows = shown(table2_sections(table, scores, PUBLISHED, NO_NOISE), "digits, classifier")
    by_model = {row[header.index("Model")]: dict(zip(header, row, strict=True)) for row in rows}
    assert by_model["GMM-DAE"]["Target GMM"] == "3.00" and by_model["DAE"]["GMM"] == "**5.00**"


def test_table3_has_all_rows_of_a_model_together_in_its_file_and_its_page():
    models, widths, priors = ["vae", "mine", "dae"], [16, 8], ["gmm", "own", "mvg"]
    cells = [cell(model=m, filters=f, values=dict.fromkeys(priors, 5)) for f in widths for m in models]
    scores = merged(*cells)
    table = table3(scores, PUBLISHED)
    order = itertools.product(["dae", "vae", "mine"], [8, 16], ["mvg", "gmm", "own"])
    assert table[["model", "filters", "prior"]].to_numpy().tolist() == list(map(list, order))
    header, *rows = shown(table3_sections(table, scores, PUBLISHED, NO_NOISE), "digits, classifier")
    assert header[:3] == ["Model", "Filters", "Prior"]
    assert [row[0] for row in rows] == ["DAE"] * 6 + ["VAE"] * 6 + ["mine"] * 6


def test_scores_of_a_page_have_one_number_of_decimals():
    """Of every size, with spreads and without; the paper's values are as printed."""
    sizes = [0.004, 0.7975, 2.585, 7.666, 12.78, 29.32, 333.4, 7012.0]
    for factor, places in ((1, 2), (100, 2), (1e-3, 4)):
        cells = [
            cell(model=f"m{number}", seed=seed, values=factor * size * (1 + seed / 7))
            for number, size in enumerate(sizes)
            for seed in range(1 + number % 2)
        ]
        scores = merged(*cells, cell(model="none", values=None))
        tables = [table2(scores, PUBLISHED, LATENT), table3(scores, PUBLISHED)]
        pages = [make(table, scores, PUBLISHED, NO_NOISE) for make, table in zip(PAGES, tables, strict=True)]
        for (section,) in (*pages, all_scores_sections(scores)):
            shown = [section.rows[header] for header in ("FD", "MVG", "GMM", "Test R") if header in section.rows]
            numbers = re.findall(r"\d+\.?\d*", " ".join(itertools.chain(*shown)))
            assert len(numbers) >= 3 * len(sizes) and {len(each.partition(".")[2]) for each in numbers} == {places}


PAGES = (table2_sections, table3_sections)


def test_table3_chooses_by_the_seeds_that_have_the_most_sizes():
    """Five more seeds at one size, as a test of its best size needs, change its mean but not the choice."""
    whole = {16: (2, 2), 64: (3, 3)}
    cells = [cell(latent=z, seed=seed, values=value) for z, pair in whole.items() for seed, value in enumerate(pair)]
    more = [cell(latent=16, seed=seed, values=9) for seed in range(2, 7)]
    table = table3(merged(*cells, *more), PUBLISHED).set_index("prior")
    assert table.loc["mvg", ["latent", "seeds"]].tolist() == [16, 7] and table.loc["mvg", "mvg"] == pytest.approx(7)
    # A size at which the only such seed diverged has no value.
    diverged = [cell(latent=4, seed=0, values=None), cell(latent=4, seed=1, values=None)]
    assert set(table3(merged(*cells, *diverged), PUBLISHED)["latent"]) == {16}


def test_each_section_says_what_is_bold_in_it():
    scores = merged(*of_seeds("dae", 1, 2), cell("cifar10", latent=128, values=1))
    texts = {
        each.heading: each.text for each in table3_sections(table3(scores, PUBLISHED), scores, PUBLISHED, NO_NOISE)
    }
    assert "95 % interval" in texts["digits, classifier"] and "One run" not in texts["digits, classifier"]
    assert "One run" in texts["CIFAR-10, classifier"] and "95 % interval" not in texts["CIFAR-10, classifier"]


def test_table3_for_people_has_the_papers_best_beside_ours(beside):
    table = table3(beside, PUBLISHED)
    rows = shown(table3_sections(table, beside, PUBLISHED, NO_NOISE), "CIFAR-10, inception")[1:]
    same = ["40.00", "30.00", "50.00", "300.00"]
    assert [row for row in rows if row[2] != "N(0,I)"] == [
        ["DAE", "128", "MVG", "128", "144", "**97.60**", "81.62 (+15.98)", *same, "97.60", "90.00", "1", "ok"],
        ["DAE", "128", "GMM", "128", "144", "**90.00**", "72.82 (+17.18)", *same, "97.60", "90.00", "1", "ok"],
        ["VAE", "128", "MVG", "128", "384", "99.00", "86.65 (+12.35)", *same, "99.00", "–", "1", "ok"],
        # A diverged one has no difference.
        ["VAE", "128", "GMM", "–", "384", "diverged", "80.01", *["diverged"] * 6, "0", "diverged"],
    ]
    others = table[(table["dataset"] == "digits") | (table["extractor"] == "classifier")]
    assert len(others) and others.filter(regex="_published|_difference").isna().all(axis=None)


def test_only_distances_in_inception_features_are_called_fid():
    at = {"dataset": "cifar10", "filters": 64, "latent": 128, "values": 1}
    scores = merged(*(cell(**at, extractor=name) for name in ("inception", "inception-other", "classifier")))
    classifier, inception, other = table3_sections(table3(scores, PUBLISHED), scores, PUBLISHED, NO_NOISE)
    assert "FID" in inception.rows and "FD" not in inception.rows and 'Columns "paper"' in inception.text
    for section in (classifier, other):
        assert "FD" in section.rows and "FID" not in section.rows and "not FID" in section.text
        assert 'Columns "paper"' not in section.text and not any("paper" in name for name in section.rows)


def test_tables_without_values_say_why(tmp_path):
    diverged = merged(cell(values=None), cell("celeba", latent=64, extractor="inception", values=None))
    empty = merged(cell(latent=4, depth="2222", values=1))
    for make, sections in ((lambda *a: table2(*a, LATENT), table2_sections), (table3, table3_sections)):
        table = make(diverged, PUBLISHED)
        assert set(table.loc[table["model"] == "dae", "status"]) == {"diverged"}
        markdown = to_markdown("T", sections(table, diverged, PUBLISHED, NO_NOISE))
        assert "diverged" in markdown and not re.search(r"\*\*|nan|NA", markdown)
        for scores in (diverged, empty):
            table = make(scores, PUBLISHED)
            write_table(table, "T", paths(tmp_path), sections(table, scores, PUBLISHED, NO_NOISE))
        for suffix in ("md", "html", "tex"):
            assert "No cell belongs in this table" in (tmp_path / f"t.{suffix}").read_text(encoding="utf-8")


def test_the_table_of_all_scores_has_a_row_per_cell_and_published_values_beside_every_seed():
    scores = merged(cell(values=1), cell(seed=1, values=None), cell(depth="3321", values=12.3456))
    assert shown(all_scores_sections(scores), "digits, classifier")[1:] == [
        ["DAE", "8", "1", "16", "0", *["1.00"] * 7, "ok"],
        ["DAE", "8", "1", "16", "1", *["diverged"] * 7, "diverged"],
        ["DAE", "8", "3321", "16", "0", *["12.35"] * 7, "ok"],
    ]
    at = {"filters": 256, "latent": 128, "extractor": "inception"}
    scores = merged(cell("cifar10", values=9, **at), cell("cifar10", values=8, seed=1, **at))
    header, *rows = shown(all_scores_sections(scores), "CIFAR-10, inception")
    # With no more digits than the paper.
    assert [row[header.index("Train R, paper")] for row in rows] == ["8.07 (+0.93)", "8.07 (-0.07)"]


@pytest.fixture(scope="module")
def resolved(project):
    """The default config, which is the paper's."""
    return settings.resolve(yaml.safe_load((project / "config" / "config.yaml").read_text(encoding="utf-8")))


def record(resolved, model="dae", dataset="cifar10", **changes):
    """The part of a cell.json that ``setting`` depends on, with ``changes``."""
    cell = {"dataset": dataset, "model": model, "filters": 128, "depth": "1", "latent": 128, "seed": 0}
    return {
        "cell": cell,
        "network": network_options(resolved, cell),
        "objective": objective_options(resolved, model, dataset),
        "frozen_latent": resolved["models"][model]["frozen_latent"],
        "precision": "bf16",
        "training": resolved["training"],
        "dataset": resolved["datasets"][dataset],
        "training_images": {"cifar10": 50_000, "celeba": 162_770}[dataset],
    } | changes


def scored(images=10_000, references=10_000, diverged=False, **keys):
    """A cell's own scores: they have no setting, steps or precision."""
    scores = cell("cifar10", values=None if diverged else 1, **keys).drop(columns=["setting", "steps", "precision"])
    return scores.assign(images=0 if diverged else images, reference_images=references)


def judged(scores, record, config, priors=None):
    """The one setting that ``with_setting`` finds."""
    (found,) = set(with_setting(scores, record, config | ({} if priors is None else {"priors": priors}))["setting"])
    return found


def test_a_cells_record_says_whether_its_scores_are_in_the_papers_setting(resolved):
    assert {name: {key: resolved["models"][name][key] for key in RECIPE} for name in RECIPES} == RECIPES
    for model in RECIPES:
        assert judged(scored(), record(resolved, model), resolved) == "paper"
    assert judged(scored(), record(resolved, "vae", "celeba"), resolved) == "paper"
    assert judged(scored(diverged=True), record(resolved), resolved) == "paper"
    # Train R may be compared with all training images.
    against_train = scored()
    against_train.loc[against_train["comparison"] == "train_recon_vs_train", "reference_images"] = 50_000
    assert judged(against_train, record(resolved), resolved) == "paper"
    # A model of another name has no recipe to differ from.
    mine = record(resolved, objective=record(resolved)["objective"] | {"penalties": KL})
    mine["cell"]["model"] = "mine"
    with_mine = resolved | {"models": resolved["models"] | {"mine": resolved["models"]["dae"]}}
    assert judged(scored(), mine, with_mine) == "paper"
    # Older records have no penalties.
    old = record(resolved)
    del old["objective"]["penalties"]
    assert judged(scored(), old, resolved) == "paper"
    # A measure against all training images does not change what the Fréchet distances compare.
    rates = scored(references=50_000).assign(measure="copy_rate")
    assert judged(pd.concat([rates, scored()]), record(resolved), resolved) == "paper"
    # Half of CelebA's test images are another choice of the 10,000.
    fewer = record(resolved, "vae", "celeba")
    fewer["dataset"] = fewer["dataset"] | {"limit": {"train": None, "test": 10_000}}
    assert judged(scored(), fewer, resolved) == "own"


KL = {"kl": {"kind": "kl", "weight": 1}}


@pytest.mark.parametrize(
    "changes",
    [
        *({"training_images": 10_000}, {"frozen_latent": True}, {"dataset": {"crop": 24}}, {"dataset": {"size": 64}}),
        *({"training": {"epochs": 1}}, {"objective": {"penalties": KL}}, {"network": {"latent_norm": "batch"}}),
        *({"cell": {"model": "vae"}}, {"cell": {"dataset": "mine"}}, {"network": {"decoder_channels": 512}}),
        *({"dataset": {"torchvision": {"name": "CIFAR100"}}}, {"dataset": {"limit": {"test": 9_000}}}),
    ],
)
def test_a_cell_trained_in_another_way_is_in_its_own_setting(resolved, changes):
    papers = record(resolved)
    changed = papers | {key: papers[key] | new if isinstance(new, dict) else new for key, new in changes.items()}
    assert changed != papers
    assert judged(scored(), changed, resolved) == "own"


@pytest.mark.parametrize("model", CITED)
def test_a_cited_method_is_compared_if_only_its_weights_differ(resolved, model):
    of_method = record(resolved, model)
    assert judged(scored(), of_method, resolved) == "paper"
    penalties = of_method["objective"]["penalties"]
    heavier = {name: entry | {"weight": 2 * entry["weight"]} for name, entry in penalties.items()}
    for changed, setting in (
        ({"objective": {"penalties": heavier}}, "paper"),
        ({"objective": {"penalties": {}}}, "own"),
        ({"objective": {"penalties": penalties | KL}}, "own"),
        ({"objective": {"noise": 1}}, "own"),
        ({"network": {"latent_norm": "batch"}}, "own"),
    ):
        other = of_method | {key: of_method[key] | new for key, new in changed.items()}
        assert judged(scored(), other, resolved) == setting, changed


def test_a_native_prior_counts_for_its_model_even_if_it_does_not_run_for_all(resolved):
    config = resolved | {"run_priors": ["mvg"]}
    priors = config["priors"] | {"gmm": config["priors"]["gmm"] | {"components": 50}}
    for model, setting in (("rae-l2", "own"), ("dae", "paper")):
        assert judged(scored(), record(resolved, model), config) == "paper"
        assert judged(scored(), record(resolved, model), config, priors) == setting


def test_scores_of_fewer_images_or_other_priors_are_in_their_own_setting(resolved):
    priors, papers = resolved["priors"], record(resolved)
    assert judged(scored(images=500), papers, resolved) == "own"
    assert judged(scored(references=500), papers, resolved) == "own"
    assert judged(scored(images=50_000), papers, resolved) == "own"
    assert judged(scored(), papers, resolved, priors | {"gmm": priors["gmm"] | {"components": 2}}) == "own"
    assert judged(scored(), papers, resolved, priors | {"mvg": priors["gmm"]}) == "own"
    # Further priors do not matter, nor those that are not run.
    more = {"gmm": priors["gmm"], "gmm50": {"kind": "gmm", "components": 50}}
    assert judged(scored(), papers, resolved, more) == "paper"


def test_the_setting_knows_every_option_of_a_model(resolved):
    """An option that neither the paper fixes nor a reading of it allows is not the paper's."""
    options = set(resolved["models"]["vae"])
    known = [*RECIPE, *READINGS, *ABOUT]
    assert set(known) == options and len(known) == len(options)
    for key, readings in READINGS.items():
        for value, setting in [*((reading, "paper") for reading in readings), ("another", "own")]:
            models = resolved["models"] | {"vae": resolved["models"]["vae"] | {key: value}}
            changed = resolved | {"models": models}
            assert judged(scored(), record(changed, "vae"), changed) == setting, (key, value)
    unknown = resolved | {"models": resolved["models"] | {"dae": resolved["models"]["dae"] | {"new": 1}}}
    assert judged(scored(), record(resolved), unknown) == "own"


def stored(folder, scores, record):
    """A cell's folder with its scores, whose path is returned."""
    write_json(folder / "cell.json", record)
    write_parquet(folder / "scores" / "inception.parquet", scores)
    return folder / "scores" / "inception.parquet"


def test_stored_scores_are_judged_by_the_record_beside_them(resolved, tmp_path):
    paths = [
        stored(tmp_path / "a", scored(), record(resolved)),
        stored(tmp_path / "b", scored(seed=1), record(resolved, training_images=5)),
    ]
    scores = collect_scores(read_scores(path, resolved) for path in paths)
    assert scores.groupby("seed")["setting"].unique().map(list).tolist() == [["paper"], ["own"]]
    # The optimiser steps: 390 whole batches and a smaller one, and a single smaller one, in each of 100 epochs.
    assert list(scores)[list(scores).index("setting") :][:3] == ["setting", "steps", "precision"]
    assert scores["steps"].dtype == "int64"
    assert scores.groupby("seed")["steps"].unique().map(list).tolist() == [[39_100], [100]]


@pytest.mark.parametrize(
    ("steps", "note"),
    [
        ([500, 39_100], ""),
        ([499], "Trained for 499 steps only: below 500, pictures and scores mean little."),
        ([1], "Trained for 1 step only: below 500, pictures and scores mean little."),
        ([175, 50, 100], "Trained for 50 to 175 steps only: below 500, pictures and scores mean little."),
        ([500, 175, 175], "Some cells were trained for 175 steps only: below 500, pictures and scores mean little."),
    ],
)
def test_sections_say_that_a_training_was_too_short(steps, note):
    scores = merged(*(cell(seed=seed, values=1, steps=count) for seed, count in enumerate(steps)), cell("cifar10"))
    others = scores, PUBLISHED, NO_NOISE
    tables = [table2_sections(table2(scores, PUBLISHED, LATENT), *others), all_scores_sections(scores)]
    for sections in [*tables, table3_sections(table3(scores, PUBLISHED), *others)]:
        texts = {section.heading: section.text for section in sections}
        assert note in texts["digits, classifier"] and ("mean little" in texts["digits, classifier"]) == bool(note)
        # Of the cells in the section alone.
        assert "mean little" not in texts.get("CIFAR-10, classifier", "")


def test_scores_of_version_0_9_say_how_they_are_made_again(resolved, tmp_path):
    columns = {"comparison": "metric", "value": "frechet_distance"}
    old = scored().drop(columns=["measure", "error"]).rename(columns=columns).assign(setting="paper")
    path = stored(tmp_path / "a", old, record(resolved))
    with pytest.raises(UserError, match="--forcerun reference") as error:
        read_scores(path, resolved)
    assert str(path) in str(error.value)


def test_other_measures_change_no_table_of_the_paper_and_have_separate_sections():
    inception = {"filters": 128, "latent": 128, "extractor": "inception"}
    cells = [cell("cifar10", values=80, **inception), cell(values=3), cell(model="vae", values=None)]
    others = [each.assign(measure="mine", value=each["value"] + 1000, error=0.5) for each in cells]
    alone, both = merged(*cells), merged(*cells, *others)
    for make in (lambda scores: table2(scores, PUBLISHED, LATENT), lambda scores: table3(scores, PUBLISHED)):
        pd.testing.assert_frame_equal(make(both), make(alone))
    *frechet, of_inception, of_classifier = all_scores_sections(both)
    for section, before in zip(frechet, all_scores_sections(alone), strict=True):
        assert section.text == before.text
        pd.testing.assert_frame_equal(section.rows, before.rows)
    assert of_inception.heading == "CIFAR-10, inception, mine" and of_classifier.heading == "digits, classifier, mine"
    for section in (of_inception, of_classifier):
        assert "measure mine" in section.text and "Every score compares 10 images with 12,000." in section.text
        for word in ("FID", "FD", "Fréchet", "paper", "lower is better"):
            assert word not in section.text and not any(word in header for header in section.rows)
        assert not section.rows.map(lambda text: "**" in text).any(axis=None)
    assert of_inception.rows.iloc[0].tolist() == ["DAE", "128", "1", "128", "0", *["1080.00 ± 0.50"] * 7]


def test_every_measure_that_comes_along_is_explained():
    for name in set(kinds.names("measures")) - {"frechet"}:
        *_, section = all_scores_sections(merged(cell(values=1), cell(values=0.5).assign(measure=name)))
        assert "is better" in section.text and f"The measure {name}" not in section.text, name


def test_each_section_says_what_its_own_measure_compared():
    rates = cell(values=0.01).assign(measure="copy_rate", reference_images=50_000)
    own = rates.iloc[:1].assign(comparison="test_images", value=0.02)
    frechet, section = all_scores_sections(merged(cell(values=1), rates, own))
    assert "Every score compares 10 images with 12,000." in frechet.text and "Test images" not in frechet.rows
    assert "Every score compares 10 images with 50,000." in section.text
    assert section.rows["Test images"].tolist() == ["0.0200"]
    assert "Test images: the value of the test images themselves." in section.text


def test_a_measure_that_comes_along_is_printed_with_its_error():
    rows = cell("cifar10", extractor="inception", values=0.01234).assign(measure="kid", error=0.00056)
    diverged = cell("cifar10", model="vae", extractor="inception").assign(measure="kid")
    frechet, kid = all_scores_sections(merged(cell("cifar10", extractor="inception", values=80), rows, diverged))
    assert kid.heading == "CIFAR-10, inception, kid" and "lower is better" in kid.text and "1,000 times" in kid.text
    assert kid.rows.iloc[0].tolist()[5:12] == ["12.34 ± 0.56"] * 7
    assert kid.rows.iloc[1].tolist()[5:12] == ["diverged"] * 7
    assert "±" not in frechet.text and not frechet.rows.map(lambda text: "±" in text).any(axis=None)


def grid(dataset, models, filters, depths, latents, seeds=(0,)):
    """A grid's cells, as the config's experiments expand to."""
    keys = ("dataset", "model", "filters", "depth", "latent", "seed")
    axes = itertools.product([dataset], models.split(), filters, depths.split(), latents, seeds)
    return [dict(zip(keys, values, strict=True)) for values in axes]


def test_table1_counts_a_cell_once_and_keeps_products_apart():
    named = {
        # The second grid repeats a part of the first one, and its VAE has other sizes.
        "a": grid("digits", "vae dae-bn dae", [8], "1", [16, 4], seeds=[0, 1]) + grid("digits", "dae", [8], "1", [16]),
        "b": grid("digits", "dae", [8], "1", [64, 4]) + grid("digits", "vae", [8], "1", [4]),
        "c": grid("celeba", "dae", [8], "1 2", [4]),
    }
    table = table1(named)
    columns = ["experiment", "dataset", "depth", "models", "latent", "seeds", "cells", "first"]
    assert table[columns].to_numpy().tolist() == [
        ["a", "digits", "1", "dae, dae-bn, vae", "4, 16", 2, 12, 12],
        ["b", "digits", "1", "dae", "4, 64", 1, 2, 1],
        ["b", "digits", "1", "vae", "4", 1, 1, 0],
        ["c", "celeba", "1", "dae", "4", 1, 1, 1],
        ["c", "celeba", "2", "dae", "4", 1, 1, 1],
    ]
    (section,) = table1_sections(table)
    assert section.rows.iloc[0].tolist() == ["a", "digits", "8", "1", "DAE, DAE-BN, VAE", "4, 16", "2", "12", "12"]
    assert "17 cells, 15 distinct networks" in section.text
