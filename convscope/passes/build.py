"""A build: one reading of all images feeds every fold, shard by shard, and leaves an atlas."""

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convscope.data.sources import ImageFile, Listing, Source, list_images
from convscope.engines.engine import Engine, Local
from convscope.errors import BadOption, BuildStopped, DiskFull
from convscope.models.net import Net
from convscope.passes.classes import Classes
from convscope.passes.codes import Codes
from convscope.passes.directions import DIRECTIONS, Directions
from convscope.passes.finishing import finish
from convscope.passes.fold import Fold, Followed
from convscope.passes.gradients import Gradients
from convscope.passes.learning import Learner, NotFiniteError
from convscope.passes.merging import Merger
from convscope.passes.middle import Middle
from convscope.passes.places import Places, sample_size
from convscope.passes.predictions import Predictions
from convscope.passes.reading import Read, ShardReader
from convscope.passes.strongest import Strongest
from convscope.passes.vitals import Vitals
from convscope.store.files import FULL
from convscope.store.workspace import FORMAT, MANIFEST, Workspace
from convscope.watch import SILENT, Watch

BATCHES = (16, 32)  # images in one forward, few and many
LARGEST_BATCH = 1 << 26  # numbers in the largest map of a batch (268 MB), where images are large
TRIAL = 8  # images that the estimate is made from …
WORTH = 4 * TRIAL  # … where there are at least so many to read
TIMES = "the times of the files"  # in the key of an unfinished atlas, so that no file changes under it


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
    directions: int = DIRECTIONS,
    codes: Sequence[str] = (),
    full_decode: bool = False,
    overwrite: bool = False,
    watch: Watch = SILENT,
) -> Path:
    """Reads the images once through the net and writes an atlas to `out`; gives its folder.

    Goes on where an unfinished build of the same work stopped. Raises NoImages, AtlasInUse, UnknownLayer,
    BuildStopped, DiskFull, UnsuitableNet where no score of any image is a number.
    """
    check(
        engine,
        {"layers": layers, "codes": codes},
        {"batch_size": batch_size, "limit": limit, "k": k, "directions": directions},
    )
    listing = list_images(images).outside(Path(out))
    for folder in atlases_among(listing):
        listing = listing.outside(folder)
    listing = listing.limited(limit, seed)
    followed = follow(net, layers)
    folds = choose_folds(net, followed, len(listing.files), k, directions, codes, seed)
    size = batch_size or best_batch(net)
    key = work_key(net, listing, folds, size, seed, full_decode)
    workspace = Workspace(Path(out), key, overwrite)
    if workspace.done:
        workspace.close()  # a kill may have come between the manifest and this
        watch.say(f"{out} is already finished: the same net, images and options")
        return Path(out)
    done, total = 0, len(listing.files)
    try:
        ranks = np.random.default_rng(seed).permutation(total)
        merger = Merger(workspace, folds)
        reader = ShardReader(Learner(net, folds, followed), ranks, size, merger.states, full_decode)
        shards, finished = listing.shards(), workspace.finished()
        waiting = [shard for shard in shards if shard.index not in finished]
        done = sum(len(shards[index].files) for index in finished)
        if finished:
            watch.say(f"going on: {done} of {total} images are done already")
        if waiting and total - done < WORTH:  # a trial would take as long
            watch.say(f"{total - done} images to read")
        elif waiting and watch is not SILENT:
            watch.say(estimate(reader, waiting[0].files[:TRIAL], total - done, total))
        watch.progress(done, total, "images")
        runner: Engine = Local()
        for shard, partial in runner.map(reader, waiting):
            workspace.commit(shard.index, partial)
            merger.advance({shard.index: partial.states})
            done += len(shard.files)
            watch.progress(done, total, "images")
            if watch.stopped():
                raise KeyboardInterrupt
        merger.advance()
        known = {name: value for name, value in key.items() if name != TIMES}
        finish(workspace, net, folds, merger.states, listing, known)
    except KeyboardInterrupt:
        raise BuildStopped(
            f"stopped after {done} of {total} images; what is finished is kept in {out}",
            "the same command goes on from there",
        ) from None
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFull(
            f"the disk is full, after {done} of {total} images; what is finished is kept in {out}",
            "make room, then give the same command to go on",
        ) from error
    finally:
        workspace.release()
    return Path(out)


def atlases_among(listing: Listing) -> list[Path]:
    """The folders of earlier atlases that lie among the images."""
    packs = {
        file.path.parent.parent
        for file in listing.files
        if isinstance(file, ImageFile) and file.path.parent.name == "packs"
    }
    return sorted(folder for folder in packs if (folder / "images.parquet").exists() and (folder / MANIFEST).exists())


