"""Prepared splits: sizes, labels, splits and what is reported about bad images."""

import hashlib
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from autoencoders.data.pictures import Split
from autoencoders.data.preparation import describe, prepare, prepare_split, split_train_test
from autoencoders.data.prepared_images import evaluation_subset, load_images, load_labels
from autoencoders.data.sources import folder as folders
from autoencoders.data.sources import parquet
from autoencoders.jobs.errors import UserError
from autoencoders.jobs.files import write_npz

RNG = np.random.default_rng(0)


def pictures(count, height=10, width=12):
    return [Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)) for _ in range(count)]


def dataset(source, settings, train=None, test=None, **values):
    common = {"crop": None, "size": 32, "test_fraction": 0.2, "limit": {"train": train, "test": test}}
    return {"source": source, source: settings, **common, **values}


DIGITS = dataset("sklearn", {"name": "digits"})


def class_folders(path, **counts):
    """Folders train and test with so many pictures per class (train={"a": 3}); returns their section of the config."""
    for split, classes in counts.items():
        for name, count in classes.items():
            (path / split / name).mkdir(parents=True)
            for number, picture in enumerate(pictures(count)):
                picture.save(path / split / name / f"{number}.png")
    return {"test": None} | {split: str(path / split) for split in counts}


# ---- prepare_split


@pytest.mark.parametrize(("limit", "count"), [(3, 3), (5, 5), (9, 5), (None, 5)])
def test_the_first_images_are_cropped_in_their_order_and_no_more_opened(limit, count):
    images, opened = pictures(5), []

    def opening():
        for number, image in enumerate(images):
            opened.append(number)
            yield image

    prepared, labels = prepare_split(Split(5, np.arange(5), opening, str), 8, 8, limit)
    expected = np.stack([np.asarray(image)[1:9, 2:10].transpose(2, 0, 1) for image in images[:count]])
    assert prepared.dtype == np.uint8 and np.array_equal(prepared, expected)
    assert labels.tolist() == opened == list(range(count))


buffer = io.BytesIO()
pictures(1, 32, 32)[0].save(buffer, format="PNG")
GOOD = buffer.getvalue()
DAMAGED = {
    "empty": b"",
    "cut off": GOOD[: len(GOOD) // 2],
    "wrong length of a chunk": GOOD[:35] + b"\0" + GOOD[36:],  # a SyntaxError of Pillow's
    "changed": GOOD[:100] + b"\0" * 40 + GOOD[140:],
    "missing": None,
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_or_row_is_named(tmp_path, kind):
    for number, rows in enumerate([[GOOD], [GOOD, DAMAGED[kind]]]):
        pq.write_table(pa.table({"image": pa.array(rows, pa.binary())}), tmp_path / f"{number}.parquet")
    source = parquet.splits({"train": f"{tmp_path}/*.parquet", "image": "image"}, tmp_path)["train"]
    with pytest.raises(UserError, match=rf"^{tmp_path}/1.parquet, row 1 cannot be read as an image"):
        prepare_split(source, None, 32)
    if DAMAGED[kind] is not None:
        (tmp_path / "a.png").write_bytes(GOOD)
        (tmp_path / "b.png").write_bytes(DAMAGED[kind])
        with pytest.raises(UserError, match=rf"^{tmp_path}/b.png cannot be read as an image"):
            prepare_split(folders.splits({"train": str(tmp_path)}, tmp_path)["train"], None, 32)


def test_full_memory_is_not_blamed_on_the_image_alone():
    def opening():
        raise MemoryError
        yield

    with pytest.raises(UserError, match=r"^7 needs more memory than there is. Run fewer jobs at once"):
        prepare_split(Split(1, None, opening, lambda index: str(index + 7)), None, 8)


# ---- split_train_test


def test_the_split_is_stratified_covers_everything_and_depends_on_the_seed_alone():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    train, test = split_train_test(160, labels, 0.2)
    assert sorted([*train, *test]) == list(range(160))
    assert np.bincount(labels[test]).tolist() == [20, 10, 2]
    assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    assert np.array_equal(test, split_train_test(160, labels, 0.2)[1])
    assert not np.array_equal(test, split_train_test(160, labels, 0.2, seed=1)[1])


@pytest.mark.parametrize(("count", "fraction", "expected"), [(10, 0.001, 1), (10, 0.999, 9), (2, 0.5, 1)])
def test_each_split_has_an_image(count, fraction, expected):
    assert [len(split) for split in split_train_test(count, None, fraction)] == [count - expected, expected]


@pytest.mark.parametrize("labels", [[0] * 19 + [1], np.arange(20) // 2, np.repeat([0, 1, 2, 3, 4], 4)], ids=str)
def test_the_split_does_without_classes_where_they_are_too_small(labels, caplog):
    train, test = split_train_test(20, np.array(labels), 0.2)
    assert (len(train), len(test)) == (16, 4)
    assert "regardless of class" in caplog.text


# ---- prepare


def test_digits_are_scikit_learns_and_limits_take_the_first():
    """1,797 of them, a fifth set aside by class; grey as three equal channels."""
    config, official = {**DIGITS, "size": 8}, load_digits()
    pixels = np.rint(official.images * 255 / 16).astype(np.uint8)[:, None].repeat(3, axis=1)
    arrays, limited = prepare(config, "unused"), prepare({**config, "limit": {"train": 40, "test": 7}}, "unused")
    for split, indices, limit in zip(arrays, split_train_test(1797, official.target, 0.2), (40, 7), strict=True):
        for array, expected in (("images", pixels), ("labels", official.target)):
            assert np.array_equal(arrays[split][array], expected[indices])
            assert np.array_equal(limited[split][array], expected[indices[:limit]])
        assert arrays[split]["labels"].dtype == np.int64


def test_a_sources_own_test_split_is_used_and_lost_classes_are_reported(tmp_path, caplog):
    settings = class_folders(tmp_path, train={"a": 3, "b": 2}, test={"a": 1, "b": 3})
    arrays = prepare(dataset("folder", settings, test=2), tmp_path)
    assert [split["labels"].tolist() for split in arrays.values()] == [[0, 0, 0, 1, 1], [0, 1]]
    assert len(arrays["test"]["images"]) == 2 and not caplog.text
    prepare(dataset("folder", settings, train=3), tmp_path)
    assert "train has images of only 1 of the dataset's 2 classes" in caplog.text
    assert "test has" not in caplog.text


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"train": {".": 1}}, "cannot be split"),
        ({"train": {".": 2}}, "train split .* single image"),
        ({"train": {"a": 3}, "test": {"a": 1}}, "test split .* single image"),
        (None, "train split of this dataset holds no images"),
    ],
)
def test_too_few_images_are_refused_before_any_network_is_trained(tmp_path, counts, message):
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), tmp_path / "0.parquet")
    config = dataset("parquet", {"train": str(tmp_path / "0.parquet"), "test": None, "image": "image"})
    if counts:
        config = dataset("folder", class_folders(tmp_path, **counts))
    with pytest.raises(UserError, match=message):
        prepare(config, tmp_path)


