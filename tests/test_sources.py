"""Every source returns the images and labels that were stored; only official archives are unpacked."""

import datetime
import hashlib
import io
import os
import pickle
import tarfile
import time
import zipfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from serving import Server
from torchvision import datasets

from autoencoders.data.preparation import prepare_split
from autoencoders.data.sources import folder as folders
from autoencoders.data.sources import parquet, torchvision
from autoencoders.jobs.errors import UserError

RNG = np.random.default_rng(0)


def noise(*shape):
    return RNG.integers(0, 256, shape or (8, 8, 3), dtype=np.uint8)


def encoded(pixels, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def same(source, expected):
    found = [np.asarray(image.convert("RGB")) for image in source]
    assert len(source) == len(found) == len(expected)
    return all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


# ---- parquet


def write_parquet(path, images, layout="struct", row_group_size=None, **columns):
    """A table of encoded images, in the Hub's layout or as plain binary."""
    array = pa.array([encoded(image) for image in images], pa.binary())
    array = array if layout == "struct" else array.dictionary_encode() if layout == DICTIONARY else array.cast(layout)
    if layout == "struct":
        array = pa.StructArray.from_arrays([array, pa.nulls(len(images), pa.string())], ["bytes", "path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": array, **columns}), path, row_group_size=row_group_size)


def shards(train, test=None, image="image", label=None):
    return {"train": train, "test": test, "image": image, "label": label}


DICTIONARY = pa.dictionary(pa.int32(), pa.binary())


@pytest.mark.parametrize("layout", ["struct", pa.binary(), pa.large_binary(), pa.binary_view(), DICTIONARY], ids=str)
def test_parquet_shards_in_the_order_of_their_names(tmp_path, layout):
    images = [noise() for _ in range(7)]
    write_parquet(tmp_path / "train-1.parquet", images[4:], layout, label=pa.array([4, 5, 6]))
    write_parquet(tmp_path / "train-0.parquet", images[:4], layout, row_group_size=3, label=pa.array([0, 1, 2, 3]))
    write_parquet(tmp_path / "test.parquet", images[2:3], layout, label=pa.array([2]))
    loaded = parquet.splits(shards(f"{tmp_path}/train-*.parquet", f"{tmp_path}/test.parquet", label="label"), tmp_path)
    train = loaded["train"]
    # A second pass gives the same.
    assert same(train, images) and same(train, images) and same(loaded["test"], images[2:3])
    assert train.labels.tolist() == list(range(7)) and train.labels.dtype == np.int64
    assert [Path(train.name(index)).name for index in (0, 3, 4)] == [
        *("train-0.parquet, row 0", "train-0.parquet, row 3", "train-1.parquet, row 0")
    ]
    # A list keeps its order, and has each file once.
    loaded = parquet.splits(shards([f"{tmp_path}/train-1.parquet", f"{tmp_path}/train-*.parquet"]), tmp_path)
    assert same(loaded["train"], images[4:] + images[:4]) and loaded["train"].labels is None


@pytest.mark.parametrize("pattern", ["~/set [1]/0.parquet", "~/**/0.parquet", "~/*/*.parquet"])
def test_parquet_patterns(tmp_path, monkeypatch, pattern):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_parquet(tmp_path / "set [1]" / "0.parquet", [noise()])
    assert len(parquet.splits(shards(pattern), tmp_path)["train"]) == 1


def both_labels(loaded):
    return [loaded[split].labels.tolist() for split in ("train", "test")]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.string(), "ant cat dog"),
        (pa.large_string(), "ant cat dog"),
        (pa.string_view(), "ant cat dog"),
        (pa.dictionary(pa.int8(), pa.string()), "ant cat dog"),
        (pa.binary(), "ant cat dog"),
        (pa.int16(), (-5, 3, 1985)),
        (pa.uint64(), (7, 2**63 - 1, 2**64 - 1)),
        (pa.dictionary(pa.int8(), pa.int64()), (0, 10, 3_000_000)),
        (pa.float64(), (0.5, 1.0, 7.0)),
        (pa.date32(), tuple(map(datetime.date.fromisoformat, ("1985-12-01", "1986-01-01", "2001-01-01")))),
    ],
    ids=str,
)
def test_parquet_labels_are_numbered_in_sorted_order_over_both_splits(tmp_path, kind, values):
    first, second, third = values.split() if isinstance(values, str) else values
    for split, labels in (("train", [third, first, third]), ("test", [third, second])):
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        array = pa.array(labels, plain)
        write_parquet(
            tmp_path / f"{split}.parquet",
            [noise()] * len(labels),
            label=array.dictionary_encode() if plain != kind else array,
        )
    loaded = parquet.splits(shards(f"{tmp_path}/train.parquet", f"{tmp_path}/test.parquet", label="label"), tmp_path)
    assert both_labels(loaded) == [[2, 0, 2], [2, 1]]


