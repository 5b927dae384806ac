"""Labelled photos of ten kinds of things that an installed package ships, and how often what is near is of one kind."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from convscope.atlas import Atlas
from convscope.data.decode import decode

NEAREST = 3
KINDS = ("plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")  # of CIFAR-10
OF_IMAGENET = {243: "dog", 251: "dog", 609: "car", 129: "bird", 99: "bird", 22: "bird"}


def kinds_of_things(folder: Path) -> Path:
    """Two regions each of 27 labelled photos, CIFAR's and ImageNet's: folder/KIND/PHOTO-REGION.png."""
    spec = find_spec("foolbox")  # for its photos only: importing it warns
    assert spec is not None
    assert spec.origin is not None
    for path in sorted((Path(spec.origin).parent / "data").glob("*_*_*.*")):
        source, _, number = path.stem.split("_")
        kind = KINDS[int(number)] if source == "cifar10" else OF_IMAGENET.get(int(number))
        if kind is None or source not in ("cifar10", "imagenet"):
            continue
        photo = Image.fromarray(decode(path))
        wide, tall = photo.size
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for region, (x, y) in enumerate(((0.0, 0.0), (0.2, 0.2))):
            box = (int(x * wide), int(y * tall), int((x + 0.8) * wide), int((y + 0.8) * tall))
            whole = photo.crop(box).resize((224, 224), Image.Resampling.BICUBIC)
            whole.save(folder / kind / f"{path.stem}-{region}.png", compress_level=1)
    return folder


def same_kind(atlas: Atlas) -> tuple[float, float, float]:
    """The share of the nearest from another photo that are of the same kind: by code, by pixels, and by chance."""
    kinds = np.array(atlas.images["label"].to_pylist())
    photos = np.array([uri.rsplit("/", 1)[-1].rsplit("-", 1)[0] for uri in atlas.images["uri"].to_pylist()])
    shares = []
    for row in range(len(kinds)):
        other, alike = photos != photos[row], kinds == kinds[row]
        if not alike[other].any():
            continue  # the only one of its kind
        found = atlas.neighbours(row, len(kinds) - 1)
        near = (rows[other[rows]][:NEAREST] for rows in (found.rows, found.pixel_rows))
        shares.append([*(alike[rows].mean() for rows in near), alike[other].mean()])
    codes, pixels, chance = np.mean(shares, 0).tolist()
    return codes, pixels, chance
