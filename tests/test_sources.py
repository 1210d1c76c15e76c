"""Every source gives the images and labels that were put there."""

import hashlib
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from autoencoders.data.sources import folder as folders
from autoencoders.data.sources import parquet, sklearn, torchvision
from autoencoders.jobs.errors import UserError

RNG = np.random.default_rng(0)


def noise(size=8):
    return RNG.integers(0, 256, (size, size, 3), dtype=np.uint8)


def encoded(pixels, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def pixels_of(source):
    return [np.asarray(image.convert("RGB")) for image in source]


def same(source, expected):
    found = pixels_of(source)
    assert len(source) == len(found) == len(expected)
    return all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


# ---- parquet


def write_parquet(path, images, layout="struct", column="image", row_group_size=None, **columns):
    """A table of encoded images, in the Hub's layout or as plain binary."""
    data = [None if image is None else image if isinstance(image, bytes) else encoded(image) for image in images]
    if layout == "struct":
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        array = pa.array([{"bytes": one, "path": f"{row}.png"} for row, one in enumerate(data)], kind)
    else:
        array = pa.array(data, layout)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({column: array, **columns}), path, row_group_size=row_group_size)


def shards(train, test=None, image="image", label=None):
    return {"train": train, "test": test, "image": image, "label": label}


@pytest.mark.parametrize("layout", ["struct", pa.binary(), pa.large_binary()], ids=str)
def test_parquet_shards_in_order(tmp_path, layout):
    images = [noise() for _ in range(7)]
    # Written out of order; names decide.
    write_parquet(tmp_path / "train-1.parquet", images[4:], layout, label=pa.array([4, 5, 6]))
    write_parquet(tmp_path / "train-0.parquet", images[:4], layout, row_group_size=3, label=pa.array([0, 1, 2, 3]))
    loaded = parquet.splits(shards(f"{tmp_path}/train-*.parquet", label="label"), tmp_path)
    assert list(loaded) == ["train"]
    assert same(loaded["train"], images)
    assert same(loaded["train"], images), "a second pass gives the same"
    assert loaded["train"].labels.tolist() == list(range(7))
    assert loaded["train"].labels.dtype == np.int64
    assert [Path(loaded["train"].name(index)).name for index in (0, 3, 4, 6)] == [
        "train-0.parquet, row 0",
        "train-0.parquet, row 3",
        "train-1.parquet, row 0",
        "train-1.parquet, row 2",
    ]


def test_parquet_list_of_files_keeps_its_order_and_each_file_once(tmp_path):
    images = [noise() for _ in range(4)]
    write_parquet(tmp_path / "b.parquet", images[:2])
    write_parquet(tmp_path / "a.parquet", images[2:])
    loaded = parquet.splits(shards([f"{tmp_path}/b.parquet", f"{tmp_path}/*.parquet"]), tmp_path)
    assert same(loaded["train"], images)
    assert loaded["train"].labels is None


@pytest.mark.parametrize("pattern", ["~/set [1]/0.parquet", "~/**/0.parquet", "~/*/*.parquet"])
def test_parquet_patterns(tmp_path, monkeypatch, pattern):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_parquet(tmp_path / "set [1]" / "0.parquet", [noise()])
    assert len(parquet.splits(shards(pattern), tmp_path)["train"]) == 1


def test_parquet_test_split(tmp_path):
    images = [noise() for _ in range(3)]
    write_parquet(tmp_path / "train.parquet", images[:2])
    write_parquet(tmp_path / "test.parquet", images[2:])
    loaded = parquet.splits(shards(f"{tmp_path}/train.parquet", f"{tmp_path}/test.parquet"), tmp_path)
    assert same(loaded["train"], images[:2])
    assert same(loaded["test"], images[2:])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_parquet_text_labels_are_sorted_classes_over_both_splits(tmp_path, kind):
    write_parquet(tmp_path / "train.parquet", [noise()] * 3, label=pa.array(["dog", "ant", "dog"]).cast(kind))
    write_parquet(tmp_path / "test.parquet", [noise()] * 2, label=pa.array(["dog", "cat"]).cast(kind))
    loaded = parquet.splits(shards(f"{tmp_path}/train.parquet", f"{tmp_path}/test.parquet", label="label"), tmp_path)
    assert loaded["train"].labels.tolist() == [2, 0, 2]
    assert loaded["test"].labels.tolist() == [2, 1]


