"""Verdicts over several seeds: the tests behind them, against SciPy and by their definitions, and their error rates on
made-up tables whose truth is known.
"""

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from autoencoders.evidence import verdicts
from autoencoders.evidence.claim_values import aligned, complete, optima
from autoencoders.evidence.claims import CLAIMS
from autoencoders.evidence.findings import ABOVE, BELOW, CLOSE, NOT_BELOW, compare
from autoencoders.evidence.paper_values import read_published
from autoencoders.evidence.seed_statistics import false_discovery, holm, interval, region_p_values
from autoencoders.evidence.verdicts import adjust, claims_table, evaluate, judge, verdict

NO_NOISE = pd.DataFrame(columns=["dataset", "extractor", "comparison", "sd_of_log"])
NOTHING_PUBLISHED = read_published(Path(__file__).parents[1] / "config" / "published_fid.csv").iloc[:0]


def sample(seed, mean=0.0, deviation=1.0, seeds=6):
    return np.random.default_rng(seed).normal(mean, deviation, seeds)


@pytest.mark.parametrize("mean", [-1, 0.2, 1.5])
def test_a_direction_is_tested_by_the_two_sided_t_test(mean):
    effects = sample(1, mean)
    two_sided = stats.ttest_1samp(effects, 0).pvalue
    for region, inwards in ((BELOW, effects.mean() < 0), (ABOVE, effects.mean() > 0)):
        inside, outside = region_p_values(effects, region)
        assert (inside if inwards else outside) == pytest.approx(two_sided)
        assert (outside if inwards else inside) == pytest.approx(min(1, 2 - two_sided))


@pytest.mark.parametrize(("mean", "deviation"), [(0, 0.01), (0.04, 0.02), (0.2, 0.05), (-0.2, 0.05), (0, 0.2)])
def test_a_margin_is_tested_by_two_one_sided_tests_which_agree_with_the_90_percent_interval(mean, deviation):
    effects = sample(2, mean, deviation)
    assert np.exp([CLOSE.low, CLOSE.high]) == pytest.approx([0.95, 1.05])
    greater = stats.ttest_1samp(effects, CLOSE.low, alternative="greater").pvalue
    less = stats.ttest_1samp(effects, CLOSE.high, alternative="less").pvalue
    inside, outside = region_p_values(effects, CLOSE)
    assert inside == pytest.approx(max(greater, less))
    assert outside == pytest.approx(min(1 - greater, 1 - less))
    low, high = interval(effects, 0.9)
    assert (inside < 0.05) == (low > CLOSE.low and high < CLOSE.high)
    assert (outside < 0.05) == (high < CLOSE.low or low > CLOSE.high)
    # A one-sided margin.
    assert region_p_values(effects, NOT_BELOW) == pytest.approx((greater, 1 - greater))


def test_intervals_are_those_of_scipy():
    effects = sample(3, 0.3)
    assert interval(effects) == pytest.approx(stats.ttest_1samp(effects, 0).confidence_interval(0.95))


@pytest.mark.parametrize("seeds", [5, 6, 8])
def test_equal_effects_have_the_p_value_of_the_sign_test(seeds):
    exact = stats.binomtest(seeds, seeds, 0.5).pvalue
    assert region_p_values([-0.1] * seeds, BELOW) == (exact, 1) and region_p_values([0.1] * seeds, BELOW) == (1, exact)
    # No effect at all supports nothing; it lies within a margin.
    assert region_p_values([0.0] * seeds, BELOW) == (1, 1) and region_p_values([0.0] * seeds, CLOSE) == (exact / 2, 1)


def test_holms_method_is_the_closed_test_of_bonferroni():
    p_values = [0.01, 0.04, 0.003, 0.2, 0.04]
    for index, adjusted in enumerate(holm(p_values)):
        sets = [chosen for size in range(1, 6) for chosen in itertools.combinations(range(5), size) if index in chosen]
        assert adjusted == pytest.approx(min(1, max(len(each) * min(p_values[i] for i in each) for each in sets)))


