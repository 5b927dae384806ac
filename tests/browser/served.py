"""`convscope serve` as a user starts it: a process of its own, with the address that it prints."""

import os
import signal
import subprocess
import sys
from pathlib import Path

QUIET = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


class Served:
    """A running server; use it in a `with`."""

    def __init__(self, *arguments: str | Path) -> None:
        command = [sys.executable, "-m", "convscope", "serve", *map(str, arguments), "--no-browser"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **QUIET}
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://"), self.process.communicate()[1]

    def end(self) -> tuple[int, str]:
        """Ctrl-C, as a user ends it; gives exit code and what was said."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