def check(engine: str, names: Mapping[str, Sequence[str] | None], counts: Mapping[str, int | None]) -> None:
    """BadOption for values that no build can have."""
    if engine != "local":
        raise BadOption(f"there is no engine {engine!r}", 'engine="local" works in this process')
    for option, value in names.items():
        if value is not None and (isinstance(value, str) or not all(isinstance(name, str) for name in value)):
            raise BadOption(f"{option} is a list of names, not {value!r}", f'{option}=["layer3", "layer4"]')
    for option, number in counts.items():
        if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
            raise BadOption(f"{option} is a whole number, not {number!r}")
        if number is not None and number < (0 if option == "directions" else 1):
            raise BadOption(
                f"{option} is {number}", "give at least 1" + (", or 0 for none" if option == "directions" else "")
            )


def follow(net: Net, names: Sequence[str] | None) -> tuple[Followed, ...]:
    """The layers whose units a build follows, by any of their names, in the order of computation."""
    chosen = [net.layer(name) for name in (net.watched_layers if names is None else names)]
    firsts = {layer.alias_of or layer.name for layer in chosen}
    found = []
    for layer in net.layers:
        if layer.name in firsts:
            drive, ceiling = net.ceiling(layer.name) or (layer.name, np.inf)
            places = (layer.shape[1], layer.shape[2]) if layer.spatial else None
            found.append(Followed(layer.name, layer.units, places, drive, ceiling, layer.rectified))
    return tuple(found)


def choose_folds(
    net: Net, layers: tuple[Followed, ...], images: int, k: int, directions: int, codes: Sequence[str], seed: int
) -> list[Fold]:
    """Every fold of a build."""
    coded = [net.code_layer, *(net.layer(name) for name in codes)]
    sizes = {layer.alias_of or layer.name: layer.units for layer in coded}
    return [
        Strongest(layers, k),
        Directions(layers, k, directions, seed),
        Middle(layers),
        Vitals(layers),
        Places(layers, sample_size(images)),
        Gradients(net, layers),
        Classes(layers),
        Codes(sizes),
        Predictions(net.classes),
    ]


def best_batch(net: Net) -> int:
    """Images in one forward: many where the weights are much larger than the maps, few where memory is to be kept.

    Counted, not timed, so that results do not depend on the machine.
    """
    weights = sum(weight.numel() for weight in net.weights.values())
    largest = max((math.prod(layer.shape) for layer in net.layers), default=1)
    size = BATCHES[weights > 100 * largest]
    size = size if net.device.type == "cpu" else 2 * BATCHES[1]
    room = max(LARGEST_BATCH // largest, 1)
    return min(size, 1 << (room.bit_length() - 1))


def work_key(
    net: Net, listing: Listing, folds: Sequence[Fold], batch_size: int, seed: int, full_decode: bool
) -> dict[str, str]:
    """What the work depends on, by the word a user would use; shards of another key are never mixed in."""
    options = {fold.name: fold.describe() for fold in folds} | {"batch_size": batch_size, "seed": seed}
    options["full_decode"] = full_decode
    text = json.dumps(options, sort_keys=True)
    return {
        "the network": net.fingerprint,
        "the images": listing.fingerprint(times=False),
        TIMES: listing.fingerprint(),
        "the options": hashlib.sha256(text.encode()).hexdigest(),
        "the format": str(FORMAT),
    }


def estimate(reader: ShardReader, files: Sequence[Any], waiting: int, total: int) -> str:
    """How long the rest will take and how much disk the whole will need, from a few of the images."""
    states = reader.learner.none()
    read: list[Read] = []
    lost = 0  # images whose scores are no numbers
    for _ in range(2):  # the first forward and the first `add` are slow, and are not counted
        start = time.perf_counter()
        read = [result for result in map(reader.read, files) if not isinstance(result, str)]
        if read:
            batch = reader.batch([(row, one, -1) for row, one in enumerate(read)])
            batch.ranks = total * (2 * np.arange(len(read)) + 1) // (2 * len(read))  # as many in a sample as of all
            try:
                reader.learner.learn(states, batch)
            except NotFiniteError as found:
                lost = len(found.rows)
    seconds = (time.perf_counter() - start) / max(len(files), 1)
    kept = sum(array.nbytes for state in states.values() for array in state.values())
    disk = kept + sum(len(one.packed) for one in read) / max(len(files), 1) * total
    text = f"{waiting} images to read: about {words(seconds * waiting)}, and {disk / 1e6:,.0f} MB on the disk"
    doubt = f"; but the network gives NaN or infinite scores for all of the first {len(read)}: check its weights"
    return text + doubt if read and lost == len(read) else text


def words(seconds: float) -> str:
    """A time as people say it."""
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {name}s"
    return f"{seconds:.0f} seconds" if seconds >= 1.5 else "a second"