def test_false_discovery_rate_by_its_definition():
    p_values = np.array([0.01, 0.04, 0.003, 0.2, 0.04])
    for p, adjusted in zip(p_values, false_discovery(p_values), strict=True):
        # The smallest rate at which a p value is below its threshold: rank / number * rate.
        levels = [5 * each / (p_values <= each).sum() for each in p_values if each >= p]
        assert adjusted == pytest.approx(min(levels))
    assert false_discovery([]) == [] and holm([]) == []


def finding(effects, region=BELOW, **keys):
    """A finding with these effects: ln of values against 1."""
    return compare("x", region, pd.Series(np.exp(effects)), 1.0, **keys)


def judged(*findings, noise=None, family="primary"):
    found = judge(findings, noise or {})
    (adjusted,) = adjust([found], family)
    return verdict(found, adjusted, "this run"), found


def test_a_claim_holds_only_if_each_part_does_and_fails_if_one_part_does():
    clear, unclear = sample(4, -5), sample(5, -0.1)
    assert judged(finding(clear))[0] == "holds" and judged(finding(-clear))[0] == "fails"
    assert judged(finding(unclear))[0] == "undecided"
    assert judged(finding(clear), finding(unclear))[0] == "undecided"
    assert judged(finding(clear), finding(-clear))[0] == "fails"
    assert judged(finding(clear), finding(clear))[1].p == pytest.approx(stats.ttest_1samp(clear, 0).pvalue)
    # Bonferroni: one part of two contradicts.
    _, mixed = judged(finding(clear), finding(-clear))
    assert mixed.p == pytest.approx(2 * stats.ttest_1samp(clear, 0).pvalue) and mixed.direction == "fails"


def test_a_missing_part_keeps_a_claim_from_holding_but_not_from_failing():
    clear, missing = finding(sample(4, -5)), compare("y", BELOW, pd.Series(dtype=float), 1.0)
    assert judged(clear, missing)[0] == "not measured"
    assert judged(finding(sample(4, 5)), missing)[0] == "fails"
    assert judged()[0] == "not measured"


@pytest.mark.parametrize(("seeds", "expected"), [(1, "one run"), (2, "indicative"), (4, "indicative"), (5, "holds")])
def test_few_seeds_never_decide(seeds, expected):
    found, judgement = judged(finding(sample(6, -50, seeds=seeds)))
    assert (found, judgement.outcome, judgement.seeds) == (expected, "holds", seeds)
    assert np.isnan(judgement.p) == (seeds < 5)
    # The part with the fewest seeds counts.
    assert judged(finding(sample(6, -50)), finding(sample(6, -50, seeds=seeds)))[0] == expected


def test_differences_below_the_noise_of_drawing_again_are_ties():
    noise = {"gmm": 0.02}
    small, large = np.full(6, -0.01) + sample(7, 0, 1e-6), np.full(6, -0.03) + sample(7, 0, 1e-6)
    assert judged(finding(small, quantity="gmm"), noise=noise)[0] == "undecided"
    assert judged(finding(small, quantity="mvg"), noise=noise)[0] == "holds"
    assert judged(finding(large, quantity="gmm"), noise=noise)[0] == "holds"
    for effects, outcome in ((small[:1], "tie"), (-small[:1], "tie"), (large[:1], "holds"), (-large[:1], "fails")):
        assert judged(finding(effects, quantity="gmm"), noise=noise)[1].outcome == outcome
    # Within a margin, a small difference is what the claim says.
    assert judged(finding(small, CLOSE, quantity="gmm"), noise=noise)[0] == "holds"


def test_the_effect_is_printed_in_percent_with_its_interval_and_in_standard_deviations():
    effects = np.log([0.8, 0.9, 0.85, 0.82, 0.88])
    low, high = 100 * np.expm1(stats.ttest_1samp(effects, 0).confidence_interval())
    size, sds = 100 * np.expm1(effects.mean()), abs(effects.mean()) / effects.std(ddof=1)
    text = f"x: 0.8492 < 1.000 ({size:+.1f} % [{low:+.1f}, {high:+.1f}], {sds:.1f} sd, n = 5)"
    assert judged(finding(effects))[1].numbers == text


