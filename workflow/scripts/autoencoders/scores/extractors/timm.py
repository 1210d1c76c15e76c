"""Any backbone of the library timm, such as DINOv2, with the preprocessing that it was trained for.

Weights come from the model's repository on the Hugging Face Hub, or from a file. Only safetensors files are read: they
can run no code.
"""

from __future__ import annotations

import difflib
import math
import textwrap
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from autoencoders.jobs.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

OPTIONS = {
    "model": {
        "type": "string",
        # A part of a file's name.
        "pattern": r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?\Z",
        "maxLength": 100,
        "description": "a model of timm with the tag of its weights, as in vit_large_patch14_dinov2.lvd142m",
    },
    "img_size": {
        "type": ["integer", "null"],
        "minimum": 1,
        "default": None,
        "description": "a side in pixels, or null for the model's own",
    },
    "weights": {
        "type": ["string", "null"],
        "minLength": 1,
        "default": None,
        "description": "the path of a safetensors file, or null (downloaded)",
    },
    "revision": {
        "type": "string",
        "minLength": 1,
        "maxLength": 60,
        "default": "main",
        "description": "a branch, tag or commit of the model's repository on the Hugging Face Hub",
    },
}
FEATURE_OPTIONS = ("model", "img_size")
ENVIRONMENT = "timm"
SCORING_MINUTES = 45
SUFFIX = ".safetensors"


class Preprocessing(NamedTuple):
    """Images are resized to ``side`` pixels, and their central ``size`` pixels are normalised per channel."""

    side: int
    size: int
    interpolation: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def file_name(options: Mapping) -> str:
    """The name under which the weights are downloaded."""
    return f"{options['model']}@{urllib.parse.quote(options['revision'], safe='')}{SUFFIX}"


def hub_address(name: str) -> str:
    """Where the file of this name (`file_name`) comes from."""
    return f"hf://timm/{name.removesuffix(SUFFIX)}/model.safetensors"


def check(options: Mapping) -> Iterator[tuple[str, str]]:
    """Pairs (option, fault): a model that timm does not know, or that does not take the size. Only where timm is
    installed: Snakemake's own process may lack it, and then the first job that uses the model raises the same.
    """
    if options["weights"] and not options["weights"].endswith(SUFFIX):
        yield "weights", not_safetensors(options["weights"])
    try:
        import timm
    except ImportError:
        return
    model = options["model"]
    try:
        require_known(model)
    except UserError as error:
        yield "model", str(error)
        return
    try:
        probe(model, options["img_size"])
    except UserError as error:
        yield "img_size", str(error)
    config = timm.get_pretrained_cfg(model)
    if options["weights"] is None and (config is None or config.hf_hub_id != f"timm/{model}"):
        full = f"{config.architecture}.{config.tag}" if config and config.tag else ""
        known = full not in ("", model) and timm.get_pretrained_cfg(full).hf_hub_id == f"timm/{full}"
        write = f"Write {full}, or" if known else "Write"
        yield "model", f"the Hub has no weights timm/{model}. {write} the path of a safetensors file under `weights`."


# What a CPU core computes in float32, roughly: the largest backbones are near it.
CPU_RATE = 1e11


def cpu_seconds(options: Mapping) -> float:
    """By the network's floating point operations. 0 where timm is not installed."""
    try:
        import timm  # noqa: F401
        import torch
        from torch.utils.flop_counter import FlopCounterMode
    except ImportError:
        return 0.0
    with torch.device("meta"):
        network = create(options["model"], options["img_size"]).eval()
        size = preprocessing(network, options["img_size"]).size
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, size, size))
    return 1000 * counter.get_total_flops() / CPU_RATE


def require_known(model: str) -> None:
    """Raises UserError, with similar names, unless timm has the model and, if the name has one, the tag."""
    import timm

    tagged = timm.list_models(pretrained=True)
    known = {*timm.list_models(), *tagged}
    if model not in known:
        architecture = model.split(".")[0]
        # Of a known model, its tags.
        close = [name for name in tagged if name.split(".")[0] == architecture]
        close = close or difflib.get_close_matches(model, sorted(known), n=3, cutoff=0.5)
        guess = f" Similar names: {', '.join(close[:3])}." if close else ""
        raise UserError(f"timm {timm.__version__} has no model {model!r}.{guess}")


def create(model: str, img_size: int | None, **options: object) -> torch.nn.Module:
    """timm's network of a known model, as it was trained: with its classes, if it has any."""
    import timm

    config = timm.get_pretrained_cfg(model)
    # Other networks take images of any size.
    fixed = {"img_size": img_size} if img_size and config and config.fixed_input_size else {}
    return timm.create_model(model, **fixed, **options)


