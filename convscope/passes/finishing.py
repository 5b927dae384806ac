"""From finished shards to an atlas: positions turned into rows, boxes looked up, manifest last."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from convscope.data.sources import Listing
from convscope.errors import NoImages, UnsuitableNet
from convscope.models.net import Net
from convscope.passes.boxes import boxes_of
from convscope.passes.codes import Codes
from convscope.passes.filters import write_filters
from convscope.passes.fold import Fold, State
from convscope.passes.manifest import describe_net
from convscope.passes.maps import write_maps
from convscope.passes.predictions import Predictions
from convscope.passes.reading import NOT_FINITE
from convscope.passes.strongest import NO_ROW
from convscope.store.files import write_arrays, write_bytes, write_json, write_rows, write_table
from convscope.store.workspace import FORMAT, MANIFEST, Workspace

Where = tuple[int, int, int]  # pack, offset and length of a picture


def finish(
    workspace: Workspace,
    net: Net,
    folds: Sequence[Fold],
    states: Mapping[str, State],
    listing: Listing,
    key: Mapping[str, str],
) -> None:
    """Writes everything that the atlas keeps, the manifest last; can be repeated after a kill.

    states: of the folds, after all shards; those with a row per image are read from the shards one by one.
    """
    shards = range(len(listing.shards()))
    images: list[pa.Table] = []
    skipped: list[pa.Table] = []
    known: dict[str, Where] = {}
    packs = workspace.atlas / "packs"
    packs.mkdir(exist_ok=True)
    for index in shards:
        fine, lost = workspace.tables(index)
        images.append(keep_once(fine, index, known, workspace.pack_path(index), packs / f"{index:06d}"))
        skipped.append(lost)
    table, lost = pa.concat_tables(images), pa.concat_tables(skipped)
    if not len(table):
        refused = lost["reason"].to_pylist().count(NOT_FINITE)
        if refused:
            raise UnsuitableNet(
                f"{net.name} gives no image a score that is a number: NaN or infinite for all {refused} of them",
                "check its weights, its mean and std, and its precision: float16 ends at 65,504",
            )
        first = lost.slice(0, 1).to_pylist()[0]
        hint = f"the first of them, {first['uri']}: {first['reason']}"
        raise NoImages("none of the files is an image that can be read", hint)
    positions = table["row"].to_numpy()
    row_of = np.full(len(listing.files) + 1, NO_ROW, np.int64)  # the last one answers for NO_ROW itself
    row_of[positions] = np.arange(len(positions))
    for fold in folds:
        if not fold.by_image:
            write_arrays(workspace.atlas / fold.name, found_by(fold, states[fold.name], net, row_of))
        elif isinstance(fold, Codes):
            write_codes(workspace, fold, shards, len(table))
        elif isinstance(fold, Predictions):
            state = fold.none()
            for index in shards:
                state = fold.merge(state, workspace.state(index, fold.name))
            table = with_predictions(table.drop_columns(["row"]), net, fold.finish(state))
    write_table(workspace.atlas / "images.parquet", table)
    shown = write_maps(workspace.atlas, net, table)
    unlisted = [{"uri": one.uri, "reason": one.reason} for one in listing.skipped]
    lost = lost.select(["uri", "reason"])
    lost = pa.concat_tables([pa.Table.from_pylist(unlisted, lost.schema), lost])
    write_table(workspace.atlas / "skipped.parquet", lost)
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "key": dict(key),
        "images": len(table),
        "skipped": len(lost),
        "net": describe_net(net),
        "folds": {fold.name: fold.describe() for fold in folds},
        "maps": shown,
        "filters": write_filters(workspace.atlas, net),
    }
    write_json(workspace.atlas / MANIFEST, manifest)
    workspace.close()


def found_by(fold: Fold, state: State, net: Net, row_of: NDArray[np.int64]) -> State:
    """What a fold found: rows as those of the image table, and with each place the box that it can see."""
    found = dict(fold.finish(state))
    if "rows" in found:
        found["rows"] = row_of[found["rows"]].astype(np.int32)
    units = getattr(fold, "units", None)
    if "places" in found and units is not None:
        found["boxes"] = boxes_of(net, units, found["places"], mixed=fold.name == "directions")
    return found


def write_codes(workspace: Workspace, fold: Codes, shards: Sequence[int], count: int) -> None:
    """The codes of all images, a shard at a time."""

    def parts(name: str) -> Iterator[NDArray[np.float16]]:
        for index in shards:
            yield workspace.state(index, fold.name)[name]

    for position, size in enumerate(fold.sizes.values()):
        path = workspace.atlas / fold.name / f"{position}.npy"
        write_rows(path, (count, size), np.dtype(np.float16), parts(str(position)))


def keep_once(table: pa.Table, index: int, known: dict[str, Where], source: Path, final: Path) -> pa.Table:
    """Puts a shard's pack in its place without what earlier shards hold, and says where each picture is."""
    columns = (table[name].to_pylist() for name in ("content", "offset", "length"))
    own = {content: (offset, length) for content, offset, length in zip(*columns, strict=True)}
    fresh = {content: where for content, where in own.items() if content not in known}
    if len(fresh) == len(own):
        link_or_copy(source, final)
        known.update({content: (index, *where) for content, where in fresh.items()})
    else:
        whole, parts, at = source.read_bytes(), [], 0
        for content, (offset, length) in fresh.items():
            parts.append(whole[offset : offset + length])
            known[content] = (index, at, length)
            at += length
        write_bytes(final, b"".join(parts))
    places = [known[content] for content in table["content"].to_pylist()]
    table = table.drop_columns(["offset", "length"])
    for position, (name, kind) in enumerate((("pack", pa.int32()), ("offset", pa.int64()), ("length", pa.int32()))):
        table = table.append_column(name, pa.array([place[position] for place in places], kind))
    return table


def link_or_copy(source: Path, final: Path) -> None:
    """The same file under a second name, so that a finish that was killed can begin again."""
    final.unlink(missing_ok=True)
    try:
        os.link(source, final)
    except OSError:  # a file system without links
        shutil.copyfile(source, final)


def with_predictions(table: pa.Table, net: Net, predictions: State) -> pa.Table:
    """The image table with what the net says of each image."""
    best, correct = predictions["classes"][:, 0], predictions["correct"]
    target = predictions["target_probabilities"]
    columns = {
        "predicted": pa.array([net.class_name(int(index)) for index in best], pa.string()),
        "predicted_class": pa.array(best, pa.int32()),
        "probability": pa.array(predictions["probabilities"][:, 0], pa.float32()),
        "correct": pa.array(correct == 1, pa.bool_(), mask=correct < 0),
        "label_class": pa.array(predictions["targets"], pa.int32(), mask=correct < 0),
        "label_probability": pa.array(target, pa.float32(), mask=np.isnan(target)),
        "top_classes": pa.array(list(predictions["classes"]), pa.list_(pa.int32())),
        "top_probabilities": pa.array(list(predictions["probabilities"]), pa.list_(pa.float32())),
    }
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table
