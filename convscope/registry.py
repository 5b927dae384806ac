"""The one explicit list of techniques and studies: what CLI, page and docs offer."""

from collections.abc import Callable, Mapping
from typing import Any

from convscope.studies.codes import codes
from convscope.studies.exemplars import exemplars
from convscope.studies.grid import grid
from convscope.studies.health import health
from convscope.studies.mapping import map as map_images
from convscope.studies.neighbours import neighbours
from convscope.studies.placing import place
from convscope.studies.projections import projections
from convscope.studies.vitals import vitals
from convscope.techniques.activations import activations
from convscope.techniques.comparison import gradient_methods
from convscope.techniques.filters import filters
from convscope.techniques.gradient import deconvnet, guided_backprop, saliency
from convscope.techniques.localisation import localise
from convscope.techniques.occlusion import occlusion
from convscope.techniques.sanity import sanity_check
from convscope.techniques.synthesis import class_model

TECHNIQUES: Mapping[str, Callable[..., Any]] = {
    "activations": activations, "filters": filters, "occlusion": occlusion, "saliency": saliency,
    "deconvnet": deconvnet, "guided_backprop": guided_backprop, "gradient_methods": gradient_methods,
    "sanity_check": sanity_check, "class_model": class_model, "localise": localise,
}  # fmt: skip
STUDIES: Mapping[str, Callable[..., Any]] = {
    "exemplars": exemplars, "projections": projections, "vitals": vitals, "health": health,
    "codes": codes, "map": map_images, "grid": grid, "neighbours": neighbours, "place": place,
}  # fmt: skip
