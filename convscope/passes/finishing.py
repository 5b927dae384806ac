"""From finished shards to an atlas: states merged in shard order, positions turned into rows, manifest last."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from convscope.data.sources import Listing
from convscope.errors import NoImages
from convscope.models.net import Net
from convscope.models.receptive import Interval
from convscope.passes.fold import Fold, State
from convscope.passes.manifest import describe_net
from convscope.passes.strongest import NO_ROW
from convscope.store.files import write_arrays, write_bytes, write_json
from convscope.store.workspace import FORMAT, MANIFEST, Workspace

Where = tuple[int, int, int]  # pack, offset and length of a picture


def finish(workspace: Workspace, net: Net, folds: Sequence[Fold], listing: Listing, key: Mapping[str, str]) -> None:
    """Writes everything that the atlas keeps, the manifest last; can be repeated after a kill."""
    count = len(listing.shards())
    states: dict[str, State] = {fold.name: fold.none() for fold in folds}
    images: list[pa.Table] = []
    skipped: list[pa.Table] = []
    known: dict[str, Where] = {}
    packs = workspace.atlas / "packs"
    packs.mkdir(exist_ok=True)
    for index, partial in enumerate(workspace.partials(range(count))):
        for fold in folds:
            states[fold.name] = fold.merge(states[fold.name], partial.states[fold.name])
        images.append(keep_once(partial.images, index, known, workspace.pack_path(index), packs / f"{index:06d}"))
        skipped.append(partial.skipped)
    table = pa.concat_tables(images)
    if not len(table):
        first = pa.concat_tables(skipped).slice(0, 1).to_pylist()[0]
        raise NoImages(
            "none of the files is an image that can be read",
            f"the first of them, {first['uri']}: {first['reason']}",
        )
    positions = table["row"].to_numpy()
    row_of = np.full(len(listing.files) + 1, NO_ROW, np.int64)  # the last one answers for NO_ROW itself
    row_of[positions] = np.arange(len(positions))
    finals = {fold.name: dict(fold.finish(states[fold.name])) for fold in folds}
    for final in finals.values():
        final["rows"] = row_of[final["rows"]].astype(np.int32)
    strongest = finals["strongest"]
    units = next(fold for fold in folds if fold.name == "strongest").describe()["units"]
    strongest["boxes"] = boxes_of(net, units, strongest["places"])
    write_arrays(workspace.atlas / "strongest", strongest)
    write_table(
        workspace.atlas / "images.parquet",
        with_predictions(table.drop_columns(["row"]), net, finals["predictions"]),
    )
    unlisted = [{"uri": one.uri, "reason": one.reason} for one in listing.skipped]
    lost = pa.concat_tables(skipped).select(["uri", "reason"])
    write_table(
        workspace.atlas / "skipped.parquet",
        pa.concat_tables([pa.Table.from_pylist(unlisted, lost.schema), lost]),
    )
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "key": dict(key),
        "images": len(table),
        "skipped": len(unlisted) + len(lost),
        "net": describe_net(net),
        "folds": {fold.name: fold.describe() for fold in folds},
    }
    write_json(workspace.atlas / MANIFEST, manifest)
    workspace.close()


def write_table(path: Path, table: pa.Table) -> None:
    """A Parquet file, whole or not at all."""
    stream = pa.BufferOutputStream()
    pq.write_table(table, stream)
    write_bytes(path, stream.getvalue().to_pybytes())


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


def boxes_of(net: Net, units: Mapping[str, int], places: Any) -> Any:
    """(U, k, 4) top, left, bottom, right in px of the net's input: what each strongest place can see."""
    found, start = [], 0
    for name, count in units.items():
        view = net.layer(name).view
        here = places[start : start + count].astype(np.int64)
        index = {
            "N": np.zeros_like(here[..., 0]),
            "C": np.broadcast_to(np.arange(count)[:, None], here.shape[:2]),
        }
        index |= {"H": here[..., 0], "W": here[..., 1]}
        axes = view.axes or ("N", "C")
        ends = [looked_up(interval, axes, index) for interval in (view.rows, view.columns)]
        found.append(np.stack([ends[0][0], ends[1][0], ends[0][1], ends[1][1]], axis=-1))
        start += count
    return np.concatenate(found).astype(np.int16) if found else np.zeros((0, 0, 4), np.int16)


def looked_up(interval: Interval, axes: Sequence[str], index: Mapping[str, Any]) -> tuple[Any, Any]:
    """Both ends of an interval at many cells at once."""
    cells = tuple(
        index[name] if interval.first.shape[axis] > 1 else np.zeros_like(index["N"]) for axis, name in enumerate(axes)
    )
    return interval.first[cells], interval.stop[cells]
