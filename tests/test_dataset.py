"""Prepared splits: sizes, labels, splits and what is told about bad images."""

import hashlib
import io
import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from autoencoders.data.pictures import Split
from autoencoders.data.preparation import describe, prepare, prepare_split, split_train_test
from autoencoders.data.prepared_images import evaluation_subset, load_images, load_labels
from autoencoders.data.sources import folder as folders
from autoencoders.data.sources import parquet
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import write_npz
from autoencoders.jobs.tracked_modules import PACKAGE, imported_modules

RNG = np.random.default_rng(0)


def source_of(images, labels=None):
    return Split(len(images), labels, lambda: iter(images), lambda index: f"picture {index}")


def pictures(count, height=10, width=12):
    return [Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)) for _ in range(count)]


def dataset(source, settings, **values):
    return {
        "source": source,
        source: settings,
        "crop": None,
        "size": 32,
        "test_fraction": 0.2,
        "limit": {"train": None, "test": None},
        **values,
    }


DIGITS = dataset("sklearn", {"name": "digits"})


def class_folder(path, counts):
    for name, count in counts.items():
        (path / name).mkdir(parents=True)
        for number, picture in enumerate(pictures(count)):
            picture.save(path / name / f"{number}.png")


# ---- prepare_split


def test_prepare_split():
    images = pictures(5)
    prepared, labels = prepare_split(source_of(images, np.arange(5)), crop=8, size=8)
    assert prepared.dtype == np.uint8
    assert prepared.shape == (5, 3, 8, 8)
    for index in range(5):
        assert np.array_equal(prepared[index], np.asarray(images[index])[1:9, 2:10].transpose(2, 0, 1))
    assert labels.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("limit", "count"), [(3, 3), (5, 5), (9, 5), (None, 5)])
def test_limit_takes_the_first_images(limit, count):
    images = pictures(5)
    prepared, labels = prepare_split(source_of(images, np.arange(5)), 8, 8, limit)
    assert np.array_equal(prepared, prepare_split(source_of(images), 8, 8)[0][:count])
    assert labels.tolist() == list(range(count))


def test_limit_opens_no_more_images_than_it_takes():
    opened = []

    def images():
        for number, picture in enumerate(pictures(100)):
            opened.append(number)
            yield picture

    prepare_split(Split(100, None, images, str), 8, 8, 3)
    assert opened == [0, 1, 2]


def test_without_labels_there_are_none():
    assert prepare_split(source_of(pictures(2)), 8, 8)[1] is None


def test_a_crop_that_is_too_large_names_the_image():
    with pytest.raises(UserError, match=r"picture 1: crop: 9 is larger than the image of 8 x 10 pixels"):
        prepare_split(source_of([*pictures(1), *pictures(1, 10, 8)]), 9, 8)


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


