"""Opening a network by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from convscope.errors import BadOption
from convscope.models.devices import Device, checked_device
from convscope.models.net import Net
from convscope.models.zoo import find_entry


def load(
    name: str,
    *,
    device: Device = None,
    weights: str | Path | None = None,
    pretrained: bool = True,
    **options: Any,
) -> Net:
    """A network by name, with the preprocessing and labels that belong to its weights.

    name: "efficientnet-lite0" (bundled, no download; also -lite1, -lite2), "torchvision:resnet50",
    "torchvision:alexnet@IMAGENET1K_V1", "timm:convnext_tiny", "all-cnn-c" (without weights: weights=FILE or
    pretrained=False), or "package.module:factory" of your own. mean, std, size and labels are as for Net.
    weights: a .safetensors or .pth file to take instead.
    pretrained=False: random weights, the same each time. Raises UnknownNet, BadWeights, UnsuitableNet.
    """
    with torch.random.fork_rng(devices=[]):  # the same random weights each time, and the caller's dice untouched
        torch.manual_seed(0)
        entry = find_entry(str(name), weights, pretrained)
    unknown = set(options) - {"mean", "std", "size", "labels"}
    if unknown:
        raise BadOption(f"load has no option {sorted(unknown)[0]!r}", "mean, std, size and labels may be given")
    labels = options.pop("labels", entry.labels)
    for key in ("mean", "std", "size"):
        if key in options and (
            not isinstance(options[key], list | tuple) or len(options[key]) != (2 if key == "size" else 3)
        ):
            raise BadOption(
                f"{key} is {options[key]!r}", "size is (height, width), mean and std are three numbers each"
            )
    changes: dict[str, Any] = {key: tuple(value) for key, value in options.items()}
    if "size" in changes and changes["size"] != entry.preprocess.size:
        changes["resize"] = None  # that of the weights is for their own size
    preprocess = replace(entry.preprocess, **changes)
    module = entry.module if device is None else entry.module.to(checked_device(device))
    drawn = not pretrained and weights is None
    return Net(
        module,
        labels=labels,
        name=f"{name} (random weights)" if drawn else str(name),
        device=device,
        preprocess=preprocess,
    )