# Error rates, counted.


def rates(family, claims, effect_sizes, tables, seeds=5):
    """Over made-up families of claims with these effects (in standard deviations over seeds), each of one part: the
    share of tables with a false verdict, and the share of true effects that are found.
    """
    random, false, found = np.random.default_rng(0), 0, 0
    effects = np.resize(effect_sizes, claims)
    for _ in range(tables):
        judged = [judge([finding(random.normal(-effect, 1, seeds))], {}) for effect in effects]
        adjusted = adjust(judged, family)
        found_verdicts = np.array([verdict(each, p, "this run") for each, p in zip(judged, adjusted, strict=True)])
        false += any(found_verdicts[effects == 0] != "undecided")
        found += np.mean(found_verdicts[effects > 0] == "holds") if (effects > 0).any() else 0
    return false / tables, found / tables


def limit(rate, tables):
    """What a rate stays below in all but one of a thousand counts."""
    return stats.binom.ppf(0.999, tables, rate) / tables


@pytest.mark.slow
def test_primary_claims_have_the_promised_error_rate_and_power():
    """Any false claim of five in 5 % of tables at most; 62 % of effects of 2 standard deviations over seeds are found,
    and 95 % of 3, if half of the claims are true.
    """
    assert rates("primary", 5, [0], 1_000)[0] <= limit(0.05, 1_000)
    for size, power in ((2, 0.62), (3, 0.95)):
        false, found = rates("primary", 5, [size, 0], 600)
        assert false <= limit(0.05, 600) and found == pytest.approx(power, abs=0.05)


@pytest.mark.slow
def test_other_claims_have_the_promised_false_discovery_rate_and_power():
    """70 % of effects of 2 standard deviations found among 30 claims, half of which are true."""
    assert rates("paper", 30, [0], 200)[0] <= limit(0.05, 200)
    assert rates("paper", 30, [2, 0], 150)[1] == pytest.approx(0.70, abs=0.04)


@pytest.mark.parametrize("region", [BELOW, ABOVE])
def test_a_false_claim_of_several_parts_is_no_more_often_decided(region):
    """Without any effect, a claim about three widths holds or fails in 5 % of tables at most."""
    random, decided = np.random.default_rng(1), 0
    for _ in range(300):
        decided += judged(*(finding(random.normal(0, 1, 5), region) for _ in range(3)))[0] != "undecided"
    assert decided / 300 <= limit(0.05, 300)


# Optima: the size is chosen on seeds that are not scored, if there are enough others.


def grid(values, sizes=(16, 32, 64), seeds=None):
    """A curve: one row a latent size, one column a seed."""
    return pd.DataFrame(values, index=list(sizes), columns=seeds)


def test_the_best_size_is_chosen_on_two_seeds_and_scored_on_the_others():
    nan = math.nan
    # Seeds 0 and 1 have the whole grid, and choose 32; the others have been trained there alone.
    spared = grid([[3, 3, *[nan] * 5], [2, 1, 7, 8, 9, 7, 8], [4, 4, *[nan] * 5]], seeds=range(7))
    (found,) = optima(spared)
    assert found.latent == 32 and found.scores.to_dict() == {2: 7, 3: 8, 4: 9, 5: 7, 6: 8}
    # Seeds with the whole grid are scored at the chosen size, not at their own best.
    whole = grid([[3, 3, 1, 1, 1, 1, 1], [2, 1, 7, 8, 9, 7, 8], [4, 4, 4, 4, 4, 4, 4]], seeds=range(7))
    assert optima(whole)[0].scores.to_dict() == found.scores.to_dict()
    # Two curves are compared on the same seeds. The second leaves three to score, too few: both are scored on 0 and 1.
    dae, vae = optima(spared, whole.drop(columns=[2, 3]))
    assert dae.scores.to_dict() == vae.scores.to_dict() == {0: 2, 1: 1}