def test_the_record_counts_images_and_classes_and_has_checksums(tmp_path):
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    arrays = {"train": {"images": images, "labels": np.array([5, 5])}, "test": {"images": images[:1]}}
    sums = {split: hashlib.sha256(bytes(range(count))).hexdigest() for split, count in (("train", 96), ("test", 48))}
    record = {"source": {"kind": "sklearn", "name": "digits"}, "crop": None, "size": 4, "sha256": sums, "classes": 1}
    assert describe({**DIGITS, "size": 4}, arrays) == {**record, "images": {"train": 2, "test": 1}}
    config = dataset("folder", class_folders(tmp_path, train={".": 10}))
    arrays = prepare(config, tmp_path)
    assert [sorted(split) for split in arrays.values()] == [["images"], ["images"]]
    assert describe(config, arrays)["classes"] is None


# ---- stored form


def test_a_stored_split_may_lack_labels_but_not_images(tmp_path):
    write_npz(tmp_path / "images.npz", {"images": np.zeros((2, 3, 8, 8), np.uint8)})
    assert load_images(tmp_path / "images.npz").shape == (2, 3, 8, 8) and load_labels(tmp_path / "images.npz") is None
    write_npz(tmp_path / "labels.npz", {"labels": np.array([3, 1])})
    assert load_labels(tmp_path / "labels.npz").tolist() == [3, 1]
    with pytest.raises(UserError, match=r"labels\.npz.*no array `images`"):
        load_images(tmp_path / "labels.npz")


def test_the_subset_that_is_scored_is_drawn_by_its_seed():
    first, again, other = (evaluation_subset(1000, 100, seed=seed) for seed in (0, 0, 1))
    assert len(first) == 100 and (np.diff(first) > 0).all() and first.min() >= 0 and first.max() < 1000
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert all(evaluation_subset(5, size, seed=0).tolist() == [0, 1, 2, 3, 4] for size in (5, 6))


def test_celeba_crop(shared_data):
    """At half size the paper's crop is 70 pixels: left 9, top 19 of 89 x 109."""
    settings = {"train": str(shared_data / "celeba" / "test-*.parquet"), "image": "image"}
    source = parquet.splits(settings, "unused")["train"]
    first = np.asarray(next(iter(source)))
    assert np.array_equal(prepare_split(source, 70, 70, 2)[0][0], first[19:89, 9:79].transpose(2, 0, 1))
    with pytest.raises(UserError, match=r"test-00000-of-00001.parquet, row 0: crop: 140 is larger .* 89 x 109"):
        prepare_split(source, 140, 64)
