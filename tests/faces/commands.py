"""A command of the command line in this process: what another process would prove no better, without its start."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from convscope.faces.cli import main

Run = Callable[..., CompletedProcess[str]]


def run_here(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> CompletedProcess[str]:
    """The command with its exit code, and what it wrote to stdout and stderr."""
    given, code = [str(argument) for argument in arguments], 0
    capsys.readouterr()
    try:
        main(given)
    except SystemExit as end:
        code = int(str(end.code or 0))
    out, words = capsys.readouterr()
    return CompletedProcess(given, code, out, words)
