"""The projections of one unit's patches, as arrays that the page draws in the frames of the patches."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convscope.render.gradient import about_grey
from convscope.studies.projections import Projections


def projection_arrays(found: Projections) -> dict[str, NDArray[Any]]:
    """Strongest first: rows (n,) in atlas.images, values (n,), places (n, 2), boxes (n, 4) in px of the input,
    greatest (n,), the greatest |signal|, and picture0 … (h, w, 3), the colours within each box.
    """
    numbers = found.arrays()
    signals = [one for row in found.rows for one in row]
    arrays: dict[str, NDArray[Any]] = {name: numbers[name] for name in ("rows", "values", "places")}
    arrays["boxes"] = numbers["input_boxes"].round().astype(np.int32)
    arrays["greatest"] = np.array([np.abs(one.signal).max(initial=0.0) for one in signals], np.float32)
    return arrays | {f"picture{number}": about_grey(one.signal) for number, one in enumerate(signals)}
