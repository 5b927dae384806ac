"""What the techniques say of some images, recorded for a file that has no network."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from PIL import Image

from convscope.atlas import Atlas
from convscope.errors import BuildStopped, ConvscopeError
from convscope.faces.offline import Recorded
from convscope.faces.web.drawing import DRAWING, Drawn
from convscope.faces.web.jobs import Job
from convscope.models.net import Net
from convscope.registry import TECHNIQUES
from convscope.render.draw import draw
from convscope.render.pixels import webp_bytes
from convscope.technique import Result
from convscope.watch import Passing, Watch

RUN = ("gradient_methods", "sanity_check")  # in the order of the page
SCALE, QUALITY = 1.5, 75  # device px a CSS px, and of the lossy WebP: signals are noise, which packs badly


def choose_images(images: pa.Table, count: int) -> list[int]:
    """Rows of images with the highest probabilities: each of another label and class, as far as there are so many."""
    columns = [images[name].to_pylist() for name in ("label", "predicted_class", "probability")]
    probability = np.array([-1.0 if value is None else value for value in columns[2]], np.float64)
    seen, found, rest = Counter[tuple[str, object]](), list[int](), list[int]()
    for row in np.lexsort((np.arange(len(probability)), -probability)).tolist():
        own = [(kind, values[row]) for kind, values in zip(("label", "class"), columns, strict=False)]
        known = any(seen[one] for one in own if one[1] is not None)
        (rest if known else found).append(row)
        seen.update(own)
    return sorted((found + rest)[:count])


def record_trials(recorded: Recorded, atlas: Atlas, net: Net, rows: list[int], watch: Watch) -> dict[str, list[str]]:
    """Runs the techniques on images of the atlas; row → ids of the jobs whose results are in the file. BuildStopped.

    What a technique refuses is recorded as it would be told on the live page.
    """
    found = dict[str, list[str]]()
    for done, row in enumerate(rows):
        picture = Image.fromarray(atlas.pixels(row))
        name_of_file = str(atlas.images["uri"][row].as_py()).rsplit("/", 1)[-1]
        picture.filename = name_of_file  # type: ignore[attr-defined]
        for name in RUN:
            job = Job(f"{name}-{row}", name, name_of_file, None)
            attempt(job, TECHNIQUES[name], net, picture, watch)
            record_panels(recorded, job)
            recorded.answers[f"api/jobs/{job.id}"] = job.described()  # without seconds: the same work, the same bytes
            found.setdefault(str(row), []).append(job.id)
        watch.progress(done + 1, len(rows), "images through the gradient methods")
    return found


class Listening(Passing):
    """Passes on what a technique says, and remembers whether it came to its end."""

    whole = True

    def progress(self, done: int, total: int, unit: str) -> None:  # noqa: ARG002 (the sum of all stages is the report's to tell)
        """Remembers whether that is all."""
        self.whole = done >= total

    def preview(self, result: object) -> None:
        """Nobody looks."""


def attempt(job: Job, technique: Callable[..., Result], net: Net, picture: Image.Image, watch: Watch) -> None:
    """Runs a technique with its defaults; a refusal is the job's answer. BuildStopped, also after a Ctrl-C in it."""
    listening = Listening(watch)
    try:
        job.result, job.state = technique(net, picture, watch=listening), "done"
    except ConvscopeError as error:
        job.state, job.problem, job.hint, listening.whole = "failed", error.problem, error.hint, True
    if watch.stopped() or not listening.whole:  # a technique that is interrupted gives what it has done so far
        raise BuildStopped("stopped before the report was written", "nothing was changed")


def record_panels(recorded: Recorded, job: Job) -> None:
    """Draws each panel for light and for dark paper, as the page asks for them."""
    with DRAWING:
        panels = [] if job.result is None else draw(job.result)
        for number, panel in enumerate(panels):
            light, dark = (panel.picture(SCALE, on_dark).convert("RGB") for on_dark in (False, True))
            job.panels.append(Drawn(panel, (light.width / SCALE, light.height / SCALE), b""))
            path = f"api/jobs/{job.id}/panels/{number}.png"
            recorded.add(path, "image/webp", webp_bytes(np.asarray(light), QUALITY))
            recorded.add(f"{path}?dark=1", "image/webp", webp_bytes(np.asarray(dark), QUALITY))