@pytest.mark.parametrize(
    ("train", "test", "numbered"),
    [
        # -1 is unknown in the test split alone, but a class if training images have it.
        ([5, 0, 5], [-1, -1], [[1, 0, 1], [-1, -1]]),
        ([5, 0, 5], [0, -1], [[1, 0, 1], [0, -1]]),
        ([-1, 1, 1], [-1, 1], [[0, 1, 1], [0, 1]]),
        ([True, False], [True], [[1, 0], [1]]),
    ],
)
def test_unknown_test_labels_stay_unknown(tmp_path, caplog, train, test, numbered):
    for split, labels in (("train", train), ("test", test)):
        write_parquet(tmp_path / f"{split}.parquet", [noise()] * len(labels), label=pa.array(labels))
    loaded = parquet.splits(shards(f"{tmp_path}/train.parquet", f"{tmp_path}/test.parquet", label="label"), tmp_path)
    assert both_labels(loaded) == numbered
    assert ("1 training images have the label -1, which is taken for a class" in caplog.text) == (-1 in train)


@pytest.mark.parametrize("kind", [pa.binary(), None], ids=str)
def test_parquet_of_paths_alone_is_told_from_one_lost_image(tmp_path, kind):
    """Without a type, pyarrow takes that of the values: null if all are."""

    def write(contents):
        images = pa.array(contents, kind)
        rows = pa.StructArray.from_arrays([images, pa.array(["pictures/1.png"] * len(contents))], ["bytes", "path"])
        pq.write_table(pa.table({"image": rows}), tmp_path / "0.parquet")
        return parquet.splits(shards(f"{tmp_path}/0.parquet"), tmp_path)["train"]

    with pytest.raises(UserError, match=r"column 'image' holds no images here, at most their paths. .*source: folder"):
        prepare_split(write([None, None]), None, 8)
    with pytest.raises(UserError, match=r"0.parquet, row 1 cannot be .*: it holds no bytes. Replace or remove it"):
        prepare_split(write([encoded(noise()), None]), None, 8)


