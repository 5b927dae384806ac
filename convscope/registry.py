"""The one explicit list of techniques and studies: what CLI, page and docs offer."""

from collections.abc import Callable, Mapping
from typing import Any

from convscope.studies.exemplars import exemplars
from convscope.studies.health import health
from convscope.studies.vitals import vitals
from convscope.techniques.activations import activations
from convscope.techniques.filters import filters
from convscope.techniques.occlusion import occlusion

TECHNIQUES: Mapping[str, Callable[..., Any]] = {
    "activations": activations, "filters": filters, "occlusion": occlusion,
}  # fmt: skip
STUDIES: Mapping[str, Callable[..., Any]] = {"exemplars": exemplars, "vitals": vitals, "health": health}
