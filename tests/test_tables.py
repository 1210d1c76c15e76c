"""The tables, on scores that are made up so that every answer is known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from autoencoders.published import CITED, merge_published, read_published, setting
from autoencoders.tables import (
    by_cell,
    collect_scores,
    lowest,
    lowest_of_table3,
    select_cells,
    significant,
    table2,
    table3,
    to_markdown,
    write_table,
)

PUBLISHED_FILE = Path(__file__).parents[1] / "config" / "published_fid.csv"
METRICS = ["train_recon", "test_recon", "standard_normal", "mvg", "gmm"]
LATENT = {"cifar10": 128, "celeba": 64, "digits": 16}


@pytest.fixture(scope="module")
def published():
    return read_published(PUBLISHED_FILE)


def cell(
    dataset="digits",
    model="dae",
    filters=8,
    depth="1",
    latent=16,
    seed=0,
    extractor="classifier",
    values=None,
    setting=None,
):
    """The rows that the rule score writes for one cell; ``values`` None: diverged; a number: the same for all."""
    setting = setting or ("paper" if dataset in ("cifar10", "celeba") else "own")
    if not isinstance(values, dict):
        values = dict.fromkeys(METRICS, values)
    rows = [
        {
            **{"dataset": dataset, "model": model, "filters": filters, "depth": depth, "latent": latent, "seed": seed},
            **{"setting": setting, "extractor": extractor, "metric": metric},
            "frechet_distance": np.nan if value is None else float(value),
            "images": 0 if value is None else 10,
            "status": "diverged" if value is None else "ok",
        }
        for metric, value in values.items()
    ]
    return pd.DataFrame(rows).astype({"frechet_distance": "float64"})


def paths(folder):
    return {suffix: folder / f"t.{suffix}" for suffix in ("parquet", "csv", "md", "html")}


def merged(published, *cells):
    return merge_published(collect_scores(cells), published)


def section(markdown, heading):
    """The table rows of one section, as lists of cells."""
    text = markdown.split(f"## {heading}\n")[1].split("\n## ")[0]
    return [[part.strip() for part in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def test_long_table_has_every_row_in_order(published):
    scores = merged(published, cell(latent=64, values=1), cell(latent=4, values=2), cell(model="ae", values=None))
    assert len(scores) == 15
    assert scores["latent"].tolist() == [16] * 5 + [4] * 5 + [64] * 5
    assert scores["metric"].tolist() == METRICS * 3
    assert scores["depth"].map(type).eq(str).all()
    assert scores["frechet_distance"].isna().tolist() == [True] * 5 + [False] * 10


def test_published_values_stand_only_beside_the_very_cell(published):
    same = {"filters": 128, "latent": 128, "values": 50}
    scores = merged(
        published,
        cell("cifar10", extractor="inception", **same),
        cell("cifar10", extractor="classifier", **same),
        cell("cifar10", extractor="inception", setting="own", **same),
        cell("cifar10", extractor="inception-other", **same),
        cell("digits", extractor="inception", **same),
        cell("cifar10", extractor="inception", **same | {"latent": 127}),
        cell("cifar10", extractor="inception", depth="2222", **same),
        cell("cifar10", extractor="inception", model="dae-sn", **same),
    )
    has = scores[scores["published"].notna()]
    assert has["published"].tolist() == [16.95, 45.21, 282.3, 82.49, 73.78]
    assert set(has["extractor"]) == {"inception"} and set(has["dataset"]) == {"cifar10"}
    assert set(has["latent"]) == {128} and set(has["depth"]) == {"1"} and set(has["model"]) == {"dae"}
    assert has["published_source"].tolist() == ["Table 2"] * 5
    assert has.set_index("metric").loc["standard_normal", "published_confidence"] == "medium"
    assert scores.loc[scores["published"].isna(), "published_source"].isna().all()
    assert len(scores) == 40


def test_table_2_goes_before_table_3_whatever_the_order_of_the_file(published):
    changed = published.copy()
    key = (changed["dataset"] == "cifar10") & (changed["filters"] == 64) & (changed["latent"] == 128)
    changed.loc[key & (changed["source"] == "Table 3") & (changed["metric"] == "mvg"), "fid"] = 1.0
    for file in (changed, changed.iloc[::-1]):
        scores = merged(file, cell("cifar10", filters=64, latent=128, extractor="inception", values=9))
        mvg = scores.set_index("metric").loc["mvg"]
        assert (mvg["published"], mvg["published_source"]) == (85.38, "Table 2")


def test_a_published_depth_is_matched_as_text(published):
    best = cell("cifar10", filters=128, depth="3321", latent=96, extractor="inception", values=70)
    scores = merged(published, best).set_index("metric")
    assert scores["published"].dropna().to_dict() == {"mvg": 77.10, "gmm": 67.32}


def test_table2_means_over_the_seeds_that_are_ok(published):
    scores = merged(
        published,
        *(cell(seed=seed, values=value) for seed, value in enumerate([1, 2, 6])),
        *(cell(model="vae", seed=seed, values=value) for seed, value in enumerate([4, None, 8])),
        *(cell(model="dae-bn", seed=seed, values=None) for seed in range(3)),
        cell(latent=64, values=0.1),
        cell(depth="2222", values=0.1),
    )
    table = table2(scores, published, LATENT)
    assert table["model"].tolist() == ["dae", "dae-bn", "vae"]
    assert table["mvg"].tolist() == pytest.approx([3, np.nan, 6], nan_ok=True)
    assert table["seeds"].tolist() == [3, 0, 2]
    assert table["status"].tolist() == ["ok", "diverged", "partly diverged"]
    assert not any("published" in name for name in table)
    assert table["source"].tolist() == ["ours"] * 3


def test_table2_order_and_a_users_own_prior(published):
    values = dict.fromkeys(["zeta", *reversed(METRICS)], 5)
    models = ["zae", "vae", "dae-bn", "aae", "dae"]
    scores = merged(published, *(cell(model=model, filters=f, values=values) for model in models for f in (16, 8)))
    table = table2(scores, published, LATENT)
    assert table["model"].tolist() == ["dae", "dae-bn", "vae", "aae", "zae"] * 2
    assert table["filters"].tolist() == [8] * 5 + [16] * 5
    names = [name for name in table if name in values]
    assert names == [*METRICS, "zeta"]


def test_table2_with_published_values_and_cited_rows(published):
    inception = {"filters": 128, "latent": 128, "extractor": "inception"}
    scores = merged(
        published,
        cell("cifar10", values={**dict.fromkeys(METRICS, 80), "gmm": 70}, **inception),
        cell("cifar10", model="vae", values=90, **inception),
        cell("cifar10", **inception | {"extractor": "classifier"}, values=3),
        cell("digits", extractor="inception", values=3),
    )
    table = table2(scores, published, LATENT)
    ours = table[table["source"] == "ours"].set_index(["dataset", "extractor", "model"])
    assert ours.loc[("cifar10", "inception", "dae"), "gmm_published"] == 73.78
    assert ours.loc[("cifar10", "inception", "vae"), "train_recon_published"] == 48.41
    assert ours.loc[("cifar10", "inception", "dae"), "standard_normal_confidence"] == "medium"
    only = [name for name in table if name.endswith("_published")]
    assert len(only) == 5
    assert ours.loc[[("cifar10", "classifier", "dae"), ("digits", "inception", "dae")], only].isna().all(axis=None)

    cited = table[table["source"] == "cited"]
    assert cited["model"].tolist() == ["eae", "rae", "wae"]  # GMM-DAE has CelebA results alone
    assert set(cited["dataset"]) == {"cifar10"} and set(cited["extractor"]) == {"inception"}
    assert cited.set_index("model").loc["rae", "mvg_published"] == 80.80
    assert cited[METRICS].isna().all(axis=None)
    assert cited["seeds"].isna().all()
    group = table[(table["dataset"] == "cifar10") & (table["extractor"] == "inception")]
    assert group["model"].tolist() == ["dae", "vae", "eae", "rae", "wae"]

    mask = lowest(table)
    assert mask.shape == table.shape
    assert not mask[table["source"] == "cited"].any(axis=None)  # RAE's Test R is lower than ours
    rows = section(to_markdown(table, mask), "CIFAR-10, inception")
    assert rows[0] == ["Filters", "Model", "Latent units", "Train R", "Test R", "N(0,I)", "MVG", "GMM", "Seeds"]
    assert rows[2] == [
        *("128", "DAE", "128", "**80.00** (16.95)", "**80.00** (45.21)", "**80.00** (282.3?)"),
        *("**80.00** (82.49)", "**70.00** (73.78)", "1"),
    ]
    assert rows[5] == ["128", "RAE (cited)", "128", "–", "(32.24)", "–", "(80.80)", "(74.16)", "–"]


@pytest.mark.parametrize("model", CITED)
def test_a_cited_model_is_never_ours(published, model):
    scores = merged(published, cell("celeba", filters=32, latent=64, extractor="inception", values=1))
    table = table2(scores, published, LATENT)
    row = table[table["model"] == model]
    assert row["source"].tolist() == ["cited"] and row["filters"].tolist() == [128]


def test_bold_marks_every_lowest_value_of_a_width(published):
    scores = merged(
        published,
        cell(values={"mvg": 2, "gmm": 5}),
        cell(model="vae", values={"mvg": 3, "gmm": 5}),
        cell(model="dae-bn", values={"mvg": None, "gmm": 7}),
        cell(filters=16, values={"mvg": 9, "gmm": None}),
    )
    table = table2(scores, published, LATENT)
    mask = lowest(table)
    assert mask["mvg"].tolist() == [True, False, False, True]
    assert mask["gmm"].tolist() == [True, False, True, False]
    assert not mask.drop(columns=["mvg", "gmm"]).any(axis=None)


def test_table3_takes_the_lowest_mean_and_the_smaller_of_equals(published):
    def at(latent, mvg, gmm, seed=0, model="dae"):
        return cell(model=model, latent=latent, seed=seed, values={"test_recon": latent / 10, "mvg": mvg, "gmm": gmm})

    scores = merged(
        published,
        *(at(4, 10, 7), at(4, 30, 7, seed=1)),  # means 20 and 7: the single best seed does not win
        *(at(16, 15, 9), at(16, 17, 9, seed=1)),  # means 16 and 9
        *(at(64, 16, 7), at(64, 16, 7, seed=1)),  # means 16 and 7: ties with both of the above
        *(at(4, 8, None, model="vae"), at(16, None, None, model="vae")),
        cell(depth="2222", latent=32, values={"test_recon": 1, "mvg": 1, "gmm": 1}),
    )
    table = table3(scores, published).set_index(["model", "prior"])
    assert table.loc[("dae", "mvg"), ["latent", "frechet_distance", "test_recon", "seeds"]].tolist() == [16, 16, 1.6, 2]
    assert table.loc[("dae", "gmm"), ["latent", "frechet_distance", "test_recon"]].tolist() == [4, 7, 0.4]
    # Every metric at the latent size that is best for the row's prior.
    assert table.loc[("dae", "mvg"), "gmm"] == 9
    assert table.loc[("dae", "gmm"), "mvg"] == 20
    assert table.loc[("vae", "mvg"), "latent"] == 4
    assert table.loc[("vae", "gmm"), "status"] == "diverged"
    assert table.loc[("vae", "gmm"), ["latent", "frechet_distance", "test_recon"]].isna().all()
    assert len(table) == 4


def test_table3_names_the_papers_best_for_inception_alone(published):
    inception = {"extractor": "inception", "filters": 64, "values": 60}
    scores = merged(
        published,
        cell("cifar10", **inception),
        cell("cifar10", model="vae", **inception),
        cell("digits", **inception),
        cell("cifar10", **inception | {"extractor": "classifier"}),
    )
    table = table3(scores, published).set_index(["dataset", "extractor", "model", "prior"])
    best = ["frechet_distance_published", "latent_published"]
    # The best sizes of the two priors differ in the paper.
    assert table.loc[("cifar10", "inception", "dae", "mvg"), best].tolist() == [85.38, 128]
    assert table.loc[("cifar10", "inception", "dae", "gmm"), best].tolist() == [76.59, 152]
    assert table.loc[("cifar10", "inception", "vae", "mvg"), best].tolist() == [89.45, 512]
    assert table.loc[("cifar10", "inception", "vae", "gmm"), best].tolist() == [82.35, 384]
    for other in (("digits", "inception"), ("cifar10", "classifier")):
        assert table.loc[other, best].isna().all(axis=None)


def test_table3_bold_compares_models_within_a_prior(published):
    scores = merged(
        published,
        cell(values={"mvg": 5, "gmm": 2}),
        cell(model="vae", values={"mvg": 4, "gmm": 3}),
    )
    table = table3(scores, published)
    marked = table[lowest_of_table3(table)["frechet_distance"]]
    assert set(zip(marked["model"], marked["prior"], strict=True)) == {("dae", "gmm"), ("vae", "mvg")}


def test_markdown_says_what_the_numbers_are(published):
    scores = merged(published, cell(values=1), cell("cifar10", latent=128, extractor="inception", values=1))
    for table in (table2(scores, published, LATENT), table3(scores, published)):
        markdown = to_markdown(table)
        digits = markdown.split("## digits, classifier\n\n")[1].splitlines()[0]
        cifar10 = markdown.split("## CIFAR-10, inception\n\n")[1].splitlines()[0]
        assert "not FID; not comparable with the paper" in digits and "parentheses" not in digits
        assert cifar10.startswith("FID (pytorch-fid's Inception)")
    assert "FD" in section(to_markdown(table3(scores, published)), "digits, classifier")[0]
    assert "FID" in section(to_markdown(table3(scores, published)), "CIFAR-10, inception")[0]


def test_all_diverged(published, tmp_path):
    scores = merged(published, cell(values=None), cell("celeba", latent=64, extractor="inception", values=None))
    for table in (table2(scores, published, LATENT), table3(scores, published)):
        mine = table[table["model"] == "dae"]
        assert set(mine["status"]) == {"diverged"}
        mask = lowest(table) if "prior" not in table else lowest_of_table3(table)
        assert not mask.any(axis=None)
        markdown = to_markdown(table, mask)
        assert "diverged" in markdown and "nan" not in markdown.lower() and "NA" not in markdown
        write_table(table, "T", paths(tmp_path), bold=mask)
    assert "diverged" in to_markdown(by_cell(scores))


def test_no_cell_at_the_comparison_size(published, tmp_path):
    scores = merged(published, cell(latent=4, values=1))
    table = table2(scores, published, LATENT)
    assert table.empty
    assert "No cell" in to_markdown(table, lowest(table))
    write_table(table, "T", paths(tmp_path))
    deep = table3(merged(published, cell(depth="2222", values=1)), published)
    assert deep.empty and "No cell" in to_markdown(deep, lowest_of_table3(deep))


def test_the_table_of_all_scores_has_a_row_a_cell(published):
    scores = merged(published, cell(values=1), cell(seed=1, values=None), cell(depth="3321", values=12.3456))
    rows = section(to_markdown(by_cell(scores)), "digits, classifier")
    assert rows[0] == [
        *("Model", "Filters", "Depth", "Latent units", "Seed"),
        *("Train R", "Test R", "N(0,I)", "MVG", "GMM", "Status"),
    ]
    assert rows[2:] == [
        ["DAE", "8", "1", "16", "0", *["1.000"] * 5, "ok"],
        ["DAE", "8", "1", "16", "1", *["diverged"] * 5, "diverged"],
        ["DAE", "8", "3321", "16", "0", *["12.35"] * 5, "ok"],
    ]


def test_written_tables_agree(published, tmp_path):
    scores = merged(published, cell("cifar10", filters=32, latent=128, extractor="inception", values=1 / 3))
    table = table2(scores, published, LATENT)
    write_table(table, "T", paths(tmp_path))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "t.parquet"), table)
    csv = pd.read_csv(tmp_path / "t.csv")
    assert csv["mvg"].dropna().tolist() == [1 / 3]
    assert "0.3333" in (tmp_path / "t.md").read_text() and "0.3333" in (tmp_path / "t.html").read_text()


def test_select_cells_takes_those_cells_alone():
    scores = collect_scores([cell(values=1), cell(seed=1, values=1), cell(depth="2222", values=1), cell("x", values=1)])
    keys = ["dataset", "model", "filters", "depth", "latent", "seed"]
    chosen = select_cells(scores, [dict(zip(keys, ("digits", "dae", 8, depth, 16, 0), strict=True)) for depth in (1,)])
    assert len(chosen) == 5
    assert chosen[keys].drop_duplicates().values.tolist() == [["digits", "dae", 8, "1", 16, 0]]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.07, "8.070"),
        (282.3, "282.3"),
        (12346.0, "12350"),
        (1234.0, "1234"),
        (9.99996, "10.00"),
        (0.0123456, "0.0123"),
    ],
)
def test_four_significant_digits(value, text):
    assert significant(value) == text


def test_only_as_many_images_as_the_papers_make_its_setting():
    assert setting("cifar10", training=50_000, reference=10_000, scored=10_000) == "paper"
    assert setting("celeba", training=162_770, reference=10_000, scored=0) == "paper"
    assert setting("cifar10", training=10_000, reference=10_000, scored=10_000) == "own"
    assert setting("cifar10", training=50_000, reference=5_000, scored=10_000) == "own"
    assert setting("cifar10", training=50_000, reference=10_000, scored=50_000) == "own"
    assert setting("mine", training=50_000, reference=10_000, scored=10_000) == "own"


def test_a_reduced_run_on_the_papers_dataset_stands_alone(published):
    scores = merged(published, cell("cifar10", filters=128, latent=128, extractor="inception", values=9, setting="own"))
    for table in (table2(scores, published, LATENT), table3(scores, published)):
        assert not [name for name in table if "published" in name]
        assert "source" not in table or set(table["source"]) == {"ours"}


def test_html_has_the_same_values_as_markdown_and_escapes_names(published, tmp_path):
    scores = merged(published, cell(model="<dae>", values=1), cell(model="vae", values=2), cell(model="x", values=None))
    table = table2(scores, published, LATENT)
    write_table(table, "Title", paths(tmp_path), bold=lowest(table))
    page = (tmp_path / "t.html").read_text()
    assert "<td>&lt;DAE&gt;</td>" in page and "<dae>" not in page.lower().replace("&lt;", "")
    assert page.count("<b>1.000</b>") == len(METRICS) and "**" not in page
    assert "diverged" in page and "not FID" in page
