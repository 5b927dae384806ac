"""The images of a source in a fixed order, cut into shards."""

import hashlib
import json
import random
from dataclasses import dataclass
from pathlib import Path

from convscope.data.datasets import DatasetItem
from convscope.data.items import ImageFile, Skipped
from convscope.errors import BadOption

Item = ImageFile | DatasetItem

PROBES = 16  # items of a dataset that a fingerprint looks at: they have no size and no time of change


@dataclass(frozen=True)
class Shard:
    """The piece of work that is done and committed as one."""

    index: int
    first_row: int  # position in the listing of its first file
    files: tuple[Item, ...]


@dataclass(frozen=True)
class Listing:
    """What is there to be read, in order, and what is not, with the reason."""

    files: tuple[Item, ...]
    skipped: tuple[Skipped, ...] = ()

    def limited(self, limit: int | None, seed: int) -> "Listing":
        """A random sample of so many files, without replacement, in the listing's order; BadOption."""
        if limit is not None and limit < 1:
            raise BadOption(f"limit is {limit}", hint="give a limit of at least 1, or None for all images")
        if limit is None or limit >= len(self.files):
            return self
        kept = sorted(random.Random(seed).sample(range(len(self.files)), limit))
        return Listing(tuple(self.files[position] for position in kept), self.skipped)

    def outside(self, folder: Path) -> "Listing":
        """Without the files of a folder: an atlas that is written beside the images is none of them."""
        place = folder.expanduser().absolute()
        inner = {id(f) for f in self.files if isinstance(f, ImageFile) and f.path.is_relative_to(place)}
        return Listing(tuple(f for f in self.files if id(f) not in inner), self.skipped) if inner else self

    def shards(self, size: int = 64) -> tuple[Shard, ...]:
        """Runs of at most so many files; the same listing always gives the same shards; BadOption."""
        if size < 1:
            raise BadOption(f"the size of a shard is {size}", hint="give at least 1")
        starts = range(0, len(self.files), size)
        return tuple(Shard(index, start, self.files[start : start + size]) for index, start in enumerate(starts))

    def fingerprint(self, times: bool = True) -> str:
        """64 hex digits that change with names, labels, sizes and times of change (of a dataset: probes).

        Without the times it is the same for a copy of the files, and may miss a change that keeps a file's size.
        """
        digest = hashlib.sha256()
        step = -(-len(self.files) // PROBES)
        for position, file in enumerate(self.files):
            if isinstance(file, ImageFile):
                line = [file.name, file.label, *file.stamp()[: 2 if times else 1]]
            else:
                line = [file.name, file.known_label, *(file.stamp() if position % step == 0 else ())]
            digest.update(json.dumps(line).encode() + b"\n")
        return digest.hexdigest()
