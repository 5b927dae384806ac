"""draw(result) → panels: one case for every kind of result."""

from functools import singledispatch

from convscope.errors import BadOption
from convscope.render.activations import activation_panels
from convscope.render.codes import code_table
from convscope.render.comparison import method_panels
from convscope.render.exemplars import unit_tiles
from convscope.render.figure import Panel, compose, page
from convscope.render.filters import filter_panels
from convscope.render.gradient import map_projection, projection_panels, saliency_panels
from convscope.render.grid import grid_panels
from convscope.render.localisation import localisation_panels
from convscope.render.mapping import map_panels
from convscope.render.neighbours import neighbour_tiles
from convscope.render.occlusion import occlusion_panels
from convscope.render.placing import placed_panels
from convscope.render.projections import projection_tiles
from convscope.render.sanity import sanity_panels
from convscope.render.synthesis import class_model_panels
from convscope.render.vitals import health_panels, vitals_panels
from convscope.studies.codes import Codes
from convscope.studies.exemplars import Exemplars
from convscope.studies.grid import Grid
from convscope.studies.health import Health
from convscope.studies.mapping import Map
from convscope.studies.neighbours import Neighbours
from convscope.studies.placing import Placed
from convscope.studies.projections import Projections
from convscope.studies.vitals import Vitals
from convscope.techniques.activations import Activations
from convscope.techniques.comparison import GradientMethods
from convscope.techniques.filters import Filters
from convscope.techniques.gradient import Projection, Saliency
from convscope.techniques.localisation import Localisation
from convscope.techniques.occlusion import OcclusionMap
from convscope.techniques.sanity import SanityCheck
from convscope.techniques.synthesis import ClassModel


@singledispatch
def draw(result: object) -> tuple[Panel, ...]:
    """The panels of a result: tiles, image, heat map, curve, table or scatter; BadOption for what is no result."""
    raise BadOption(f"a {type(result).__name__} cannot be drawn", "draw what a technique or study gave")


@draw.register
def draw_exemplars(result: Exemplars) -> tuple[Panel, ...]:
    """The R-CNN picture of one unit (Girshick et al. 2014, figure 4), with its middle and its control."""
    return (unit_tiles(result),)


@draw.register
def draw_projections(result: Projections) -> tuple[Panel, ...]:
    """Patches beside what is sent back from them (Zeiler & Fergus 2014, figure 2)."""
    return projection_tiles(result)


@draw.register
def draw_vitals(result: Vitals) -> tuple[Panel, ...]:
    """How often the units of a layer fire and how strongly, and a table of them."""
    return vitals_panels(result)


@draw.register
def draw_health(result: Health) -> tuple[Panel, ...]:
    """Sparsity and locality through depth, and dead units in each layer."""
    return health_panels(result)


@draw.register
def draw_codes(result: Codes) -> tuple[Panel, ...]:
    """What there are codes of."""
    return (code_table(result),)


@draw.register
def draw_map(result: Map) -> tuple[Panel, ...]:
    """All images in the plane by their codes (Karpathy 2014)."""
    return map_panels(result)


@draw.register
def draw_grid(result: Grid) -> tuple[Panel, ...]:
    """Every image in one cell (Karpathy 2014)."""
    return grid_panels(result)


@draw.register
def draw_neighbours(result: Neighbours) -> tuple[Panel, ...]:
    """The nearest images by code and by pixels (Krizhevsky et al. 2012, figure 4)."""
    return (neighbour_tiles(result),)


@draw.register
def draw_placed(result: Placed) -> tuple[Panel, ...]:
    """A new photo on the map of an atlas."""
    return placed_panels(result)


@draw.register
def draw_filters(result: Filters) -> tuple[Panel, ...]:
    """The filters, slices of some, and their roughness beside its controls (CS231n: Conv/FC filters)."""
    return filter_panels(result)


@draw.register
def draw_activations(result: Activations) -> tuple[Panel, ...]:
    """What the net saw, and every map of the layer (CS231n: Layer activations)."""
    return activation_panels(result)


@draw.register
def draw_occlusion(result: OcclusionMap) -> tuple[Panel, ...]:
    """What the answer rests on: maps of every position of the occluder (Zeiler & Fergus 2014, figure 7)."""
    return (*occlusion_panels(result), *map_projection(result))


@draw.register
def draw_saliency(result: Saliency) -> tuple[Panel, ...]:
    """How much each pixel changes a score (Simonyan et al. 2014, figure 2)."""
    return saliency_panels(result)


@draw.register
def draw_projection(result: Projection) -> tuple[Panel, ...]:
    """What was sent back to the pixels (Zeiler & Fergus 2014, figure 2; Springenberg et al. 2015, figure 3)."""
    return projection_panels(result)


@draw.register
def draw_gradient_methods(result: GradientMethods) -> tuple[Panel, ...]:
    """One image and one start by three rules (Springenberg et al. 2015, figure 3)."""
    return method_panels(result)


@draw.register
def draw_sanity(result: SanityCheck) -> tuple[Panel, ...]:
    """Maps as the network becomes random from the top down (Adebayo et al. 2018, figure 2)."""
    return sanity_panels(result)


@draw.register
def draw_localisation(result: Localisation) -> tuple[Panel, ...]:
    """Where the object is: saliency, seeds and what is cut out (Simonyan et al. 2014, figure 3)."""
    return localisation_panels(result)


@draw.register
def draw_class_model(result: ClassModel) -> tuple[Panel, ...]:
    """What a class or unit answers to most (Simonyan et al. 2014, figure 1)."""
    return class_model_panels(result)


def draw_picture(result: object) -> bytes:
    """A result as one PNG."""
    return compose(draw(result), "")


def draw_page(result: object) -> str:
    """A result as one HTML page that opens without a server."""
    return page(draw(result), getattr(result, "address", type(result).__name__))
