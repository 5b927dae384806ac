"""How much memory there is to work in, and how many positions fit into it."""

import ctypes
import os
from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from pathlib import Path

import torch
from torch import Tensor, fx

from convscope.errors import BadOption
from convscope.models.incremental.layout import Layout
from convscope.models.incremental.local import Rule, is_tensor
from convscope.models.rules.call import shape_of
from convscope.models.steps import Step, sources_of

SHARE = 4  # of the free memory one part in so many is used
GB = 10**9
SPARE = 1.25  # bytes really taken for one that is counted: kernels have scratch space, and memory has holes
GROWTH = 10**9  # bytes that the heap may grow by before free memory is given back
UNKNOWN = 4 * GB  # free memory where the system does not tell


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device now, within the limits of a container."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
        limit, used = (Path(f"/sys/fs/cgroup/memory.{name}").read_text().strip() for name in ("max", "current"))
        found += [int(limit) - int(used)] if limit.isdecimal() else []
    except (OSError, ValueError):
        pass
    if not found and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return min(found, default=UNKNOWN)


def room(memory: float | None, device: torch.device, kept: int) -> float:
    """Bytes for positions that run together; kept: bytes of the clean image's values. BadOption where none are left."""
    total = free_memory(device) / SHARE if memory is None else memory * GB
    if memory is not None and total <= kept:
        error = BadOption(
            f"memory is {memory:g} GB, but the clean image's values alone take {kept / GB:.2g} GB",
            "give more, or a network with smaller maps",
        )
        error.field = "memory"
        raise error
    return (total - kept) / SPARE


@cache
def trimming() -> Callable[[int], int] | None:
    """glibc's way to give free memory back to the system, where there is one."""
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return found


class Heap:
    """Keeps the process from growing: gives free memory back to the system where more than so many bytes were added.

    oneDNN allocates and frees a copy of a layer's weights in every call, and keeps small things between them, so that
    the heap would grow by one more copy for each new size of windows.
    """

    def __init__(self, most: float) -> None:
        self.most, self.before = most, resident()

    def check(self) -> None:
        """To be called between batches."""
        trim = trimming()
        if trim is not None and resident() - self.before > self.most:
            trim(0)


def resident() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def bytes_of(values: Sequence[object]) -> int:
    """Bytes of tensors; those that share their memory count once."""
    found = {}
    for value in values:
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, Tensor):
                found[one.untyped_storage().data_ptr()] = one.untyped_storage().nbytes()
    return sum(found.values())


def need(layout: Layout, steps: Sequence[Step], rules: Sequence[Rule | None], pixels: fx.Node) -> int:
    """Bytes that one position of a group needs at most at once, by the sizes of its windows and maps."""

    def size(node: fx.Node, on_windows: bool) -> int:
        value = node.meta["val"]
        parts = list(value) if isinstance(value, list | tuple) else [value]
        whole = sum(prod(shape_of(one)[1:]) * one.element_size() for one in parts if isinstance(one, Tensor))
        window = layout.windows.get(node)
        if not on_windows or window is None:
            return whole
        return (
            whole * window.height * window.width // max(prod(layout.cells.get(node, (window.height, window.width))), 1)
        )

    live, most = {pixels: size(pixels, True)}, 0
    wholes: dict[fx.Node, int] = {}
    for at, (step, mode, rule) in enumerate(zip(steps, layout.modes, rules, strict=True)):
        if mode == "skip" or not is_tensor(step.node):
            continue
        taken = 0
        if mode == "window" and rule is not None:
            for source in rule.sources:
                read = layout.reads.get((at, source))
                if read is not None and not read.same:
                    cells = prod(layout.cells[source])
                    taken += size(source, False) * read.rows.shape[1] * read.columns.shape[1] // max(cells, 1)
        else:
            for source in sources_of(step):
                if source in live and source in layout.windows and source not in wholes:
                    wholes[source] = size(source, False)
        live[step.node] = size(step.node, mode == "window" and (rule is None or rule.kind != "mean"))
        most = max(most, sum(live.values()) + sum(wholes.values()) + taken)
        for node in step.done_with:
            live.pop(node, None)
            wholes.pop(node, None)
    return most
