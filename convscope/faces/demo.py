"""The demo: photos that installed packages ship, cut into overlapping regions, through a real network to a report."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.atlas import Atlas, build
from convscope.data.decode import decode
from convscope.errors import NoImages
from convscope.faces.report import TRIALS, write_report
from convscope.models.net import Net
from convscope.watch import Watch

PHOTOS = {
    "skimage": (
        "data/astronaut.png", "data/chelsea.png", "data/coffee.png", "data/rocket.jpg", "data/motorcycle_left.png",
        "data/motorcycle_right.png", "data/hubble_deep_field.jpg", "data/ihc.png", "data/retina.jpg",
        "data/camera.png", "data/coins.png", "data/moon.png", "data/brick.png", "data/grass.png", "data/gravel.png",
        "data/page.png", "data/text.png", "data/clock_motion.png", "data/color.png",
    ),
    "sklearn": ("datasets/images/china.jpg", "datasets/images/flower.jpg"),
    "matplotlib": ("mpl-data/sample_data/grace_hopper.jpg",),
}  # fmt: skip
SCALES = (1.0, 0.62, 0.4)  # side of a region, of the photo's short side
OVERLAP = 0.45  # of neighbouring regions


def demo_photos() -> list[Path]:
    """The photos that are installed on this machine; NoImages if none is."""
    found = []
    for package, names in PHOTOS.items():
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            paths = (Path(spec.origin).parent / name for name in names)
            found += [path for path in paths if path.exists()]
    if not found:
        raise NoImages("no installed package ships photos", "pip install scikit-image scikit-learn")
    return found


def cut_regions(folder: Path) -> int:
    """Writes overlapping square regions of every photo at three scales to folder/PHOTO/…png; gives their number.

    As R-CNN did with its proposals (Girshick et al. 2014): many views of few photos.
    """
    count = 0
    for photo in demo_photos():
        target = folder / photo.stem
        target.mkdir(parents=True, exist_ok=True)
        for name, region in regions(decode(photo)):
            path = target / f"{name}.png"
            if not path.exists():
                temporary = path.with_suffix(".part")
                Image.fromarray(region).save(temporary, "PNG", compress_level=1)
                temporary.replace(path)
            count += 1
    return count


def regions(photo: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Squares at every scale that together cover the photo."""
    height, width = photo.shape[:2]
    for number, scale in enumerate(SCALES):
        side = round(min(height, width) * scale)
        for top in starts(height, side):
            for left in starts(width, side):
                yield (
                    f"scale{number + 1}-row{top:04d}-column{left:04d}",
                    photo[top : top + side, left : left + side],
                )


def starts(size: int, side: int) -> list[int]:
    """Evenly spaced starts of windows that cover 0 … size with at least the overlap."""
    if size <= side:
        return [0]
    count = int(np.ceil((size - side) / (side * (1 - OVERLAP)))) + 1
    return [round(position) for position in np.linspace(0, size - side, count)]


def run_demo(out: Path, net: Net, limit: int | None, watch: Watch) -> tuple[Atlas, Path, str]:
    """Cuts the regions, builds the atlas and writes the report; gives atlas, report and a note on the images.

    Goes on where it was stopped.
    """
    watch.say(f"photos: overlapping regions of {len(demo_photos())} photos that installed packages ship")
    count = cut_regions(out / "regions")
    watch.say(f"{count} regions in {out / 'regions'}")
    atlas = build(out / "regions", net, out / "atlas", limit=limit, watch=watch)
    atlas.map(watch=watch)  # the report holds it
    watch.say("writing the report")
    note = (
        f"The images are {len(atlas.images):,} overlapping regions cut from {len(demo_photos())} photos at "
        f"{len(SCALES)} scales, as R-CNN did with its proposals: many views of few photos, so the same motif recurs."
    )
    trials = TRIALS if limit is None else 1
    report = write_report(atlas, out / "report.html", net=net, trials=trials, note=note, watch=watch)
    watch.say(f"done: {report} opens in a browser, without a server")
    return atlas, report, note
