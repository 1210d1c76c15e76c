"""The inception score against torch-fidelity's function, closed forms, and Inception's own layer of classes."""

import math

import numpy as np
import pytest
import torch
from torch_fidelity.metric_isc import isc_features_to_metric

from autoencoders.config.seeds import generator
from autoencoders.jobs.errors import UserError
from autoencoders.scores.cell_scores import TEST_IMAGES, Reference, reference_arrays, score_cell
from autoencoders.scores.extractors import inception
from autoencoders.scores.measures import inception_score

CPU = torch.device("cpu")


def score(logits) -> tuple[float, float]:
    logits = torch.as_tensor(np.asarray(logits, dtype=np.float32))
    return inception_score.measure(logits, None, {}, prepared={}, random=None, shared={})


def test_it_is_torch_fidelitys_of_the_same_parts():
    logits = 3 * generator(0, "logits").normal(size=(1000, 17))
    value, error = score(logits)
    # Its parts are consecutive images.
    parts = np.concatenate([logits[start::10] for start in range(10)])
    theirs = isc_features_to_metric(torch.from_numpy(parts.astype(np.float32)), splits=10, shuffle=False)
    assert value == pytest.approx(theirs["inception_score_mean"], rel=1e-9)
    # Theirs divides by ten, ours by nine, and is an error of the mean.
    assert error == pytest.approx(theirs["inception_score_std"] / math.sqrt(9), rel=1e-6)


def test_sure_and_equally_frequent_classes_score_their_number_and_equal_images_one():
    sure = np.tile(1000 * np.eye(7), (20, 1))
    assert score(sure) == (pytest.approx(7), pytest.approx(0, abs=1e-9))
    # As images of class folders come.
    assert score(np.repeat(1000 * np.eye(7), 100, axis=0))[0] == pytest.approx(7, rel=0.01)
    assert score(np.tile(generator(0, "row").normal(size=7), (50, 1)))[0] == pytest.approx(1)


def test_few_images(caplog):
    assert score(np.eye(3)[:1]) == (1, pytest.approx(math.nan, nan_ok=True))
    value, error = score(100 * np.eye(3))
    assert value == pytest.approx(3) and math.isnan(error)
    assert "of 1 images with 3 classes is far too low" in caplog.text and "of 3 images" not in caplog.text


def test_inceptions_logits_are_those_of_its_layer_of_classes_without_biases(inception_weights, tmp_path):
    weights = torch.load(inception_weights, weights_only=True)
    features = torch.rand(3, 2048, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.linear(features, weights["fc.weight"])
    torch.testing.assert_close(inception.classes(inception_weights, CPU)(features), expected)
    del weights["fc.weight"]
    torch.save(weights, tmp_path / "headless.pth")
    with pytest.raises(UserError, match="no layer of classes"):
        inception.classes(tmp_path / "headless.pth", CPU)


def test_measures_of_classes_see_logits_and_others_features():
    images = generator(0, "images").integers(0, 256, size=(40, 3, 8, 8), dtype=np.uint8)
    measures = {"frechet": {"kind": "frechet"}, "inception_score": {"kind": "inception_score"}}

    def network(batch):
        return batch.flatten(1)[:, :4]

    def classes(features):
        return features @ torch.arange(12.0).view(4, 3)

    arrays = reference_arrays(network, images, __file__, measures, 10, CPU, classes=classes)
    expected = inception_score.inception_score(classes(torch.from_numpy(arrays["features"])))
    assert arrays["inception_score/baseline"] == pytest.approx(expected[0], rel=1e-12)
    prepared = {
        measure: {
            name.partition("/")[2]: torch.as_tensor(array)
            for name, array in arrays.items()
            if name.startswith(f"{measure}/")
        }
        for measure in measures
    }
    reference = Reference(torch.from_numpy(arrays["features"]), prepared)
    comparisons, references = {"mvg": ("mvg", "test")}, {"test": reference}
    found = score_cell("ok", {"mvg": images}, comparisons, references, measures, network, 10, CPU, 0, classes)
    scores = found.table.set_index(["comparison", "measure"])
    assert scores.loc[("mvg", "frechet"), "value"] == pytest.approx(0, abs=1e-6)
    assert tuple(scores.loc[("mvg", "inception_score"), ["value", "error"]]) == pytest.approx(expected)
    assert scores.loc[(TEST_IMAGES, "inception_score"), "value"] == pytest.approx(expected[0])