def test_parquet_reads_the_download_folder(tmp_path):
    images = [noise() for _ in range(3)]
    for name, part in (("train-0", images[:1]), ("train-1", images[1:]), ("test-0", images)):
        write_parquet(tmp_path / f"owner/faces/main/data/{name}.parquet", part)
    (tmp_path / "owner/faces/main/data/train-2.parquet.part").write_bytes(b"half a file")
    write_parquet(tmp_path / "owner/faces/older/data/train-0.parquet", images)
    uri = "hf://datasets/owner/faces@main/data/train-*"
    assert parquet.is_remote(shards("x.parquet", ["y.parquet", uri])) and not parquet.is_remote(shards("x.parquet"))
    assert same(parquet.splits(shards(uri), tmp_path)["train"], images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (shards("ok.parquet", image="picture"), r"ok.parquet has no column 'picture'.* are: image, label, none"),
        (shards("ok.parquet", image="label"), r"Column 'label' of .*ok.parquet holds int64, not images"),
        (shards("ok.parquet", label="image"), r"Column 'image' of .*ok.parquet holds struct.*, but labels are"),
        (shards("ok.parquet", label="none"), r"Column 'none' of .*ok.parquet holds null, but labels are"),
        (shards("tensor.parquet", label="label"), r"Column 'label' of .*tensor.parquet holds .*tensor.*, but labels"),
        (shards("mars.parquet", label="label"), r"Column 'label' of .*mars.parquet holds timestamp.*, but labels are"),
        (shards("nan.parquet", label="label"), r"nan.parquet, row 1: column 'label' is empty"),
        (shards("twice.parquet"), r"twice.parquet has 2 columns named 'image'. Its columns are: image, image, label"),
        (shards("twice.parquet", image="label"), r"Column 'label' of .* holds int64, not images"),
        (shards("hole.parquet", label="label"), r"hole.parquet, row 1: column 'label' is empty"),
        (shards(["ok.parquet", "text.parquet"], label="label"), r"'label' holds numbers in some .* text in others"),
        (shards("none-*.parquet"), r"No file matches 'none-\*.parquet'"),
        (shards("."), r"is a folder. Write the parquet files in it"),
        (shards("cut.parquet"), r"cut.parquet is not a readable parquet file .* Copy or download it again"),
        (shards("hollow.parquet", label="label"), r"hollow.parquet is not a readable parquet file"),
        (shards("*.parquet", "ok.parquet"), r"ok.parquet belongs to train and to test"),
        (shards("hf://datasets/a/b@main/*.parquet"), r"None of the files of hf://.* are in .*download_dataset"),
    ],
)
def test_parquet_errors_are_reported(tmp_path, monkeypatch, settings, message):
    monkeypatch.chdir(tmp_path)
    write_parquet(tmp_path / "ok.parquet", [noise()] * 2, label=pa.array([0, 1]), none=pa.nulls(2))
    write_parquet(tmp_path / "nan.parquet", [noise()] * 2, label=pa.array([0.0, float("nan")]))
    tensors = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.int8(), [2]), pa.array([[0, 1]] * 2, pa.list_(pa.int8(), 2))
    )
    write_parquet(tmp_path / "tensor.parquet", [noise()] * 2, label=tensors)
    write_parquet(tmp_path / "mars.parquet", [noise()] * 2, label=pa.array([0, 1], pa.timestamp("s", "Mars/Crater")))
    columns = [pq.read_table(tmp_path / "ok.parquet").column(name) for name in ("image", "image", "label")]
    pq.write_table(pa.Table.from_arrays(columns, ["image", "image", "label"]), tmp_path / "twice.parquet")
    write_parquet(tmp_path / "hole.parquet", [noise()] * 2, label=pa.array([0, None]))
    write_parquet(tmp_path / "text.parquet", [noise()] * 2, label=pa.array(["a", "b"]))
    whole = (tmp_path / "ok.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    # The footer is complete, but the labels that it lists are missing.
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    (tmp_path / "hollow.parquet").write_bytes(b"PAR1" + bytes(len(whole) - footer - 4) + whole[-footer:])

    with pytest.raises(UserError, match=message):
        parquet.splits(settings, tmp_path)


# ---- folder


def save(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise() if pixels is None else pixels).save(path)


def places(train, test=None):
    return {"train": str(train), "test": test and str(test)}


def test_a_folder_with_a_sub_folder_for_each_class(tmp_path, caplog):
    images = [noise() for _ in range(5)]
    names = ["ant/1.png", "ant/2.png", "ant/deeper/0.BMP", "bee/0.tiff", "cow/9.png"]
    for name, pixels in reversed(list(zip(names, images, strict=True))):
        save(tmp_path / "train" / name, pixels)
    (tmp_path / "train" / "empty").mkdir()
    (tmp_path / "train" / "notes.txt").write_text("not an image")
    copies = ("ant/@eaDir/1.png/SYNOFILE_THUMB_M.png", "__MACOSX/ant/1.png", "$Recycle.Bin/1.png")
    for hidden in (".cache/x.png", "ant/._1.png", "ant/.hidden/y.png", *copies):
        save(tmp_path / "train" / hidden)
    save(tmp_path / "test" / "bat" / "0.png")
    (tmp_path / "train" / "cow" / "more").symlink_to(tmp_path / "test" / "bat")
    source = folders.splits(places(tmp_path / "train"), tmp_path)["train"]
    assert same(source, images)
    assert source.labels.tolist() == [0, 0, 0, 1, 2] and source.labels.dtype == np.int64
    assert source.name(3) == str(tmp_path / "train" / "bee" / "0.tiff")
    assert "ignored: 1 .txt" in caplog.text and "1 folders without images are no classes: empty" in caplog.text
    assert "cow/more is a link inside a class, and is not followed" in caplog.text
    # Classes are numbered over both splits.
    loaded = folders.splits(places(tmp_path / "train", tmp_path / "test"), tmp_path)
    assert both_labels(loaded) == [[0, 0, 0, 2, 3], [1]]


def test_a_flat_folder_of_all_named_formats_has_no_labels(tmp_path):
    names = ["a.jpeg", "b.JPG", "c.webp", "d.tif", "e.PNG", "f.gif", "g.bmp", "h.ppm", "i.jfif"]
    grey = np.full((8, 8, 3), 99, np.uint8)
    for name in reversed(names[:-1]):
        save(tmp_path / name, grey)
    # Phones store photographs as JPEG files with two images.
    Image.fromarray(grey).save(tmp_path / names[-1], "MPO", save_all=True, append_images=[Image.fromarray(grey)])
    source = folders.splits(places(tmp_path), tmp_path)["train"]
    assert all(np.abs(np.asarray(image.convert("RGB")) - 99.0).max() < 8 for image in source)
    assert [Path(source.name(index)).name for index in range(len(source))] == names and source.labels is None


def test_a_change_behind_a_link_is_seen_and_a_link_to_nothing_is_refused(tmp_path):
    images, classes = tmp_path / "images", tmp_path / "classes"
    save(images / "a/0.png")
    classes.mkdir()
    (classes / "a").symlink_to(images / "a")
    before = folders.local_files(places(classes))
    save(images / "a/1.png")
    assert before.keys() == {"train/a/0.png"}
    assert folders.local_files(places(classes)).keys() == {"train/a/0.png", "train/a/1.png"}
    # It may be a class on a disk that is not mounted.
    for target, message in ((images / "nowhere", "/c.* is a link to .*nowhere"), ("c", "Too many.*/c")):
        (classes / "c").symlink_to(target)
        with pytest.raises(UserError, match=message):
            folders.splits(places(classes), tmp_path)
        (classes / "c").unlink()


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("mixed", None, r"mixed' holds 1 images \(such as 0.png\) and more in sub-folders \(class\)"),
        ("empty", None, r"empty' holds no images"),
        ("nowhere", None, r"nowhere' does not exist"),
        ("flat", "classes", r"has a sub-folder"),
        ("classes", "classes", r"overlap"),
        ("classes", "classes/a", r"overlap"),
    ],
)
def test_folder_errors_are_reported(tmp_path, train, test, message):
    for name in ("mixed/0.png", "mixed/class/0.png", "flat/0.png", "classes/a/0.png"):
        save(tmp_path / name)
    (tmp_path / "empty" / "class").mkdir(parents=True)
    with pytest.raises(UserError, match=message):
        folders.splits(places(tmp_path / train, test and tmp_path / test), tmp_path)


