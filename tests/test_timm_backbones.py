"""timm's backbones against timm's own preprocessing and networks, with weights from a seed, and what is refused."""

import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy import ndimage

from autoencoders.config.checks import find_unusable
from autoencoders.jobs.errors import UserError
from autoencoders.scores.extractors.timm import OPTIONS, check, file_name, hub_address, load, preprocess, preprocessing
from autoencoders.scores.features import extract, load_extractor, recorded_name

CPU = torch.device("cpu")
DINOV2 = "vit_large_patch14_dinov2.lvd142m"
# A small network of the same kind, 518 pixels.
SMALL_DINOV2 = "vit_small_patch14_dinov2.lvd142m"
TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
RESNET = "resnet10t.c3_in1k"


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Smooth and noisy ones in colour, with black and white pixels: uint8 (4, 3, 32, 32)."""
    noise = np.random.default_rng(0).normal(size=(4, 3, 32, 32))
    widths = (0, 0.6, 1, 3)
    noise = np.stack([ndimage.gaussian_filter(image, (0, w, w)) for image, w in zip(noise, widths, strict=True)])
    images = np.clip(128 + 100 * noise / noise.std(axis=(1, 2, 3), keepdims=True), 0, 255).round().astype(np.uint8)
    assert images.min() == 0 and images.max() == 255
    return images


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A function from a model to a file with all its tensors, drawn from a seed, as the Hub has it."""
    folder = tmp_path_factory.mktemp("weights")

    def make(model: str) -> Path:
        path = folder / f"{model}.safetensors"
        if not path.exists():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                network = timm.create_model(model)
                # Position embeddings and classes' biases are zero at first, which could hide a mistake.
                for value in network.state_dict().values():
                    if value.is_floating_point():
                        value += 0.02 * torch.randn(value.shape)
            save_file(network.state_dict(), path)
        return path

    return make


def floats(images: np.ndarray) -> torch.Tensor:
    """As an extractor gets them."""
    return torch.from_numpy(images).float().contiguous(memory_format=torch.channels_last).div_(255)


def pictures(images: np.ndarray) -> list[Image.Image]:
    return [Image.fromarray(image.transpose(1, 2, 0)) for image in images]


def off_by(found: torch.Tensor, expected: torch.Tensor, std) -> torch.Tensor:
    """The differences of normalised images in 8-bit levels."""
    return ((found - expected) * 255 * torch.tensor(std).view(3, 1, 1)).abs()


# PIL computes with 22 bits for coefficients, PyTorch in float32. A value within 1e-5 of half a level may be rounded
# to the other side, first across and then down: one level, of one value in ten thousand. Measured: none.
def assert_equal_but_for_ties(found: torch.Tensor, expected: torch.Tensor, std) -> None:
    difference = off_by(found, expected, std)
    assert found.shape == expected.shape and found.dtype == torch.float32
    assert difference.max() < 1.01 and (difference > 0.01).double().mean() < 1e-3, difference.max()


@pytest.mark.parametrize(
    ("model", "img_size"),
    [(DINOV2, 224), (DINOV2, 28), (TINY, None), (TINY, 32), (RESNET, 64), ("tf_mobilenetv3_small_100.in1k", None)],
)
def test_preprocessing_is_timms_own(images, model, img_size):
    """By PIL on the CPU: bicubic and bilinear, larger and smaller, with and without a central crop."""
    with torch.device("meta"):
        network = timm.create_model(model)
    config = timm.data.resolve_model_data_config(network, args={"img_size": img_size})
    transform = timm.data.create_transform(**config, is_training=False)
    expected = torch.stack([transform(picture) for picture in pictures(images)])
    found = preprocess(floats(images), preprocessing(network, img_size))
    assert_equal_but_for_ties(found, expected, config["std"])