def probe(model: str, img_size: int | None) -> None:
    """Raises UserError if a known model does not take images of a size. Neither memory nor time is needed: the network
    is built on PyTorch's device "meta", which has shapes only.
    """
    import torch

    try:
        with torch.device("meta"):
            network = create(model, img_size).eval()
            network.reset_classifier(0)
            size = preprocessing(network, img_size).size
            shape = network(torch.empty(1, 3, size, size)).shape
    except (RuntimeError, TypeError, ValueError, AssertionError, ZeroDivisionError) as error:
        why = textwrap.shorten(str(error), 200)
        raise UserError(f"timm's {model} does not take images of {img_size or 'its own size'} pixels: {why}") from error
    if len(shape) != 2:
        raise UserError(f"timm's {model} has no single feature vector per image, but an output of {tuple(shape)}.")
    # timm leaves out the pixels of an incomplete patch.
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", 1)
    patch = patch[0] if isinstance(patch, tuple | list) else patch
    if size % patch:
        near = [count * patch for count in (size // patch, size // patch + 1) if count]
        write = " or ".join(map(str, near))
        raise UserError(
            f"timm's {model} takes patches of {patch} pixels, which {size} is no multiple of. Write {write}."
        )


def load(path: str | Path, device: torch.device, model: str, img_size: int | None) -> Callable[[Tensor], Tensor]:
    """Features (N, D): the pooled output before the classes, of a Vision Transformer mostly its class token after the
    last norm. Position embeddings of another size are resampled as timm does it.

    Raises UserError for an unknown model, for a size that it does not take, and for any file but a safetensors file
    with exactly the model's tensors.
    """
    import torch

    require_known(model)
    probe(model, img_size)
    network = with_weights(path, model, img_size).to(device, memory_format=torch.channels_last).eval()
    how = preprocessing(network, img_size)
    return lambda images: network(preprocess(images, how))


def with_weights(path: str | Path, model: str, img_size: int | None) -> torch.nn.Module:
    """timm's network with the weights of a file, without its classes."""
    import torch
    from safetensors import SafetensorError

    if Path(path).suffix != SUFFIX:
        raise UserError(not_safetensors(path))
    try:
        # timm draws initial weights, which the file's replace: the global random state does not change.
        with torch.random.fork_rng(devices=[]):
            # With as many classes as the file has, timm requires all tensors and no others.
            network = create(model, img_size, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        why = f"{type(error).__name__}: {textwrap.shorten(str(error), 300)}"
        raise UserError(
            f"{path} does not hold the weights of timm's {model} ({why}). Write the path of its safetensors file to "
            "the extractor's `weights`. Or delete the file if it was downloaded, and the next run downloads it again"
        ) from error
    network.reset_classifier(0)
    return network


def not_safetensors(path: str | Path) -> str:
    return f"{str(path)!r} is no safetensors file. Write the path of a file that ends in {SUFFIX}."


def preprocessing(network: torch.nn.Module, img_size: int | None) -> Preprocessing:
    """What timm's own evaluation does to square images for a network, at a size or (None) the network's own.

    Raises UserError for a network of images that are not square, not in colour, or resized by another filter.
    """
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(network, args={"img_size": img_size})
    channels, height, width = config["input_size"]
    name = network.pretrained_cfg.get("architecture")
    if channels != 3 or height != width:
        raise UserError(
            f"timm's {name} takes images of {channels} x {height} x {width}: choose one of square colour images"
        )
    if config["interpolation"] not in ("bicubic", "bilinear"):
        raise UserError(
            f"timm's {name} resizes images by {config['interpolation']}: choose one with bicubic or bilinear"
        )
    side = math.floor(height / config["crop_pct"])
    return Preprocessing(side, height, config["interpolation"], config["mean"], config["std"])


def preprocess(images: Tensor, how: Preprocessing) -> Tensor:
    """Float images (N, 3, S, S) in [0, 1], resized to (N, 3, size, size) as PIL does it, and normalised; channels last.

    The same on any device: PIL itself resizes 8-bit images on the CPU only.
    """
    import torch

    pixels = (255 * images).round()
    side = pixels.shape[-1]
    if side != how.side:
        # PIL rounds to 8 bits after each direction, first across, then down.
        pixels = resized(pixels, (side, how.side), how.interpolation)
        pixels = resized(pixels, (how.side, how.side), how.interpolation)
    edge = round((how.side - how.size) / 2)
    pixels = pixels[:, :, edge : edge + how.size, edge : edge + how.size]
    mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (how.mean, how.std))
    return ((pixels / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def resized(pixels: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    """Pixels (N, 3, H, W) from 0 to 255, antialiased with PIL's kernels, rounded and clamped."""
    from torch.nn.functional import interpolate

    found = interpolate(pixels, size, mode=interpolation, antialias=True)
    return (found + 0.5).floor_().clamp_(0, 255)
