"""The report: the page over an atlas as one HTML file that opens from disk, with every unit's favourite patches.

Each picture is in the file once; all patches of all units are drawn from these by the page's own script. It is the
same page as `convscope serve` shows, with recorded answers in place of a server.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convscope.atlas import Atlas
from convscope.errors import BadOption, BuildStopped
from convscope.faces.answers.arrays import pack_arrays
from convscope.faces.answers.choice import CONTROLS, choose_units
from convscope.faces.answers.images import ImageList
from convscope.faces.answers.layers import histogram_arrays, layer_answer, unit_arrays
from convscope.faces.answers.mapping import (
    code_list,
    grid_sizes,
    image_arrays,
    neighbour_answers,
    numbers_of,
    tile_bytes,
    tile_picture,
    tiles_of,
)  # fmt: skip
from convscope.faces.answers.overview import overview
from convscope.faces.answers.patches import read_patches
from convscope.faces.offline import Recorded, offline_page, path_part
from convscope.faces.trials import RUN, choose_images, record_trials
from convscope.faces.web.forms import form_of
from convscope.layouts.nearest import Nearest
from convscope.models.net import Net
from convscope.registry import TECHNIQUES
from convscope.render.pixels import webp_bytes
from convscope.store.files import write_bytes
from convscope.store.thumbnails import Thumbnails
from convscope.studies.grid import grid
from convscope.studies.mapping import finite_codes, kept_map
from convscope.watch import SILENT, Watch

TRIALS = 4  # images that the techniques are tried on
BUDGET = 1500  # pictures in one file, 6 to 10 KB each
QUALITY = 80  # of the pictures, lossy WebP: about 6 KB at 224 × 224 px
NEIGHBOURS = 9  # of an image, as its page asks for them; those that have no picture in the file are left out there
GRID, TILES = 5_000, 16  # images up to which the grid is in the file; tiles of its finest level, at most
BYTES = "application/octet-stream"


def write_report(
    atlas: Atlas,
    out: Path,
    *,
    net: Net | None = None,
    trials: int = TRIALS,
    note: str = "",
    budget: int = BUDGET,
    watch: Watch = SILENT,
) -> Path:
    """Writes the report of an atlas to `out`, whole or not at all; the same atlas gives the same bytes.

    net: the one that the atlas was built with; with it the report shows the gradient methods and their sanity check
    on so many images (`trials`). note: a sentence about the images, shown under the title. budget: how many pictures
    the file may hold; where the units need more, fewer units of each layer are shown (never none), and their page
    says so. Raises BadOption for another net, BuildStopped.
    """
    if trials < 0:
        raise BadOption(f"trials is {trials}", "0 leaves the gradient methods out")
    recorded = record(atlas, note, budget, watch, net, trials)
    title = f"{atlas.store.manifest['net']['name']} · Convscope"
    write_bytes(Path(out), offline_page(title, recorded).encode())
    return Path(out)


def record(atlas: Atlas, note: str, budget: int, watch: Watch, net: Net | None, trials: int) -> Recorded:
    """The answers to all that the page asks for, of as many units as fit. Raises BuildStopped."""
    recorded, first = Recorded("#/net"), overview(atlas, note)
    patches = [read_patches(atlas.store, name) for name in atlas.store.followed]
    examples = {found["layer"]: found["units"] for found in first["examples"]}
    tried = choose_images(atlas.images, trials) if net is not None else []
    units, rows = choose_units(patches, examples, len(atlas.images), max(budget - len(tried), 1))
    recorded.answers["api/atlas"] = first
    if net is not None and tried:
        atlas.store.check_net(net.name, net.fingerprint)
        rows = np.union1d(rows, np.array(tried, np.int64))
        first["trials"] = record_trials(recorded, atlas, net, tried, watch)
        first["techniques"] = [form_of(name, TECHNIQUES[name]) for name in RUN]
    for name in atlas.store.followed:
        path = f"api/layers/{path_part(name)}"
        recorded.answers[path] = layer_answer(atlas, name)
        chosen = units[name]
        recorded.add(f"{path}/units.bin", BYTES, pack_arrays(unit_arrays(atlas, name, chosen, CONTROLS)))
        recorded.add(f"{path}/histograms.bin", BYTES, pack_arrays(histogram_arrays(atlas, name, chosen)))
    images = ImageList(atlas)
    recorded.answers["api/skipped"] = images.skipped()
    record_map(recorded, atlas, rows, watch)
    recorded.answers["api/images"] = [images.full(row) for row in rows.tolist()]
    for row, picture in zip(rows.tolist(), pictures(atlas, rows, watch), strict=True):
        recorded.add(f"api/images/{row}/picture", "image/webp", picture)
    return recorded


def record_map(recorded: Recorded, atlas: Atlas, rows: NDArray[np.int64], watch: Watch) -> None:
    """The default map where the atlas keeps it, and the neighbours of the images that have a page.

    Where there are few images the grid too, without its finest tiles.
    """
    found = kept_map(atlas.store)
    if found is None:
        return
    query = f"layer={path_part(found.layer)}"
    recorded.answers["api/codes"] = [one for one in code_list(atlas.store, [found]) if one["maps"]]
    recorded.answers[f"api/map?{query}&method=tsne"] = numbers_of(found)
    recorded.add(f"api/map/positions.bin?{query}&method=tsne", BYTES, pack_arrays({"positions": found.positions}))
    recorded.add("api/images.bin", BYTES, pack_arrays(image_arrays(atlas)))
    tables = Nearest(finite_codes(atlas.store, found.layer)), Nearest(Thumbnails(atlas.store, watch).vectors())
    near = neighbour_answers(found.layer, *tables, rows, NEIGHBOURS)
    for row, answer in zip(rows.tolist(), near, strict=True):
        recorded.answers[f"api/images/{row}/neighbours?{query}&k={NEIGHBOURS}"] = answer
    if len(atlas.images) > GRID:
        return
    laid = grid(atlas.store, watch=watch)
    query, sizes = f"{query}&way={laid.way}", grid_sizes(laid)
    tiles = [tiles_of(laid, side) for side in sizes["levels"]]
    fine = max(level for level, of_level in enumerate(tiles) if len(of_level) <= TILES)
    cell = [max(1, size >> (len(tiles) - 1 - fine)) for size in sizes["cell"]]
    recorded.answers[f"api/grid?{query}"] = sizes | {"levels": sizes["levels"][: fine + 1], "cell": cell}
    recorded.add(f"api/grid/owners.bin?{query}", BYTES, pack_arrays({"owners": laid.owners()}))
    for level in range(fine + 1):
        for column, row in tiles[level]:
            picture = tile_picture(laid, sizes["levels"][level], column, row)
            if picture is not None:
                path = f"api/grid/tiles/{level}/{column}_{row}.webp?{query}"
                recorded.add(path, "image/webp", tile_bytes(picture))


def pictures(atlas: Atlas, rows: NDArray[np.int64], watch: Watch) -> Iterator[bytes]:
    """The images as the net saw them, as WebP. Raises BuildStopped."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the coder leaves Python's lock; the order stays
        for done, picture in enumerate(pool.map(lambda row: webp_bytes(atlas.pixels(row), QUALITY), rows.tolist())):
            yield picture
            watch.progress(done + 1, len(rows), "pictures")
            if watch.stopped():
                pool.shutdown(cancel_futures=True)
                raise BuildStopped("stopped before the report was written", "nothing was changed")