GOOD = png(RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8))
DAMAGED = {
    "empty": b"",
    "no image": b"<html>not found</html>",
    "cut off": GOOD[: len(GOOD) // 2],
    "wrong length of a chunk": GOOD[:35] + b"\0" + GOOD[36:],  # a SyntaxError of Pillow's
    "changed": GOOD[:100] + b"\0" * 40 + GOOD[140:],
    "floating point": None,  # a valid TIFF without a range of values
}
buffer = io.BytesIO()
Image.new("F", (32, 32), 0.5).save(buffer, format="TIFF")
DAMAGED["floating point"] = buffer.getvalue()


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_named(tmp_path, kind):
    (tmp_path / "a.png").write_bytes(GOOD)
    (tmp_path / "b.png").write_bytes(DAMAGED[kind])
    source = folders.splits({"train": str(tmp_path), "test": None}, tmp_path)["train"]
    with pytest.raises(UserError, match=rf"^{tmp_path}/b.png cannot be read as an image"):
        prepare_split(source, None, 32)


@pytest.mark.parametrize("kind", [*DAMAGED, "missing"])
def test_a_damaged_row_is_named(tmp_path, kind):
    rows = [{"bytes": data} for data in (GOOD, GOOD, DAMAGED.get(kind))]
    table = pa.table({"image": pa.array(rows, pa.struct([("bytes", pa.binary())]))})
    pq.write_table(table.slice(0, 1), tmp_path / "0.parquet")
    pq.write_table(table.slice(1), tmp_path / "1.parquet")
    settings = {"train": f"{tmp_path}/*.parquet", "test": None, "image": "image", "label": None}
    source = parquet.splits(settings, tmp_path)["train"]
    with pytest.raises(UserError, match=rf"^{tmp_path}/1.parquet, row 1 cannot be read as an image"):
        prepare_split(source, None, 32)


# ---- split_train_test


def test_split_is_stratified_and_covers_everything():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    train, test = split_train_test(160, labels, 0.2)
    assert sorted([*train, *test]) == list(range(160))
    assert np.bincount(labels[test]).tolist() == [20, 10, 2]
    assert train.dtype == test.dtype == np.int64
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()


def test_split_depends_on_the_seed_alone():
    labels = np.repeat([0, 1], 50)
    first, again, other = (split_train_test(100, labels, 0.3, seed)[1] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("count", "fraction", "expected"), [(10, 0.25, 2), (10, 0.001, 1), (10, 0.999, 9), (2, 0.5, 1)]
)
def test_each_split_has_an_image(count, fraction, expected):
    train, test = split_train_test(count, None, fraction)
    assert (len(train), len(test)) == (count - expected, expected)


@pytest.mark.parametrize(
    "labels",
    [np.array([0] * 19 + [1]), np.arange(20) // 2, np.repeat([0, 1, 2, 3, 4], 4)],
    ids=["single image", "more classes than test images", "one test image too few"],
)
def test_split_does_without_classes_where_they_are_too_small(labels, caplog):
    train, test = split_train_test(20, labels, 0.2)
    assert (len(train), len(test)) == (16, 4)
    assert "without classes" in caplog.text


def test_one_image_cannot_be_split():
    with pytest.raises(UserError, match=r"1 image\(s\) cannot be split"):
        split_train_test(1, None, 0.5)


# ---- prepare


def test_digits():
    """1,797 of them, a fifth set aside by class; grey as three equal channels."""
    arrays = prepare(DIGITS, "unused")
    assert {split: arrays[split]["images"].shape for split in arrays} == {
        "train": (1438, 3, 32, 32),
        "test": (359, 3, 32, 32),
    }
    for split in arrays.values():
        assert (split["images"] == split["images"][:, :1]).all()
        assert split["labels"].dtype == np.int64
    counts = [np.bincount(arrays[split]["labels"]) for split in ("train", "test")]
    assert np.abs(counts[1] - sum(counts) / 5).max() < 1
    # Pixels and labels still belong together: the nearest training image tells the digit.
    train, test = (arrays[split]["images"][:, 0].reshape(-1, 1024).astype(np.float32) for split in ("train", "test"))
    distances = (test**2).sum(1)[:, None] - 2 * test @ train.T + (train**2).sum(1)
    assert (arrays["train"]["labels"][distances.argmin(1)] == arrays["test"]["labels"]).mean() > 0.95


def test_limits_hold_for_the_split_that_we_make():
    everything = prepare(DIGITS, "unused")
    limited = prepare({**DIGITS, "limit": {"train": 40, "test": 7}}, "unused")
    for split, count in (("train", 40), ("test", 7)):
        assert np.array_equal(limited[split]["images"], everything[split]["images"][:count])
        assert np.array_equal(limited[split]["labels"], everything[split]["labels"][:count])


def test_a_sources_own_test_split_is_used(tmp_path):
    class_folder(tmp_path / "train", {"a": 3, "b": 2})
    class_folder(tmp_path / "test", {"a": 1, "b": 3})
    settings = {"train": str(tmp_path / "train"), "test": str(tmp_path / "test")}
    arrays = prepare(dataset("folder", settings, limit={"train": None, "test": 2}), tmp_path)
    assert arrays["train"]["labels"].tolist() == [0, 0, 0, 1, 1]
    assert arrays["test"]["labels"].tolist() == [0, 1]
    assert len(arrays["test"]["images"]) == 2


def test_unlabelled_datasets_have_no_labels_array(tmp_path):
    for number, picture in enumerate(pictures(10)):
        picture.save(tmp_path / f"{number}.png")
    arrays = prepare(dataset("folder", {"train": str(tmp_path), "test": None}), tmp_path)
    assert [sorted(split) for split in arrays.values()] == [["images"], ["images"]]
    assert describe(dataset("folder", {}), arrays)["classes"] is None


def test_a_limit_that_loses_classes_is_told(tmp_path, caplog):
    class_folder(tmp_path / "train", {"a": 3, "b": 2})
    class_folder(tmp_path / "test", {"a": 1, "b": 1})
    settings = {"train": str(tmp_path / "train"), "test": str(tmp_path / "test")}
    with caplog.at_level(logging.WARNING):
        prepare(dataset("folder", settings, limit={"train": 3, "test": None}), tmp_path)
    assert "train has images of only 1 of the dataset's 2 classes" in caplog.text
    assert "test has" not in caplog.text


def test_an_empty_split_is_told(tmp_path):
    kind = pa.struct([("bytes", pa.binary())])
    pq.write_table(pa.table({"image": pa.array([], kind)}), tmp_path / "0.parquet")
    settings = {"train": str(tmp_path / "0.parquet"), "test": None, "image": "image", "label": None}
    with pytest.raises(UserError, match="train split of this dataset holds no images"):
        prepare(dataset("parquet", settings), tmp_path)


@pytest.mark.parametrize(("count", "message"), [(1, "cannot be split"), (2, "train split .* single image")])
def test_too_few_images_are_refused_before_any_network_is_trained(tmp_path, count, message):
    for number, picture in enumerate(pictures(count)):
        picture.save(tmp_path / f"{number}.png")
    with pytest.raises(UserError, match=message):
        prepare(dataset("folder", {"train": str(tmp_path), "test": None}), tmp_path)


def test_a_single_test_image_is_refused(tmp_path):
    class_folder(tmp_path / "train", {"a": 3})
    class_folder(tmp_path / "test", {"a": 1})
    settings = {"train": str(tmp_path / "train"), "test": str(tmp_path / "test")}
    with pytest.raises(UserError, match="test split of this dataset has a single image"):
        prepare(dataset("folder", settings), tmp_path)


def test_describe():
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    arrays = {"train": {"images": images, "labels": np.array([5, 5])}, "test": {"images": images[:1]}}
    info = describe({**DIGITS, "size": 4}, arrays)
    assert info == {
        "source": {"kind": "sklearn", "name": "digits"},
        "crop": None,
        "size": 4,
        "images": {"train": 2, "test": 1},
        "classes": 1,
        "sha256": {
            "train": hashlib.sha256(bytes(range(96))).hexdigest(),
            "test": hashlib.sha256(bytes(range(48))).hexdigest(),
        },
    }


# ---- stored form


def test_stored_arrays_come_back(tmp_path):
    images = RNG.integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    write_npz(tmp_path / "labelled.npz", {"images": images, "labels": np.array([3, 1, 2, 0])})
    write_npz(tmp_path / "plain.npz", {"images": images})
    for name in ("labelled", "plain"):
        loaded = load_images(tmp_path / f"{name}.npz")
        assert np.array_equal(loaded, images)
        assert loaded.dtype == np.uint8
    assert load_labels(tmp_path / "labelled.npz").tolist() == [3, 1, 2, 0]
    assert load_labels(tmp_path / "labelled.npz").dtype == np.int64
    assert load_labels(tmp_path / "plain.npz") is None


def test_training_does_not_depend_on_downloads_and_decoding(project):
    """Imported modules are inputs of a rule: an edit to a download would retrain every cell."""
    scripts = project / "workflow" / "scripts"
    assert {module.stem for module in imported_modules(scripts / "autoencoders" / "data" / "prepared_images.py")} == {
        "seeds"
    }
    needed = imported_modules(scripts / "train.py")
    assert {module.stem for module in needed if module.is_relative_to(PACKAGE / "data")} == {"prepared_images"}


def test_unreadable_files_are_told(tmp_path):
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    np.savez(tmp_path / "objects.npz", images=np.array([{}], dtype=object))
    write_npz(tmp_path / "other.npz", {"labels": np.zeros(2)})
    for name, message in [
        ("cut", "not a readable npz"),
        ("objects", "not a readable npz"),
        ("other", "no array `images`"),
    ]:
        with pytest.raises(UserError, match=message):
            load_images(tmp_path / f"{name}.npz")


# ---- evaluation_subset


def test_evaluation_subset():
    subset = evaluation_subset(1000, 100, seed=0)
    assert subset.dtype == np.int64
    assert len(set(subset.tolist())) == 100
    assert (np.diff(subset) > 0).all()
    assert subset.min() >= 0
    assert subset.max() < 1000
    assert np.array_equal(subset, evaluation_subset(1000, 100, seed=0))
    assert not np.array_equal(subset, evaluation_subset(1000, 100, seed=1))


@pytest.mark.parametrize("size", [5, 6])
def test_evaluation_subset_of_few_images_is_all_of_them(size):
    assert evaluation_subset(5, size, seed=0).tolist() == [0, 1, 2, 3, 4]


def test_evaluation_subset_is_even():
    """Every image is as likely as any other: 400 draws of half of 20 images."""
    counts = sum(np.bincount(evaluation_subset(20, 10, seed), minlength=20) for seed in range(400))
    assert counts.min() > 150
    assert counts.max() < 250


# ---- real images


def test_celeba_crop(shared_data):
    """At half size the paper's crop is 70 pixels: left 9, top 19 of 89 x 109."""
    settings = {"train": str(shared_data / "celeba" / "test-*.parquet"), "test": None, "image": "image", "label": None}
    config = dataset("parquet", settings, crop=70, size=64, limit={"train": 30, "test": 10})
    arrays = prepare(config, "unused")
    assert arrays["train"]["images"].shape == (30, 3, 64, 64)
    assert arrays["test"]["images"].shape == (10, 3, 64, 64)
    source = parquet.splits(settings, "unused")["train"]
    prepared, _ = prepare_split(source, 70, 70, 2)
    first = np.asarray(next(iter(source)))
    assert first.shape == (109, 89, 3)
    assert np.array_equal(prepared[0], first[19:89, 9:79].transpose(2, 0, 1))
    with pytest.raises(UserError, match=r"test-00000-of-00001.parquet, row 0: crop: 140 is larger .* 89 x 109"):
        prepare({**config, "crop": 140}, "unused")


def test_cifar10_is_prepared_without_change(shared_data):
    path = str(shared_data / "cifar10" / "test-*.parquet")
    settings = {"train": path, "test": None, "image": "img", "label": "label"}
    source = parquet.splits(settings, "unused")["train"]
    prepared, labels = prepare_split(source, None, 32, 500)
    original = np.stack([np.asarray(image) for image, _ in zip(source, range(500), strict=False)])
    assert np.array_equal(prepared, original.transpose(0, 3, 1, 2))
    assert set(labels.tolist()) == set(range(10))