@pytest.mark.parametrize(
    ("names", "advice"),
    [
        (["train", "test", "validation"], "train: ROOT/train, test: ROOT/test"),
        (["Training", "val"], "train: ROOT/Training, test: ROOT/val"),
        (["train", "test", "unlabelled"], "train: ROOT/train, test: ROOT/test"),
        (["train"], "{train: ROOT/train}"),
        (["train", "bus", "car"], None),
        (["dev", "ops"], None),
    ],
)
def test_splits_are_not_taken_for_classes(tmp_path, names, advice):
    for name in names:
        save(tmp_path / name / "deeper" / "0.png")
    if advice is None:
        assert len(folders.splits(places(tmp_path), "")["train"]) == len(names)
    else:
        with pytest.raises(UserError, match=f"are splits, not classes.*{advice.replace('ROOT', str(tmp_path))}"):
            folders.splits(places(tmp_path), "")


def test_names_that_are_not_utf8_are_read_and_printed(tmp_path):
    root = os.fsencode(tmp_path)
    for name in (b"caf\xe9/1.png", b"bar/\xd6.png", b"bar/a.t\xe9xt"):
        os.makedirs(os.path.join(root, os.path.dirname(name)), exist_ok=True)
        with open(os.path.join(root, name), "wb") as file:
            file.write(encoded(noise()))
    source = folders.splits(places(tmp_path), "")["train"]
    assert [source.name(index).removeprefix(f"{tmp_path}/") for index in range(2)] == [
        r"bar/\xd6.png",
        r"caf\xe9/1.png",
    ]
    assert len(prepare_split(source, None, 8)[0]) == 2
    write_parquet(tmp_path / "e.parquet", [noise()])
    (tmp_path / "e.parquet").rename(tmp_path / os.fsdecode(b"\xe9.parquet"))
    source = parquet.splits(shards(f"{tmp_path}/*.parquet"), "")["train"]
    assert source.name(0) == rf"{tmp_path}/\xe9.parquet, row 0" and len(prepare_split(source, None, 8)[0]) == 1