def test_models_of_these_tests_differ_in_their_preprocessing():
    config = {
        model: timm.get_pretrained_cfg(model) for model in (DINOV2, TINY, RESNET, "tf_mobilenetv3_small_100.in1k")
    }
    assert {entry.interpolation for entry in config.values()} == {"bicubic", "bilinear"}
    assert (
        len({entry.crop_pct for entry in config.values()}) == 3 and len({entry.mean for entry in config.values()}) == 2
    )


def test_dinov2s_preprocessing_is_the_published_one(images):
    """Bicubic with antialiasing to 224 pixels, to [0, 1], then ImageNet's means and deviations: by PIL and NumPy."""
    with torch.device("meta"):
        network = timm.create_model(DINOV2)
    found = preprocess(floats(images[1:2]), preprocessing(network, 224))
    picture = pictures(images)[1].resize((224, 224), Image.Resampling.BICUBIC)
    values = np.asarray(picture, np.float64) / 255
    values = (values - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    expected = torch.from_numpy(values.transpose(2, 0, 1)[None])
    assert_equal_but_for_ties(found, expected, (0.229, 0.224, 0.225))


@pytest.mark.gpu
@pytest.mark.parametrize("model", [DINOV2, "tf_mobilenetv3_small_100.in1k"])
def test_preprocessing_on_a_gpu_is_that_on_the_cpu_to_a_rounding(images, model):
    with torch.device("meta"):
        how = preprocessing(timm.create_model(model), 224)
    expected = preprocess(floats(images), how)
    found = preprocess(floats(images).to("cuda"), how)
    assert_equal_but_for_ties(found.cpu(), expected, how.std)


@pytest.mark.parametrize(
    ("model", "img_size", "features"),
    [(TINY, 32, 192), (RESNET, 64, 512), ("mobilenetv3_small_050.lamb_in1k", 32, 1024)],
)
def test_features_are_those_of_timms_own_network_without_classes(weights, images, model, img_size, features):
    path, fixed = weights(model), {"img_size": img_size} if model == TINY else {}
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    extractor = load_extractor({"kind": "timm", "model": model, "img_size": img_size, "weights": None}, path, CPU)
    assert torch.equal(torch.random.get_rng_state(), before)
    found = extract(extractor, images, 3, CPU)
    overlay = {"file": str(path)}
    network = timm.create_model(model, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **fixed).eval()
    with torch.no_grad():
        expected = network(preprocess(floats(images), preprocessing(network, img_size)))
    assert found.shape == (4, features) and found.dtype == torch.float32 and found.std(dim=0).max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_dinov2s_features_are_the_class_token_after_the_last_norm_and_positions_are_resampled(weights, images):
    path = weights(SMALL_DINOV2)
    extractor = load(path, CPU, model=SMALL_DINOV2, img_size=56)
    found = extract(extractor, images, 4, CPU)
    # timm's network takes any multiple of the patch if told so, and resamples the positions itself.
    network = timm.create_model(SMALL_DINOV2, dynamic_img_size=True, checkpoint_path=str(path)).eval()
    with torch.no_grad():
        tokens = network.forward_features(preprocess(floats(images), preprocessing(network, 56)))
    assert tokens.shape == (4, 1 + (56 // 14) ** 2, 384)
    torch.testing.assert_close(found, tokens[:, 0], rtol=1e-3, atol=1e-4)


def test_weights_of_the_hub_are_in_the_repository_that_timm_names():
    options = {"model": DINOV2, "img_size": 224, "weights": None, "revision": "main"}
    assert hub_address(file_name(options)) == f"hf://{timm.get_pretrained_cfg(DINOV2).hf_hub_id}@main/model.safetensors"
    assert hub_address(file_name(options | {"revision": "refs/pr/1"})).endswith("@refs%2Fpr%2F1/model.safetensors")
    names = timm.list_models(pretrained=True)
    same = [name for name in names if timm.get_pretrained_cfg(name).hf_hub_id == f"timm/{name}"]
    assert len(same) > 0.95 * len(names)


def test_files_that_are_not_the_models_weights_are_refused_by_name(weights, tmp_path):
    path, right = tmp_path / "weights.safetensors", weights(RESNET)
    tensors = timm.create_model(RESNET).state_dict()
    less = {name: value for name, value in tensors.items() if name != "fc.bias"}
    contents = {
        "fc.bias": less,
        "layer9.weight": tensors | {"layer9.weight": torch.zeros(3)},
        "size mismatch": tensors | {"fc.bias": torch.zeros(7)},
        "SafetensorError": right.read_bytes()[:-5],
        # Another model's.
        "RuntimeError": timm.create_model("resnet18").state_dict(),
    }
    for words, content in contents.items():
        path.write_bytes(content) if isinstance(content, bytes) else save_file(content, path)
        with pytest.raises(UserError, match=rf"{path} does not hold the weights of timm's {RESNET}") as refusal:
            load(path, CPU, model=RESNET, img_size=None)
        assert words in str(refusal.value)
    # A pickle of the right tensors, which timm itself would read.
    torch.save(tensors, tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"weights\.pth' is no safetensors file"):
        load(tmp_path / "weights.pth", CPU, model=RESNET, img_size=None)
    torch.save(tensors, path)
    with pytest.raises(UserError, match="does not hold the weights"):
        load(path, CPU, model=RESNET, img_size=None)


REFUSED = [
    ({"model": "vit_large_patch14_dinov2.lvd142"}, "model", "Similar names: vit_large_patch14_dinov2.lvd142m."),
    ({"model": "vit_large_patch14_dino2"}, "model", "Similar names: vit_large_patch14_dinov2"),
    ({"model": "xxx"}, "model", "has no model 'xxx'."),
    ({"model": "resnet50"}, "model", "the Hub has no weights timm/resnet50. Write resnet50.a1_in1k, or the path"),
    (
        {"model": "gcvit_tiny.in1k"},
        "model",
        "timm/gcvit_tiny.in1k. Write the path of a safetensors file under `weights`.",
    ),
    ({"img_size": 225}, "img_size", "patches of 14 pixels, which 225 is no multiple of. Write 224 or 238."),
    ({"img_size": 10}, "img_size", "does not take images of 10 pixels"),
    ({"weights": "mine.pth"}, "weights", "'mine.pth' is no safetensors file. Write the path of a file that ends in"),
]


@pytest.mark.parametrize(("change", "key", "words"), REFUSED)
def test_what_timm_does_not_know_is_refused_with_what_to_write(change, key, words):
    options = {"model": DINOV2, "img_size": 224, "weights": None, "revision": "main"}
    assert set(options) == set(OPTIONS) and not list(check(options))
    ((place, fault),) = check(options | change)
    assert place == key and words in fault
    # Without Snakemake's own check, the job says it.
    if key == "img_size" or "model" in words or "Similar" in words:
        with pytest.raises(UserError, match="timm"):
            load("no.safetensors", CPU, **{name: (options | change)[name] for name in ("model", "img_size")})


def test_faults_name_the_entry_and_the_option():
    entry = {"kind": "timm", "model": DINOV2, "img_size": 225, "weights": None, "revision": "main"}
    used = {"random": {"kind": "random"}, "inception": {"kind": "inception", "weights": None}, "mine": entry}
    (fault,) = find_unusable(used)
    assert fault.startswith("extractors.mine.img_size: timm's vit_large_patch14_dinov2.lvd142m takes patches")


def test_snakemakes_own_process_may_lack_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert not list(check({"model": "xxx", "img_size": 3, "weights": None, "revision": "main"}))


def test_only_the_official_inception_weights_of_the_entry_inception_are_recorded_as_inception():
    from autoencoders.scores.extractors.inception import SHA256

    inception = {"kind": "inception", "weights": None}
    assert recorded_name("inception", inception, SHA256) == "inception"
    assert recorded_name("inception", inception, "0" * 64) == "inception-other"
    for checksum in (SHA256, "0" * 64):
        assert recorded_name("mine", inception, checksum) == "mine"
    assert recorded_name("dinov2", {"kind": "timm"}, SHA256) == "dinov2"
