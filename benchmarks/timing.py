"""Times that can be compared on a machine that also does other things."""

import statistics
import time
from collections.abc import Callable, Mapping


def turns(functions: Mapping[str, Callable[[], object]], runs: int) -> dict[str, list[float]]:
    """The times of each function, s, taken in turns, after one unmeasured round."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for run in range(runs + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if run:
                times[name].append(time.perf_counter() - start)
    return times


def interleaved(functions: Mapping[str, Callable[[], object]], runs: int = 5) -> dict[str, float]:
    """The median time of each function, s."""
    return {name: statistics.median(found) for name, found in turns(functions, runs).items()}