def test_without_seeds_to_spare_one_size_is_chosen_by_the_mean_and_scored_on_all():
    curve = grid([[3, 1, 3], [2, 2.1, 2], [4, 4, 4]], seeds=range(3))
    (found,) = optima(curve)
    assert found.latent == 32 and found.scores.tolist() == [2, 2.1, 2]
    # Of equally good sizes the smallest; a seed without a size does not count; nothing to choose from.
    assert optima(grid([[2, 9], [2, math.nan], [4, 1]], seeds=range(2)))[0].latent == 16
    empty = grid([[], [], []], seeds=[])
    assert [found.latent for found in optima(curve, empty)] == [None, None]


def test_diverged_cells_cost_their_sizes_and_not_the_verdict():
    nan = math.nan
    # The VAE of seed 0 diverged at 768, that of seed 1 at 1024; five more seeds have the best size alone.
    sizes, rest = (256, 384, 512, 768, 1024), [nan] * 5
    vae = grid([[5, 5, *rest], [3, 3, 3, 4, 3, 4, 3], [4, 4, *rest], [nan, 2, *rest], [2, nan, *rest]], sizes, range(7))
    (found,) = optima(vae)
    assert found.latent == 384 and found.scores.to_dict() == {2: 3, 3: 4, 4: 3, 5: 4, 6: 3}
    # One of five seeds diverged at one size; a sixth size has one seed only.
    one = grid([[1] * 5, [2] * 5, [3] * 5, [4, nan, 4, 4, 4], [5, nan, nan, nan, nan]], sizes, range(5))
    (left,) = complete(one)
    assert left.shape == (3, 5) and complete(one, one)[1].shape == (3, 5)
    # A few sizes with more seeds than the grid do not replace it, and three sizes stay at least.
    plan = grid([[1, 1, *rest], [2, 2, 2, 2, 2, 2, 2], [3, 3, *rest], [4, 4, *rest]], sizes[:4], range(7))
    assert complete(plan)[0].shape == (4, 2)
    assert complete(grid([[1, nan], [1, 1], [nan, 1]], seeds=range(2)))[0].shape == (3, 0)
    # Curves keep the same sizes when they are compared size by size.
    other = one.copy()
    other.loc[384] = nan
    first, second = aligned(one, other)
    assert list(first.index) == list(second.index) and 384 not in first.index


def test_two_equally_good_models_differ_at_their_optima_no_more_often_than_promised():
    """Ten sizes, two choosing and five scored seeds; one model varies three times as much over seeds as the other."""
    random, tables, decided = np.random.default_rng(2), 200, 0
    sizes = range(10)
    for _ in range(tables):
        curves = [grid(np.exp(random.normal(0, sd, (10, 7))), sizes, range(7)) for sd in (0.02, 0.06)]
        first, second = optima(*curves)
        decided += stats.ttest_1samp(np.log(first.scores) - np.log(second.scores), 0).pvalue < 0.05
    assert decided / tables <= limit(0.05, tables)


# Whole tables.
SEEDS = range(5)


def made_up(random, effects):
    """Values of the networks that the primary claims are about: without an effect, ln(score) has a mean of 4 and a
    standard deviation of 0.03 over seeds. ``effects``: differences from it by (model, quantity).
    """
    rows = [
        {"model": model, "filters": 128, "depth": "1", "latent": latent, "seed": seed, "quantity": quantity}
        | {"value": math.exp(random.normal(4 + effects.get((model, quantity), 0), 0.03)), "diverged": False}
        for model, latent, seed, quantity in itertools.product(
            ("dae", "vae", "dae-bn", "dae-frozen"), (64, 128, 256), SEEDS, ("standard_normal", "mvg", "gmm")
        )
    ]
    group = {"dataset": "cifar10", "setting": "own", "extractor": "classifier"}
    return pd.DataFrame(rows).assign(**group).astype({"diverged": "boolean"})


def primary(table):
    """The verdicts on the primary claims, by claim."""
    return table[(table["family"] == "primary") & (table["evidence"] == "this run")].set_index("claim")["verdict"]


def verdicts_of(values):
    return primary(claims_table(values, NOTHING_PUBLISHED, {"cifar10": 128}, NO_NOISE))