def test_parquet_reads_what_lies_in_the_download_folder(tmp_path):
    images = [noise() for _ in range(3)]
    folder = tmp_path / "owner/faces/main/data"
    write_parquet(folder / "train-0.parquet", images[:1])
    write_parquet(folder / "train-1.parquet", images[1:])
    write_parquet(folder / "test-0.parquet", images[:2])
    (folder / "train-2.parquet.part").write_bytes(b"half a file")
    write_parquet(tmp_path / "owner/faces/older/data/train-0.parquet", images)
    loaded = parquet.splits(shards("hf://datasets/owner/faces@main/data/train-*"), tmp_path)
    assert same(loaded["train"], images)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (shards("{}/ok.parquet", image="picture"), r"ok.parquet has no column 'picture'.* are: image, label, weight"),
        (shards("{}/ok.parquet", label="class"), r"ok.parquet has no column 'class'.* are: image, label, weight"),
        (shards("{}/ok.parquet", image="label"), r"Column 'label' of .*ok.parquet holds int64, no images"),
        (shards("{}/ok.parquet", label="weight"), r"Column 'weight' of .*ok.parquet holds double; labels are"),
        (shards("{}/ok.parquet", label="image"), r"Column 'image' of .*ok.parquet holds struct.*; labels are"),
        (shards("{}/hole.parquet", label="label"), r"hole.parquet, row 1: column 'label' is empty"),
        (shards(["{}/ok.parquet", "{}/text.parquet"], label="label"), r"integers in some .* text in others"),
        (shards("{}/none-*.parquet"), r"No file fits '.*none-\*.parquet'"),
        (shards("{}"), r"is a folder. Write the parquet files in it"),
        (shards("{}/broken.parquet"), r"broken.parquet is not a readable parquet file"),
        (shards("{}/cut.parquet"), r"cut.parquet is not a readable parquet file .* Copy or download it again"),
        (shards("{}/hollow.parquet", label="label"), r"hollow.parquet is not a readable parquet file"),
        (shards("{}/*.parquet", "{}/ok.parquet"), r"ok.parquet belongs to train and to test"),
        (shards("hf://datasets/a/b@main/*.parquet"), r"None of the files of hf://.* is in .*download_dataset"),
    ],
)
def test_parquet_errors_are_told(tmp_path, settings, message):
    write_parquet(tmp_path / "ok.parquet", [noise()] * 2, label=pa.array([0, 1]), weight=pa.array([0.5, 1]))
    write_parquet(tmp_path / "hole.parquet", [noise()] * 2, label=pa.array([0, None]))
    write_parquet(tmp_path / "text.parquet", [noise()] * 2, label=pa.array(["a", "b"]))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    whole = (tmp_path / "ok.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    # The footer is there, and the labels that it tells of are not.
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    (tmp_path / "hollow.parquet").write_bytes(b"PAR1" + bytes(len(whole) - footer - 4) + whole[-footer:])

    def fill(value):
        return [fill(one) for one in value] if isinstance(value, list) else value and value.format(tmp_path)

    with pytest.raises(UserError, match=message):
        parquet.splits({key: fill(value) for key, value in settings.items()}, tmp_path)


# ---- folder


def save(path, pixels=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise() if pixels is None else pixels).save(path)


def places(train, test=None):
    return {"train": str(train), "test": test and str(test)}


def test_folder_with_a_sub_folder_a_class(tmp_path):
    images = [noise() for _ in range(5)]
    names = ["ant/1.png", "ant/2.png", "ant/deeper/0.BMP", "bee/0.tiff", "cow/9.png"]
    for name, pixels in reversed(list(zip(names, images, strict=True))):
        save(tmp_path / name, pixels)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "ant" / "Thumbs.db").write_text("not an image")
    (tmp_path / ".cache").mkdir()
    save(tmp_path / ".cache" / "x.png")
    save(tmp_path / "ant" / "._1.png")
    save(tmp_path / "ant" / ".hidden" / "y.png")
    source = folders.splits(places(tmp_path), tmp_path)["train"]
    assert same(source, images)
    assert source.labels.tolist() == [0, 0, 0, 1, 2]
    assert source.labels.dtype == np.int64
    assert source.name(3) == str(tmp_path / "bee" / "0.tiff")


