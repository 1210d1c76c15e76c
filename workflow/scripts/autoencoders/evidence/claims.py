"""The claims of the paper's text. How each is judged is in `evidence.findings`, and how seeds count in
`evidence.verdicts`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Literal, NamedTuple

from autoencoders.evidence import findings as judge
from autoencoders.evidence.claim_values import DAE, FITTED, METHODS, VAE, elsewhere
from autoencoders.evidence.display_names import comparison_label, model_label
from autoencoders.evidence.findings import ABOVE, BELOW, CLOSE, LITTLE, NEAR_ONE, NOT_BELOW, Finding

CIFAR10, CELEBA = ("cifar10",), ("celeba",)
# The family that runs without its models leave out.
OF_METHODS = "methods"
# Claims whose p values are adjusted for one another, in the order of the tables. The primary claims were named before
# any run: five at most, or too few true ones are found.
FAMILIES = {
    "primary": "primary claims",
    "paper": "the paper's other claims",
    "cited": "claims about results that the paper cites",
    "own": "hypotheses, by measures of ours",
    OF_METHODS: "the methods that the paper cites, trained here",
}
# Where claims of this family are from.
OF_OTHERS = "ours: the paper quotes scores of other code"
# The priors of methods and controls that are made for one which is not fitted.
MADE_FOR = {"dae-bn0": "standard_normal", "wae": "standard_normal", "eae": "standard_normal", "gmm-dae": "target_gmm"}


class Claim(NamedTuple):
    """What the paper says and how it is judged.

    ``source``: where in the paper. ``findings``: a function of the values and the comparison latent size.
    ``datasets``: those of the paper's that the claim is about, None for both. ``reads``: what the values must contain.
    "optima" are the lowest scores over latent sizes; ours count as optima only for curves of ``MIN_SIZES`` or more.
    "curves" are their shapes, which the few sizes in the paper's tables do not show. ``family``: one of ``FAMILIES``.
    ``across``: the claim compares the paper's datasets, and is not tried on a user's own.
    """

    statement: str
    source: str
    findings: Callable[..., Iterator[Finding]]
    datasets: tuple[str, ...] | None = None
    reads: Literal["values", "optima", "curves"] = "values"
    family: str = "paper"
    across: bool = False


def little(change: str, source: str, model: str, quantities: tuple[str, ...] = FITTED, family: str = "paper") -> Claim:
    """A claim that a variant of the DAE scores about as the DAE does."""
    priors = " and ".join(prior.upper() for prior in quantities)
    statement = f"{change} changes {priors} little: by less than {LITTLE:.0%} in the mean over latent sizes."
    findings = partial(judge.changes_little, model=model, quantities=quantities)
    return Claim(statement, source, findings, CIFAR10, "curves", family)


def below(statement: str, source: str, family: str, first: str, second: str, prior: str) -> Claim:
    """A claim that a model scores below another with the same prior, at depth 1; ``statement`` has its end."""
    findings = partial(judge.below, first=first, second=second, depth="1", quantities=(prior,))
    return Claim(
        f"At the comparison latent size and with {prior.upper()}, {statement}.", source, findings, family=family
    )


def below_vae(prior: str) -> Claim:
    return below("the DAE scores below the VAE", "section 4, Table 2", "primary", DAE, VAE, prior)


def method_below(model: str, prior: str) -> Claim:
    return below(f"{model_label(model)} scores below the DAE", OF_OTHERS, OF_METHODS, model, DAE, prior)


def method_as_made(model: str, prior: str) -> Claim:
    """A method with the prior that it is made for, against the DAE with the fitted mixture."""
    return Claim(
        f"At the comparison latent size, {model_label(model)} with {comparison_label(prior)}, for which it is made, "
        "scores below the DAE with GMM.",
        OF_OTHERS,
        partial(judge.below_with, first=(model, prior), second=(DAE, "gmm"), depth="1"),
        family=OF_METHODS,
    )


GAUSSIAN = "Hypothesis 2, by a measure of ours that is not in the paper: {} encoders have more Gaussian codes. "
INTERPOLATION = "Hypothesis 1, by a measure of ours that is not in the paper: {} DAEs interpolate better. "
KURTOSIS = {"quantity": "mardia_kurtosis_ratio", "prepare": judge.kurtosis_deviation}
MIDPOINTS = {"quantity": "interpolation", "prepare": judge.midpoint_cost}

# By identifier, in the order of the tables.
CLAIMS = {
    # Primary claims
    "dae_below_vae_gmm": below_vae("gmm"),
    "dae_below_vae_mvg": below_vae("mvg"),
    "dae_below_vae_at_best_128": Claim(
        "With GMM, 128 filters and each model at its best latent size, the DAE scores below the VAE.",
        "section 4, Table 3",
        partial(judge.winners, winner={"gmm": {128: DAE}}),
        reads="optima",
        family="primary",
    ),
    "freezing_changes_gmm_little": little(
        "Freezing the latent layer at its initial weights", "section 4, Figure 3", "dae-frozen", ("gmm",), "primary"
    ),
    "bn_below_vae": Claim(
        "At the comparison latent size, batch normalisation brings the DAE's N(0,I) score below the VAE's.",
        "section 4, Figure 4, Table 2",
        partial(judge.below, first="dae-bn", second=VAE, quantities=("standard_normal",)),
        CIFAR10,
        family="primary",
    ),
    # DAE against VAE
    "mvg_winners_at_optimum": Claim(
        "With MVG and each model at its best latent size, the DAE scores below the VAE with 64 and 128 filters, and "
        "above it with 32 and 256.",
        "section 4, Table 3 (CIFAR-10)",
        partial(judge.winners, winner={"mvg": {32: VAE, 64: DAE, 128: DAE, 256: VAE}}),
        CIFAR10,
        "optima",
    ),
    "gmm_winners_at_optimum": Claim(
        "With GMM and each model at its best latent size, the DAE scores below the VAE with 64, 128 and 256 filters, "
        "and above it with 32.",
        "section 4; for 32 filters Table 3 (CIFAR-10)",
        partial(judge.winners, winner={"gmm": {32: VAE, 64: DAE, 128: DAE, 256: DAE}}),
        CIFAR10,
        "optima",
    ),
    "winners_at_optimum": Claim(
        "With each model at its best latent size, the DAE scores above the VAE with 32 and 64 filters, and below it "
        "with 128.",
        "section 4, Table 3 (CelebA)",
        partial(judge.winners, winner={prior: {32: VAE, 64: VAE, 128: DAE} for prior in FITTED}),
        CELEBA,
        "optima",
    ),
    "dae_close_to_cited": Claim(
        f"With 128 filters, the DAE's scores are within {LITTLE:.0%} of those cited for RAE and EAE.",
        "section 4, Table 2",
        partial(judge.against_cited, model=DAE, others=("rae-l2", "rae-sn", "eae"), region=CLOSE),
        family="cited",
    ),
    # The number of latent units
    "dae_has_minimum": Claim(
        "The DAE's score has a minimum inside the grid of latent sizes.",
        "section 4, Figure 1",
        partial(judge.inner_minimum, model=DAE),
        reads="curves",
    ),
    "vae_has_minimum": Claim(
        "The VAE's score has a minimum inside the grid of latent sizes.",
        "section 4, Figure 1",
        partial(judge.inner_minimum, model=VAE),
        reads="curves",
    ),
    "dae_more_sensitive_than_vae": Claim(
        "The DAE is more sensitive to the latent size than the VAE, by (max - min) / min over common latent sizes.",
        "section 4, Figure 1",
        judge.more_sensitive_than_vae,
        reads="curves",
    ),
    "vae_unstable_above_512": Claim(
        "VAEs become unstable above 512 latent units: training diverges there, and at no smaller size.",
        "section 4",
        partial(judge.divergence, model=VAE, above_512=True),
    ),
    "dae_never_diverges": Claim(
        "Training of the DAE never diverges, neither up to 512 latent units nor above.",
        "section 4",
        partial(judge.divergence, model=DAE, above_512=False),
    ),
    # Depth
    "depth_flattens": Claim(
        "Deeper DAEs are less sensitive to the latent size than DAEs of depth 1, by (max - min) / min over common "
        "latent sizes.",
        "section 4, Figure 2",
        judge.more_sensitive_than_deeper,
        CIFAR10,
        "curves",
    ),
    "depth_hurts_at_64": Claim(
        "With 64 filters, the best score of deeper DAEs is higher than that of depth 1.",
        "section 4, Figure 2",
        partial(judge.deeper_optimum, filters=64, region=BELOW),
        CIFAR10,
        "optima",
    ),
    "depth_helps_at_128": Claim(
        "With 128 filters, the best score of deeper DAEs is lower than that of depth 1.",
        "section 4, Figure 2",
        partial(judge.deeper_optimum, filters=128, region=ABOVE),
        CIFAR10,
        "optima",
    ),
    "depth_moves_optimum_down": Claim(
        "With 128 filters, deeper DAEs reach their best score with fewer latent units than that of depth 1.",
        "section 4, Figure 2",
        partial(judge.deeper_best_size, filters=128),
        CIFAR10,
        "optima",
    ),
    "best_is_3321_at_96": Claim(
        "The DAE with 128 filters, depth 3321 and 96 latent units has the best score of all networks trained here.",
        "section 4",
        partial(judge.best_of_all, network={"model": DAE, "filters": 128, "depth": "3321", "latent": 96}),
        CIFAR10,
    ),
    # Variants of the DAE
    "freezing_changes_mvg_little": little(
        "Freezing the latent layer at its initial weights", "section 4, Figure 3", "dae-frozen", ("mvg",)
    ),
    "bn_changes_little": little("Batch normalisation of the code", "section 4, Figure 4", "dae-bn"),
    "sn_changes_little": little("Spectral normalisation of the latent layer", "section 4, Figure 4", "dae-sn"),
    "ln_changes_little": little("Layer normalisation of the code", "section 4, Figure 4", "dae-ln"),
    "bn_not_below_eae": Claim(
        f"Batch normalisation does not bring the DAE's N(0,I) score {LITTLE:.0%} below the one cited for the EAE.",
        "section 4, Table 2",
        partial(
            judge.against_cited,
            model="dae-bn",
            others=("eae",),
            region=NOT_BELOW,
            quantities=("standard_normal",),
        ),
        CIFAR10,
        family="cited",
    ),
    "noise_hurts": Claim(
        "The more noise at the decoder's input, the worse the reconstructions and samples: the mean score over common "
        "latent sizes rises with every level.",
        "section 4",
        judge.rises_with_noise,
        CIFAR10,
    ),
    "noise_crosses_vae": Claim(
        "The DAE becomes worse than the VAE between noise of standard deviation 0.1 and 0.5, in the mean over common "
        "latent sizes.",
        "section 4",
        judge.noise_crosses_vae,
        CIFAR10,
    ),
    # Width
    "dae_gains_to_128": Claim(
        "The DAE's best score falls from 32 to 64 and from 64 to 128 filters.",
        "section 5, Table 3",
        partial(judge.best_over_width, filters=(32, 64, 128), region=BELOW),
        reads="optima",
    ),
    "dae_gains_more_than_vae": Claim(
        "From 32 to 128 filters, the DAE's best score falls by a larger fraction than the VAE's.",
        "section 5, Table 3",
        partial(judge.gains_more_than, other=VAE),
        reads="optima",
    ),
    "dae_stalls_at_256": Claim(
        f"The DAE stalls at 256 filters: its best score is not {LITTLE:.0%} below the one with 128.",
        "section 5, Table 3",
        partial(judge.best_over_width, filters=(128, 256), region=NOT_BELOW),
        CIFAR10,
        "optima",
    ),
    "train_recon_better_at_256": Claim(
        "At the comparison latent size, the DAE reconstructs training images better with 256 filters than with 128.",
        "section 5, Table 2",
        partial(judge.from_128_to_256, quantity="train_recon", region=ABOVE),
        CIFAR10,
    ),
    "test_recon_worse_at_256": Claim(
        "At the comparison latent size, the DAE reconstructs test images worse with 256 filters than with 128.",
        "section 5, Table 2",
        partial(judge.from_128_to_256, quantity="test_recon", region=BELOW),
        CIFAR10,
    ),
    "scaling_better_on_celeba": Claim(
        "From 32 to 128 filters, the DAE's best score falls by a larger fraction on CelebA than on CIFAR-10.",
        "section 5, Table 3",
        partial(judge.gains_more_than, other=elsewhere(DAE, "cifar10")),
        CELEBA,
        "optima",
        across=True,
    ),
    "more_stable_on_celeba": Claim(
        "The DAE is less sensitive to the latent size on CelebA than on CIFAR-10, by (max - min) / min over common "
        'latent sizes (our reading of "more stable").',
        "section 5, Figure 1",
        partial(judge.more_sensitive_elsewhere, dataset="cifar10"),
        CELEBA,
        "curves",
        across=True,
    ),
    "gap_narrows_at_comparison": Claim(
        "The gap between the DAE's MVG and GMM scores narrows with every step in width. The paper does not name the "
        "latent size; here it is the comparison latent size.",
        "section 5",
        judge.gap_at_comparison,
    ),
    "gap_narrows_at_optimum": Claim(
        "The gap between the DAE's MVG and GMM scores narrows with every step in width. The paper does not name the "
        "latent size; here it is the best one for each prior.",
        "section 5",
        judge.gap_at_optimum,
        reads="optima",
    ),
    "likelihood_gap_narrows_with_width": Claim(
        "At the comparison latent size, the gain of the GMM over the MVG in log-likelihood of the DAE's held-out codes "
        "(a measure of ours that is not in the paper) falls with every step in width.",
        "section 5",
        partial(judge.falls_with_width, quantity="log_likelihood_gap"),
        family="own",
    ),
    # The laws of codes
    "codes_are_gaussian": Claim(
        "The codes of all DAEs and VAEs are Gaussian. The paper looks at scatter plots; here Mardia's kurtosis ratio "
        f"of every network is within {NEAR_ONE:.0%} of 1.",
        "section 5, Figures A.1 and A.2",
        judge.gaussian,
    ),
    "dae_codes_not_standard": Claim(
        "At the comparison latent size, the DAE's codes do not have mean 0 and deviation 1: their means are further "
        "from 0, their deviations larger and less even over units than the VAE's, and the mean deviation is not "
        f"within {NEAR_ONE:.0%} of 1.",
        "section 5, Figures A.1 and A.2",
        judge.unlike_standard_normal,
    ),
    # The paper's hypotheses
    "codes_more_gaussian_with_width": Claim(
        GAUSSIAN.format("wider") + "At the comparison latent size, Mardia's kurtosis ratio is nearer to 1 for the "
        "widest DAE than for the narrowest (the numbers are distances from 1).",
        "sections 2.2 and 5",
        partial(judge.lower_for_widest, **KURTOSIS),
        family="own",
    ),
    "codes_more_gaussian_with_depth": Claim(
        GAUSSIAN.format("deeper") + "At the comparison latent size, Mardia's kurtosis ratio is nearer to 1 for deeper "
        "DAEs than for depth 1 (the numbers are distances from 1).",
        "sections 2.2 and 5",
        partial(judge.lower_for_deeper, **KURTOSIS),
        CIFAR10,
        family="own",
    ),
    "interpolation_better_with_width": Claim(
        INTERPOLATION.format("wider") + "At the comparison latent size, the extra cost of decoding a midpoint instead "
        "of a code (Midpoints minus Test R) is lower for the widest DAE than for the narrowest.",
        "sections 2.2 and 5",
        partial(judge.lower_for_widest, **MIDPOINTS),
        family="own",
    ),
    "interpolation_better_with_depth": Claim(
        INTERPOLATION.format("deeper") + "At the comparison latent size, the extra cost of decoding a midpoint instead "
        "of a code (Midpoints minus Test R) is lower for deeper DAEs than for depth 1.",
        "sections 2.2 and 5",
        partial(judge.lower_for_deeper, **MIDPOINTS),
        CIFAR10,
        family="own",
    ),
    # The cited methods
    **{f"{model}_below_dae_{prior}": method_below(model, prior) for model in METHODS for prior in ("gmm", "mvg")},
    **{f"{model}_as_made_below_dae_gmm": method_as_made(model, prior) for model, prior in MADE_FOR.items()},
}
