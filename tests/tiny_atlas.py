"""A tiny finished atlas with hostile names: for tests that show an atlas."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import convscope
from convscope.atlas import Atlas

SIZE = (32, 40)  # height, width
CLASSES = ["one", "two", "</script><script>alert(1)</script>"]
HOSTILE_LABEL = "<img src=x onerror=alert(1)>"
HOSTILE_FILE = "a&\"'<b onmouseover=alert(1)>{{script}}.png"
SILENT_UNIT, FULL_UNIT = 2, 3  # of layer "1": always 0, always at the ceiling 6


def tiny_net() -> convscope.Net:
    """Two convolutions and a classifier, with a planted silent and a planted saturated unit."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), nn.ReLU6(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    with torch.no_grad():
        module[0].weight[[SILENT_UNIT, FULL_UNIT]] = 0
        module[0].bias[SILENT_UNIT] = -1
        module[0].bias[FULL_UNIT] = 10
    return convscope.Net(module, size=SIZE, labels=CLASSES, name="tiny <net>")


def tiny_images(folder: Path) -> Path:
    """Six pictures under three labels, one of them a class, and a broken file."""
    generator = np.random.default_rng(0)
    height, width = SIZE
    names = ["a.png", "b.png", HOSTILE_FILE, "c.png", "d.png", "e.png"]
    for name, label in zip(names, ["two", "two", HOSTILE_LABEL, HOSTILE_LABEL, "other", "other"], strict=True):
        corners = generator.integers(0, 256, (2, 2, 3), np.uint8)
        (folder / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR).save(folder / label / name)
    (folder / "two" / "broken.png").write_bytes(b"no picture")
    return folder


def tiny_atlas(folder: Path) -> Atlas:
    """The atlas of these images through this net."""
    return convscope.build(tiny_images(folder / "images"), tiny_net(), folder / "atlas")