def test_class_folders_may_be_links(tmp_path):
    images, classes = tmp_path / "images", tmp_path / "classes"
    for name in ("a/0.png", "a/1.png", "b/0.png"):
        save(images / name)
    classes.mkdir()
    for name in "ab":
        (classes / name).symlink_to(images / name)
    found = folders.splits(places(classes), tmp_path)["train"]
    assert found.labels.tolist() == [0, 0, 1]
    # What changes behind a link is a change of the dataset.
    before = folders.fingerprints(places(classes))
    assert before == folders.fingerprints(places(images))
    save(images / "b/1.png")
    assert folders.fingerprints(places(classes)) == folders.fingerprints(places(images)) != before
    # One to nothing may be a class on a disk that is not there.
    (classes / "c").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=rf"{classes / 'c'} is a link to {tmp_path / 'nowhere'}, which is not there"):
        folders.splits(places(classes), tmp_path)
    (classes / "c").unlink()
    (classes / "c").symlink_to("c")
    for look in (lambda: folders.splits(places(classes), tmp_path), lambda: folders.fingerprints(places(classes))):
        with pytest.raises(UserError, match=r"can't be read: Too many levels of symbolic links \(.*/c\)"):
            look()
    # A link back does not lead in circles.
    (images / "b" / "all").symlink_to(images)
    assert sorted(folders.find_images(images, links=True)) == sorted(images.rglob("?.png"))


def test_a_sub_folder_that_cannot_be_read_is_told_of(tmp_path, monkeypatch):
    save(tmp_path / "a" / "0.png")

    def refuse(_):
        raise PermissionError(13, "Permission denied")

    # The superuser may read everything.
    monkeypatch.setattr(folders.os, "scandir", refuse)
    with pytest.raises(UserError, match=f"folder '{tmp_path}' can't be read: Permission denied"):
        list(folders.find_images(tmp_path, links=True))


def test_flat_folder_has_no_labels(tmp_path):
    for name in ("b.JPG", "a.jpeg", "c.webp", "d.tif", "e.PNG"):
        save(tmp_path / name)
    source = folders.splits(places(tmp_path), tmp_path)["train"]
    assert [Path(source.name(index)).name for index in range(5)] == ["a.jpeg", "b.JPG", "c.webp", "d.tif", "e.PNG"]
    assert len(pixels_of(source)) == 5
    assert source.labels is None


def test_folder_numbers_classes_over_both_splits(tmp_path):
    for name in ("train/a/0.png", "train/c/0.png", "test/b/0.png", "test/c/0.png"):
        save(tmp_path / name)
    loaded = folders.splits(places(tmp_path / "train", tmp_path / "test"), tmp_path)
    assert loaded["train"].labels.tolist() == [0, 2]
    assert loaded["test"].labels.tolist() == [1, 2]


def test_folder_errors_are_told(tmp_path):
    save(tmp_path / "mixed" / "0.png")
    save(tmp_path / "mixed" / "class" / "0.png")
    save(tmp_path / "flat" / "0.png")
    save(tmp_path / "classes" / "a" / "0.png")
    (tmp_path / "empty" / "class").mkdir(parents=True)
    for train, test, message in [
        ("mixed", None, r"mixed' holds 1 images itself \(such as 0.png\) and more in sub-folders \(class\)"),
        ("empty", None, r"empty' holds no images"),
        ("nowhere", None, r"nowhere' does not exist"),
        ("flat", "classes", r"One of the folders .* has a sub-folder a class"),
        ("classes", "classes", r"lie within one another"),
        ("classes", "classes/a", r"lie within one another"),
    ]:
        with pytest.raises(UserError, match=message):
            folders.splits(places(tmp_path / train, test and tmp_path / test), tmp_path)


# ---- scikit-learn


def test_digits():
    from sklearn.datasets import load_digits

    source = sklearn.splits({"name": "digits"}, Path("unused"))["train"]
    images = np.stack([np.asarray(image) for image in source])
    assert len(source) == 1797
    assert images.shape == (1797, 8, 8)
    assert images.dtype == np.uint8
    levels = load_digits().images
    assert images[levels == 16].min() == 255
    assert images[levels == 0].max() == 0
    assert np.abs(images / 255 - levels / 16).max() <= 0.5 / 255 + 1e-12
    assert source.labels.tolist() == load_digits().target.tolist()
    assert source.labels.dtype == np.int64


# ---- torchvision