# ---- torchvision

CIFAR10, CELEBA = {"name": "CIFAR10"}, {"name": "CelebA"}


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    seconds = []
    monkeypatch.setattr(time, "sleep", seconds.append)
    return seconds


@pytest.fixture
def cifar10(tmp_path, monkeypatch, waits):
    """A CIFAR-10 of 12 images whose archive has the official layout: its server, pixels and labels."""
    pixels, labels = noise(12, 32, 32, 3), [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
    made, archive = tmp_path / "made" / "cifar-10-batches-py", tmp_path / "made" / "archive"
    made.mkdir(parents=True)
    official, server = datasets.CIFAR10, Server()
    batches = {"batches.meta": {"label_names": [str(digit) for digit in range(10)]}}
    for number, (name, _) in enumerate(official.train_list + official.test_list):
        rows = slice(2 * number, 2 * number + 2)
        batches[name] = {"data": pixels[rows].transpose(0, 3, 1, 2).reshape(2, 3072), "labels": labels[rows]}
    for name, batch in batches.items():
        (made / name).write_bytes(pickle.dumps(batch))
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(made, arcname=made.name)
    server.files["/archive"] = archive.read_bytes()
    monkeypatch.setattr(official, "url", f"{server.url}/archive")
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(official, part, [[name, md5(made / name)] for name, _ in getattr(official, part)])
    monkeypatch.setattr(official, "meta", {**official.meta, "md5": md5(made / "batches.meta")})
    monkeypatch.setattr(official, "tgz_md5", md5(archive))
    yield server, pixels, labels
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("faults", [[], [0.1, 0.5], [503]], ids=str)
def test_cifar10_is_downloaded_in_spite_of_failures_and_read(tmp_path, cifar10, faults):
    server, pixels, labels = cifar10
    server.faults, folder = faults.copy(), tmp_path / "data"
    manifest = torchvision.download(CIFAR10, folder)
    assert len(manifest) == 7
    assert manifest["cifar-10-python.tar.gz"] == hashlib.sha256(server.files["/archive"]).hexdigest()
    loaded = torchvision.splits(CIFAR10, folder)
    assert same(loaded["train"], pixels[:10]) and same(loaded["test"], pixels[10:])
    assert both_labels(loaded) == [labels[:10], labels[10:]] and loaded["train"].labels.dtype == np.int64
    assert loaded["test"].name(1) == "CIFAR10 test image 1"
    # Right files are not downloaded again.
    assert torchvision.download(CIFAR10, folder) == manifest and len(server.asked) == 1 + len(faults)


@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
def test_a_damaged_batch_is_refused_before_it_is_unpickled(tmp_path, cifar10, file):
    folder, server = tmp_path / "data", cifar10[0]
    torchvision.download(CIFAR10, folder)
    # A pickle that makes a folder when it is read.
    (folder / "cifar-10-batches-py" / file).write_bytes(f"cos\nmkdir\n(V{tmp_path}/pwned\ntR.".encode())
    with pytest.raises(UserError, match=rf"CIFAR10 in {folder} is incomplete or damaged .*Delete {folder}.json"):
        torchvision.splits(CIFAR10, folder)
    assert not (tmp_path / "pwned").exists()
    # The advice leads to another download, which unpacks the archive again.
    torchvision.download(CIFAR10, folder)
    assert len(server.asked) == 1
    assert same(torchvision.splits(CIFAR10, folder)["train"], cifar10[1][:10])


def test_another_archive_is_not_even_opened(tmp_path, cifar10, waits):
    """Whether it is there in place of CIFAR-10's, or a server sends it."""
    server, folder = cifar10[0], tmp_path / "data"
    folder.mkdir()
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(__file__, "../evil")
        tar.add(__file__, "cifar-10-batches-py/data_batch_1")
    server.files["/archive"] = (folder / "cifar-10-python.tar.gz").read_bytes()
    with pytest.raises(UserError, match=rf"CIFAR10 could not be .*corrupted.*cifar-10-python.tar.gz into {folder} by"):
        torchvision.download(CIFAR10, folder)
    assert len(server.asked) == 3 and waits == [2, 4]
    assert [path.name for path in folder.rglob("*")] == ["cifar-10-python.tar.gz"]
    assert not (tmp_path / "evil").exists()


def test_a_full_disk_is_not_taken_for_a_bad_network(tmp_path, cifar10, waits):
    (tmp_path / "cifar-10-python.tar.gz").symlink_to("/dev/full")
    with pytest.raises(UserError, match=f"{tmp_path} can't be written: the disk is full"):
        torchvision.download(CIFAR10, tmp_path)
    assert waits == []


@pytest.fixture
def celeba(tmp_path, monkeypatch, waits):
    """CelebA's official files with 8 images, downloaded by hand and not unpacked: the folder and the images' pixels."""
    base = tmp_path / "data" / "celeba"
    base.mkdir(parents=True)
    pixels = {f"{number:06d}.jpg": None for number in range(1, 9)}
    with zipfile.ZipFile(base / "img_align_celeba.zip", "w") as archive:
        for name in pixels:
            data = encoded(noise(218, 178, 3), "JPEG")
            pixels[name] = np.asarray(Image.open(io.BytesIO(data)))
            archive.writestr(f"img_align_celeba/{name}", data)
    splits = [f"{name} {split}" for name, split in zip(pixels, "00001222", strict=True)]
    (base / "list_eval_partition.txt").write_text("\n".join(splits))
    (base / "identity_CelebA.txt").write_text("\n".join(f"{name} 7" for name in pixels))
    for name in ("list_bbox_celeba.txt", "list_landmarks_align_celeba.txt", "list_attr_celeba.txt"):
        (base / name).write_text("\n".join(["8", "some columns", *(f"{name} 1 -1" for name in pixels)]))
    files = [(key, md5(base / name), name) for key, _, name in datasets.CelebA.file_list]
    monkeypatch.setattr(datasets.CelebA, "file_list", files)
    return base, list(pixels.values())


@pytest.mark.parametrize("state", ["packed", "half unpacked", "without the archive"])
def test_celeba_downloaded_by_hand_is_unpacked_and_read(celeba, state):
    base, pixels = celeba
    if state == "half unpacked":
        (base / "img_align_celeba").mkdir()
        (base / "img_align_celeba" / "000001.jpg").write_bytes(b"cut off")
    elif state == "without the archive":
        zipfile.ZipFile(base / "img_align_celeba.zip").extractall(base)
        (base / "img_align_celeba.zip").unlink()
    manifest = torchvision.download(CELEBA, base.parent)
    assert set(manifest) == {f"celeba/{path.name}" for path in base.iterdir() if path.is_file()}
    loaded = torchvision.splits(CELEBA, base.parent)
    assert same(loaded["train"], pixels[:4]) and same(loaded["test"], pixels[5:])
    assert loaded["train"].labels is None
    assert loaded["test"].name(0).endswith("celeba/img_align_celeba/000006.jpg")


@pytest.mark.parametrize("unpacked", [True, False], ids=["half unpacked", "not unpacked"])
def test_another_archive_in_celebas_place_is_not_unpacked(celeba, tmp_path, monkeypatch, unpacked):
    base, _ = celeba
    with zipfile.ZipFile(base / "img_align_celeba.zip", "a") as archive:
        if unpacked:
            archive.extract("img_align_celeba/000002.jpg", base)
        archive.writestr("img_align_celeba/../../../evil", b"evil")
    sent = (base / "img_align_celeba.zip").read_bytes()
    monkeypatch.setattr("gdown.download", lambda output, **_: Path(output).write_bytes(sent))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="is not the official archive" if unpacked else "could not be downloaded"):
        torchvision.download(CELEBA, base.parent)
    assert sorted(tmp_path.rglob("*")) == before


def test_celeba_over_its_quota_says_how_to_switch(celeba, monkeypatch, waits):
    from gdown.exceptions import FileURLRetrievalError

    base, _ = celeba
    (base / "img_align_celeba.zip").unlink()
    monkeypatch.setattr("gdown.download", Mock(side_effect=FileURLRetrievalError("Too many users")))
    with pytest.raises(UserError, match=r"(?s)Too many users.*datasets: {celeba: {source: parquet}}") as error:
        torchvision.download(CELEBA, base.parent)
    assert str(base) in str(error.value) and "img_align_celeba.zip, list_attr" in str(error.value)
    assert waits == [2, 4]
