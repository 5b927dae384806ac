"""A build: one reading of all images feeds every fold, shard by shard, and leaves an atlas."""

import errno
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convscope.data.sources import ImageFile, Listing, Source, list_images
from convscope.engines.engine import Engine, Local
from convscope.errors import BadOption, BuildStopped, ConvscopeError
from convscope.models.net import Net
from convscope.passes.finishing import finish
from convscope.passes.fold import Fold
from convscope.passes.predictions import Predictions
from convscope.passes.reading import ShardReader
from convscope.passes.strongest import Strongest
from convscope.store.workspace import FORMAT, MANIFEST, Workspace
from convscope.watch import SILENT, Watch

BATCH = 16  # images in one forward: enough to fill two cores, few enough to keep all maps of a layer in memory
TRIAL = 8  # images that the estimate is made from


def build_atlas(
    images: Source,
    net: Net,
    out: str | Path,
    *,
    engine: str = "local",
    layers: Sequence[str] | None = None,
    limit: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    k: int = 9,
    overwrite: bool = False,
    watch: Watch = SILENT,
) -> Path:
    """Reads the images once through the net and writes an atlas to `out`; gives its folder.

    Goes on where an unfinished build of the same work stopped. Raises NoImages, AtlasInUse, UnknownLayer,
    BuildStopped.
    """
    check(engine, layers, batch_size, limit, k)
    listing = list_images(images).outside(Path(out))
    for folder in atlases_among(listing):
        listing = listing.outside(folder)
    listing = listing.limited(limit, seed)
    folds = choose_folds(net, layers, k)
    size = batch_size or BATCH
    key = work_key(net, listing, folds, size)
    workspace = Workspace(Path(out), key, overwrite)
    if workspace.done:
        workspace.close()  # a kill may have come between the manifest and this
        watch.say(f"{out} is already finished: the same net, images and options")
        return Path(out)
    reader = ShardReader(net, folds, size)
    shards = listing.shards()
    finished = workspace.finished()
    waiting = [shard for shard in shards if shard.index not in finished]
    done, total = sum(len(shards[index].files) for index in finished), len(listing.files)
    if finished:
        watch.say(f"going on: {done} of {total} images are done already")
    try:
        if waiting:
            watch.say(estimate(reader, waiting[0].files[:TRIAL], total - done, total))
        watch.progress(done, total, "images")
        runner: Engine = Local()
        for shard, partial in runner.map(reader, waiting):
            workspace.commit(shard.index, partial)
            done += len(shard.files)
            watch.progress(done, total, "images")
            if watch.stopped():
                raise KeyboardInterrupt
        finish(workspace, net, folds, listing, {name: value for name, value in key.items() if name != "times"})
    except KeyboardInterrupt:
        raise BuildStopped(
            f"stopped after {done} of {total} images; what is finished is kept in {out}",
            "the same command goes on from there",
        ) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise ConvscopeError(
                f"the disk is full, after {done} of {total} images; what is finished is kept",
                "make room, then give the same command to go on",
            ) from error
        raise
    return Path(out)


def atlases_among(listing: Listing) -> list[Path]:
    """The folders of earlier atlases that lie among the images."""
    packs = {
        file.path.parent.parent
        for file in listing.files
        if isinstance(file, ImageFile) and file.path.parent.name == "packs"
    }
    return sorted(folder for folder in packs if (folder / "images.parquet").exists() and (folder / MANIFEST).exists())


def check(engine: str, layers: Sequence[str] | None, batch_size: int | None, limit: int | None, k: int) -> None:
    """BadOption for values that no build can have."""
    if engine != "local":
        raise BadOption(f"there is no engine {engine!r}", 'engine="local" works in this process')
    if layers is not None and (isinstance(layers, str) or not all(isinstance(name, str) for name in layers)):
        raise BadOption(f"layers is a list of names, not {layers!r}", 'layers=["layer3", "layer4"]')
    for name, value in (("batch_size", batch_size), ("limit", limit), ("k", k)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise BadOption(f"{name} is a whole number, not {value!r}")
    if batch_size is not None and batch_size < 1:
        raise BadOption(f"batch_size is {batch_size}", "give at least 1, or None for the default")
    if k < 1:
        raise BadOption(f"k is {k}", "keep at least 1 image per unit")


def choose_folds(net: Net, layers: Sequence[str] | None, k: int) -> list[Fold]:
    """Every fold of this build; `layers` are those whose units are followed, by any of their names."""
    chosen = [net.layer(name) for name in (net.watched_layers if layers is None else layers)]
    first_names = dict.fromkeys(layer.alias_of or layer.name for layer in chosen)
    units = {name: net.layer(name).units for name in first_names}
    ceilings = {name: found for name in units if (found := net.ceiling(name)) is not None}
    return [Strongest(units, k, ceilings), Predictions(net.output_layer.name, net.classes)]


def work_key(net: Net, listing: Listing, folds: Sequence[Fold], batch_size: int) -> dict[str, str]:
    """What the work depends on, by the word a user would use; shards of another key are never mixed in."""
    options = {fold.name: fold.describe() for fold in folds} | {"batch_size": batch_size}
    text = json.dumps(options, sort_keys=True)
    return {
        "the network": net.fingerprint,
        "the images": listing.fingerprint(times=False),
        "times": listing.fingerprint(),
        "the options": hashlib.sha256(text.encode()).hexdigest(),
        "the format": str(FORMAT),
    }


def estimate(reader: ShardReader, files: Sequence[Any], waiting: int, total: int) -> str:
    """How long the rest will take and how much disk the whole will need, from a few of the images."""
    states = {fold.name: fold.none() for fold in reader.folds}
    for _ in range(2):  # the first forward and the first `add` are slow, and are not counted
        start = time.perf_counter()
        read = [result for result in map(reader.read, files) if not isinstance(result, str)]
        if read:
            states = reader.add(states, [(row, one, -1) for row, one in enumerate(read)])
    seconds = (time.perf_counter() - start) / max(len(files), 1)
    kept = sum(array.nbytes for state in states.values() for array in state.values())
    disk = kept + sum(len(one.packed) for one in read) / max(len(files), 1) * total
    return f"{waiting} images to read: about {words(seconds * waiting)}, and {disk / 1e6:,.0f} MB on the disk"


def words(seconds: float) -> str:
    """A time as people say it."""
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {name}s"
    return f"{seconds:.0f} seconds" if seconds >= 1.5 else "a second"