CIFAR10, CELEBA = {"name": "CIFAR10"}, {"name": "CelebA"}


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """A CIFAR-10 of 10 images in the official archive's layout, at the official address; its pixels and labels."""
    from torchvision import datasets
    from torchvision.datasets import utils

    pixels = RNG.integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    labels = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8]
    made = tmp_path / "made" / "cifar-10-batches-py"
    made.mkdir(parents=True)
    for number, name in enumerate([f"data_batch_{batch}" for batch in range(1, 6)] + ["test_batch"]):
        rows = slice(2 * number, 2 * number + 2)
        data = pixels[rows].transpose(0, 3, 1, 2).reshape(2, 3072)
        (made / name).write_bytes(pickle.dumps({"data": data, "labels": labels[rows]}))
    (made / "batches.meta").write_bytes(pickle.dumps({"label_names": [str(digit) for digit in range(10)]}))
    archive = tmp_path / "made" / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(made, arcname=made.name)
    official = datasets.CIFAR10
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(official, part, [[name, md5(made / name)] for name, _ in getattr(official, part)])
    monkeypatch.setattr(official, "meta", {**official.meta, "md5": md5(made / "batches.meta")})
    monkeypatch.setattr(official, "tgz_md5", md5(archive))
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, max_hops: url)
    monkeypatch.setattr(torchvision.time, "sleep", lambda seconds: None)
    asked = []

    def retrieve(url, filename, **_):
        asked.append(url)
        if len(asked) < 3:
            Path(filename).write_bytes(archive.read_bytes()[:100])
            raise OSError("the line broke")
        Path(filename).write_bytes(archive.read_bytes())

    monkeypatch.setattr(utils, "_urlretrieve", retrieve)
    return pixels, labels, archive, asked


def test_cifar10_is_downloaded_and_read(tmp_path, cifar10):
    pixels, labels, archive, asked = cifar10
    folder = tmp_path / "data"
    manifest = torchvision.download(CIFAR10, folder)
    assert set(asked) <= {"https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"} | {
        "http://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    }
    assert manifest["cifar-10-python.tar.gz"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert len(manifest) == 7
    loaded = torchvision.splits(CIFAR10, folder)
    assert same(loaded["train"], pixels[:10])
    assert same(loaded["test"], pixels[10:])
    assert loaded["train"].labels.tolist() == labels[:10]
    assert loaded["test"].labels.tolist() == labels[10:]
    assert loaded["train"].labels.dtype == np.int64
    assert loaded["test"].name(1) == "CIFAR10 test image 1"


def test_a_damaged_batch_is_refused_before_it_is_unpickled(tmp_path, cifar10):
    folder = tmp_path / "data"
    torchvision.download(CIFAR10, folder)
    marker = tmp_path / "unpickled"

    class Evil:
        def __reduce__(self):
            return (Path.touch, (marker,))

    (folder / "cifar-10-batches-py" / "data_batch_2").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match=rf"CIFAR10 in {folder} is incomplete or damaged .*Delete {folder}.json"):
        torchvision.splits(CIFAR10, folder)
    assert not marker.exists()
    # What that deletion leads to: the download once more, and nothing is fetched whose archive is right.
    asked = len(cifar10[3])
    torchvision.download(CIFAR10, folder)
    assert len(cifar10[3]) == asked
    assert same(torchvision.splits(CIFAR10, folder)["train"], cifar10[0][:10])


def test_a_damaged_archive_is_downloaded_again(tmp_path, cifar10):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "cifar-10-python.tar.gz").write_bytes(cifar10[2].read_bytes()[:-100])
    torchvision.download(CIFAR10, folder)
    assert same(torchvision.splits(CIFAR10, folder)["train"], cifar10[0][:10])


def test_a_full_disk_is_not_taken_for_a_bad_line(tmp_path, cifar10, monkeypatch):
    from torchvision.datasets import utils

    tries = []

    def full(url, filename, **_):
        tries.append(url)
        Path("/dev/full").write_bytes(b"x")

    monkeypatch.setattr(utils, "_urlretrieve", full)
    with pytest.raises(UserError, match=f"{tmp_path} can't be written: the disk is full"):
        torchvision.download(CIFAR10, tmp_path)
    # torchvision itself tries once more, without https.
    assert len(tries) <= 2


def test_a_download_that_keeps_failing_says_what_to_do(tmp_path, cifar10, monkeypatch):
    from torchvision.datasets import utils

    tries = []
    monkeypatch.setattr(
        utils, "_urlretrieve", lambda url, name, **_: tries.append(url) or Path(name).write_bytes(b"no")
    )
    with pytest.raises(UserError, match=rf"CIFAR10 could not be .*put cifar-10-python.tar.gz into {tmp_path} by hand"):
        torchvision.download(CIFAR10, tmp_path)
    assert len(tries) == 3


