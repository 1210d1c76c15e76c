"""What the numbers of each measure are, for people: in tables, figures and their pages."""

from typing import NamedTuple

from autoencoders.evidence.display_names import distance_label

FRECHET = "frechet"


class MeasureText(NamedTuple):
    """What a measure is: how axes name it, whether "lower" or "higher" is better ("" if that is unknown), the sentence
    that explains its numbers, the factor that they are shown with, and what images are compared with ("" for nothing).
    """

    label: str
    better: str
    explanation: str
    factor: int = 1
    against: str = "test images"


# A config can't give these names to other kinds. How the Fréchet distance is called depends on the features
# (`evidence.display_names.distance_label`).
MEASURES = {
    "kid": MeasureText(
        "KID × 1,000",
        "lower",
        "1,000 times the kernel distance (Bińkowski et al. 2018; KID in Inception features); lower is better. Equal "
        "distributions give 0 within the error, so it may be negative. ± is its standard error, from ten disjoint "
        "subsets; between equal distributions it is about three times too wide",
        factor=1000,
    ),
    "precision": MeasureText(
        "precision",
        "higher",
        "The share of images within the neighbourhood of any reference image (Kynkäänniemi et al. 2019), which reaches "
        "to its k-th nearest other reference image (k of the config, 5 by default); higher is better. Equal "
        "distributions have no fixed value: compare with reconstructions",
    ),
    "recall": MeasureText(
        "recall",
        "higher",
        "The share of reference images within the neighbourhood of any of the images (Kynkäänniemi et al. 2019), which "
        "reaches to its k-th nearest other one (k of the config, 5 by default); higher is better. Equal distributions "
        "have no fixed value: compare with reconstructions",
    ),
    "density": MeasureText(
        "density",
        "higher",
        "The mean number of neighbourhoods of reference images that an image lies in, divided by k (Naeem et al. 2020; "
        "k of the config, 5 by default); higher is better. Equal distributions give 1; images near the densest "
        "reference images exceed it",
    ),
    "coverage": MeasureText(
        "coverage",
        "higher",
        "The share of reference images with any of the images in their neighbourhood (Naeem et al. 2020). It reaches "
        "to the k-th nearest other reference image (k of the config, 5 by default); higher is better. Equal "
        "distributions of equal numbers of images give 0.969 if k is 5",
    ),
    "vendi": MeasureText(
        "Vendi score",
        "higher",
        "The Vendi score (Friedman and Dieng 2023), the effective number of different images: 1 if all have the same "
        "features, and their number if all features are orthogonal; higher is better, up to that of test images. It "
        "compares with nothing",
        against="",
    ),
    "inception_score": MeasureText(
        "inception score",
        "higher",
        "The inception score (Salimans et al. 2016): from 1 to the number of the network's classes, which it reaches "
        "if each image is surely of one class and all classes are equally frequent; higher is better, up to that of "
        "test images; few images a class lower it. It compares with nothing. ± is its standard error, from ten "
        "disjoint subsets",
        against="",
    ),
    "copy_rate": MeasureText(
        "copy rate",
        "lower",
        "The share of images nearer to a training image, among all of them, than 1 % of test images are; lower is "
        "better. Blur raises it without copies: judge samples between Test R, which has nothing to copy, and Train R",
        against="training images",
    ),
    "authenticity": MeasureText(
        "authenticity",
        "higher",
        "The share of images further from the nearest training image, among all of them, than that one is from its own "
        "nearest other one (Alaa et al. 2022); higher is better, up to that of test images: without copies it is not 1",
        against="training images",
    ),
}


def measure_label(measure: str, extractor: str) -> str:
    """A measure in an extractor's features, for an axis."""
    if measure == FRECHET:
        return distance_label(extractor)
    return f"{measure_text(measure).label} ({extractor} features)"


def measure_text(measure: str) -> MeasureText:
    """For a user's own measure, of which only the name is known, too."""
    if measure == FRECHET:
        return MeasureText("Fréchet distance", "lower", "")
    return MEASURES.get(measure, MeasureText(measure, "", f"The measure {measure}"))