def test_clear_effects_are_found_in_whole_tables():
    random = np.random.default_rng(3)
    better = {
        ("dae", "gmm"): -0.3,
        ("dae", "mvg"): -0.3,
        ("dae-frozen", "gmm"): -0.3,
        ("dae-bn", "standard_normal"): -0.3,
    }
    assert set(verdicts_of(made_up(random, better))) == {"holds"}
    worse = {("dae", "gmm"): 0.3, ("dae", "mvg"): 0.3, ("dae-bn", "standard_normal"): 0.3}
    assert set(verdicts_of(made_up(random, worse))) == {"fails"}


def test_equally_good_networks_and_flat_curves_decide_nothing():
    """What chance alone shows: the best of many networks, the extremes of a flat curve, many deviations."""
    random, tables, decided = np.random.default_rng(5), 60, dict.fromkeys(CHANCE, 0)
    for _ in range(tables):
        values = flat(random)
        for name in CHANCE:
            found = judge(evaluate(CLAIMS[name], values, 128, "this run"), {})
            decided[name] += verdict(found, found.p, "this run") in ("holds", "fails")
    assert all(count / tables <= limit(0.05, tables) for count in decided.values()), decided


CHANCE = ("best_is_3321_at_96", "dae_more_sensitive_than_vae", "codes_are_gaussian")


def flat(random, seeds=range(7)):
    """DAEs of two depths and VAEs with equal scores at all sizes, of which the VAE's vary more over seeds; and kurtosis
    ratios at the margin of what counts as Gaussian.
    """
    rows = []
    for (model, depth), size, seed in itertools.product(
        (("dae", "1"), ("dae", "3321"), ("vae", "1")), (64, 96, 128, 256), seeds
    ):
        cell = {"model": model, "filters": 128, "depth": depth, "latent": size, "seed": seed, "diverged": False}
        spread = 0.04 if model == "vae" else 0.02
        rows += [cell | {"quantity": q, "value": math.exp(random.normal(4, spread))} for q in ("mvg", "gmm")]
        rows.append(cell | {"quantity": "mardia_kurtosis_ratio", "value": 1.1 + random.normal(0, 0.02)})
    return pd.DataFrame(rows).astype({"diverged": "boolean"})


@pytest.mark.slow
def test_tables_without_effects_have_few_false_verdicts(monkeypatch):
    """All primary claims but that freezing changes little, which is true without an effect."""
    random, tables = np.random.default_rng(4), 400
    monkeypatch.setattr(verdicts, "CLAIMS", {name: each for name, each in CLAIMS.items() if each.family == "primary"})
    false = sum(
        set(verdicts_of(made_up(random, {})).drop("freezing_changes_gmm_little")) != {"undecided"}
        for _ in range(tables)
    )
    assert false / tables <= limit(0.05, tables)


def test_claims_across_the_papers_datasets_are_not_tried_on_others():
    mine = made_up(np.random.default_rng(6), {}).assign(dataset="mine")
    both = pd.concat([mine, mine.assign(dataset="cifar10")])
    table = claims_table(both, NOTHING_PUBLISHED, {"mine": 128, "cifar10": 128}, NO_NOISE)
    across = {name for name, claim in CLAIMS.items() if claim.across}
    assert len(across) == 2 and not across & set(table["claim"])
    assert "winners_at_optimum" in set(table.loc[table["dataset"] == "mine", "claim"])


def test_the_text_of_a_claim_about_all_networks_stays_short():
    found = judge([finding(sample(seed, -1)) for seed in range(100)], {})
    assert found.numbers.count("x: ") == 24 and found.numbers.endswith("; 76 more")


def test_a_tie_is_named():
    tie = {"verdict": "undecided", "outcome": "tie", "p_adjusted": 1.0}
    assert verdicts.verdict_text(tie) == "undecided: tie"
    assert verdicts.verdict_text(tie | {"outcome": "holds", "p_adjusted": 0.2}) == "undecided (p = 0.200)"
    assert (
        verdicts.verdict_text(tie | {"verdict": "holds", "outcome": "holds", "p_adjusted": 1e-5}) == "holds (p < 0.001)"
    )