@pytest.fixture
def celeba(tmp_path, monkeypatch):
    """The official CelebA layout with 8 images, none of it unpacked; gives the folder and the images' pixels."""
    from torchvision import datasets

    base = tmp_path / "data" / "celeba"
    base.mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(1, 9)]
    pixels = {}
    with zipfile.ZipFile(base / "img_align_celeba.zip", "w") as archive:
        for name in names:
            data = encoded(RNG.integers(0, 256, (218, 178, 3), dtype=np.uint8), "JPEG")
            pixels[name] = np.asarray(Image.open(io.BytesIO(data)))
            archive.writestr(f"img_align_celeba/{name}", data)
    splits = [0, 0, 0, 0, 1, 2, 2, 2]
    lines = {
        "list_eval_partition.txt": [f"{name} {split}" for name, split in zip(names, splits, strict=True)],
        "identity_CelebA.txt": [f"{name} 7" for name in names],
        "list_bbox_celeba.txt": ["8", "image_id x_1 y_1 width height", *(f"{name} 1 2 3 4" for name in names)],
        "list_landmarks_align_celeba.txt": ["8", "a b", *(f"{name} 1 2" for name in names)],
        "list_attr_celeba.txt": ["8", "Smiling Young", *(f"{name} 1 -1" for name in names)],
    }
    for name, text in lines.items():
        (base / name).write_text("\n".join(text) + "\n")
    official = datasets.CelebA
    monkeypatch.setattr(official, "file_list", [(key, md5(base / name), name) for key, _, name in official.file_list])
    monkeypatch.setattr(torchvision.time, "sleep", lambda seconds: None)
    return tmp_path / "data", pixels


def test_celeba_files_put_there_by_hand_are_unpacked_and_read(celeba):
    folder, pixels = celeba
    manifest = torchvision.download(CELEBA, folder)
    assert set(manifest) == {f"celeba/{name}" for name in (
        "img_align_celeba.zip", "list_attr_celeba.txt", "identity_CelebA.txt", "list_bbox_celeba.txt",
        "list_landmarks_align_celeba.txt", "list_eval_partition.txt",
    )}  # fmt: skip
    loaded = torchvision.splits(CELEBA, folder)
    assert same(loaded["train"], [pixels[f"{number:06d}.jpg"] for number in range(1, 5)])
    assert same(loaded["test"], [pixels[f"{number:06d}.jpg"] for number in range(6, 9)])
    assert loaded["train"].labels is None
    assert loaded["test"].name(0).endswith("celeba/img_align_celeba/000006.jpg")


def test_celeba_half_unpacked_is_unpacked_again(celeba):
    folder, pixels = celeba
    images = folder / "celeba" / "img_align_celeba"
    images.mkdir()
    (images / "000001.jpg").write_bytes(b"cut off")
    torchvision.download(CELEBA, folder)
    assert len(list(images.iterdir())) == 8
    assert same(torchvision.splits(CELEBA, folder)["train"], [pixels[f"{n:06d}.jpg"] for n in range(1, 5)])


def test_celeba_over_its_quota_says_how_to_switch(celeba, monkeypatch):
    import gdown
    from gdown.exceptions import FileURLRetrievalError

    folder, _ = celeba
    (folder / "celeba" / "img_align_celeba.zip").unlink()
    tries = []

    def over_quota(**arguments):
        tries.append(arguments)
        raise FileURLRetrievalError("Too many users have viewed or downloaded this file recently.")

    monkeypatch.setattr(gdown, "download", over_quota)
    with pytest.raises(UserError, match="Too many users") as error:
        torchvision.download(CELEBA, folder)
    assert len(tries) == 3
    for part in ("datasets: {celeba: {source: parquet}}", str(folder / "celeba"), "img_align_celeba.zip, list_attr"):
        assert part in str(error.value)


# ---- real images


def test_cifar10_from_the_hubs_layout(shared_data):
    settings = shards(str(shared_data / "cifar10" / "test-*.parquet"), image="img", label="label")
    source = parquet.splits(settings, Path("unused"))["train"]
    assert len(source) == 10_000
    assert np.bincount(source.labels).tolist() == [1000] * 10
    first = next(iter(source))
    assert (first.size, first.mode) == ((32, 32), "RGB")
