"""Builds over real digits in processes of their own, which tests stop, kill and starve."""

import hashlib
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable, Mapping
from functools import cache
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import convscope
from tests.digits import SIZE, digits, untrained_digits

SHARD = 64  # images
SHARDS = 28  # of all digits
FEW = 704  # images: 11 shards


@cache
def digits_net() -> convscope.Net:
    """A small network for the digits, the same in every process."""
    torch.set_num_threads(1)
    return convscope.Net(untrained_digits(), size=SIZE, labels=[str(digit) for digit in range(10)], name="digits")


def coarse() -> nn.Sequential:
    """A network for the command line, where inputs are 224×224: soon done."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.AvgPool2d(14), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )


def digit_files(folder: Path, count: int | None = None) -> Path:
    """The digits as PNG files of 16×16, under the digit that they show."""
    data = digits()
    images, labels = torch.cat([data.images, data.test_images]), torch.cat([data.labels, data.test_labels]).tolist()
    for number, (image, label) in enumerate(zip(images[:count], labels[:count], strict=True)):
        pixels: np.ndarray = (image * 255).round().byte().permute(1, 2, 0).numpy()
        path = folder / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return folder


def bytes_of(folder: Path) -> dict[str, str]:
    """File → the hash of its bytes, hidden files too."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Log(convscope.Watch):
    """Writes how many images are done, and what is said, to a file: a line each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_text("")

    def say(self, text: str) -> None:
        self.write(f"said {text}")

    def progress(self, done: int, total: int, unit: str) -> None:
        self.write(f"done {done}")

    def write(self, line: str) -> None:
        with self.path.open("a") as stream:
            stream.write(line.replace("\n", " ") + "\n")


def shards_in(log: Path) -> int:
    """How many shards a build worked on: its first word of progress is what was there already."""
    return sum(line.startswith("done") for line in log.read_text().splitlines()) - 1


def run_build(images: Path, out: Path, log: Path, options: Mapping[str, Any], largest_file: int | None) -> None:
    """The work of a child process; its error becomes the last line of the log."""
    if largest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    watch = Log(log)
    try:
        convscope.build(images, digits_net(), out, watch=watch, **options)
    except convscope.ConvscopeError as error:
        if largest_file is not None and log.stat().st_size > largest_file:
            raise
        watch.write(f"{type(error).__name__}: {error.problem} | {error.hint}")
        os._exit(1)


def run_command(arguments: list[str], words: Path) -> None:
    """The command line in a child process, its standard error in a file."""
    from convscope.faces.cli import main

    handle = os.open(words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 2)
    main(arguments)


def start(work: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """A child process that has imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.warm"])
    process = context.Process(target=work, args=arguments)
    process.start()
    return process


def start_build(images: Path, out: Path, largest_file: int | None = None, **options: Any) -> ForkServerProcess:
    """A build in a child process; it leaves OUT.log beside the atlas."""
    return start(run_build, images, out, log_of(out), options, largest_file)


def log_of(out: Path) -> Path:
    """Where a build in a child process says what it does."""
    return out.with_name(f"{out.name}.log")


def finish_build(images: Path, out: Path, **options: Any) -> int:
    """The same command again, to its end; gives how many shards it worked on."""
    process = start_build(images, out, **options)
    process.join()
    assert process.exitcode == 0, log_of(out).read_text()
    return shards_in(log_of(out))


def wait_for(what: Callable[[], bool], process: ForkServerProcess) -> None:
    """Waits, without rest, until something has happened; fails where the process ends before."""
    limit = time.monotonic() + 60
    while not what():
        assert process.is_alive(), f"ended with {process.exitcode} before"
        assert time.monotonic() < limit
        time.sleep(0.0005)


def kill(process: ForkServerProcess) -> None:
    """A real SIGKILL; the process did not end before."""
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL


def shards_of(out: Path) -> set[str]:
    """The shards that an unfinished atlas holds."""
    return {path.name for path in (out / "unfinished" / "shards").glob("[0-9]*")}


def stamps_of(out: Path) -> dict[str, int]:
    """When the shards' tables were written: a shard that is done again has another time."""
    tables = (out / "unfinished" / "shards").glob("[0-9]*/images.parquet")
    return {path.parent.name: path.stat().st_mtime_ns for path in tables}
