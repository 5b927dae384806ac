"""One colour scale for several panels: what scale a panel has, and the same panel on another one."""

from dataclasses import dataclass, replace

from convscope.render.figure import Panel
from convscope.render.fonts import with_unit
from convscope.render.panels import HeatMap, Overlay, Scale, Tiles
from convscope.render.pixels import colour, colour_limits


@dataclass(frozen=True)
class Colours:
    """What a panel's colours stand for."""

    quantity: str  # with its unit
    low: float
    high: float
    signed: bool


def colours_of(panel: Panel) -> Colours | None:
    """The scale of a panel that colours numbers; None for all others."""
    if isinstance(panel, Tiles) and panel.scale is not None:
        low, high = panel.scale.limits
        return Colours(panel.value_name, float(low), float(high), panel.scale.signed)
    values = panel.values if isinstance(panel, HeatMap) else panel.heat if isinstance(panel, Overlay) else None
    if values is None or not isinstance(panel, HeatMap | Overlay):
        return None
    low, high = colour_limits(values, panel.signed, panel.limits)
    return Colours(with_unit(panel.name, panel.unit), float(low), float(high), panel.signed)


def rescaled(panel: Panel, low: float, high: float) -> Panel:
    """The same panel with other ends of its scale; panels without one, and empty scales, stay as they are."""
    found = colours_of(panel)
    if found is None or not high > low:
        return panel
    limits = (-max(abs(low), abs(high)), max(abs(low), abs(high))) if found.signed else (low, high)
    if isinstance(panel, HeatMap | Overlay):
        return replace(panel, limits=limits)
    if not isinstance(panel, Tiles) or panel.scale is None:
        return panel
    rows = tuple(
        replace(
            row,
            tiles=tuple(
                tile if tile.values is None else replace(tile, pixels=colour(tile.values, found.signed, limits))
                for tile in row.tiles
            ),
        )
        for row in panel.rows
    )
    return replace(panel, rows=rows, scale=Scale(limits, found.signed, panel.scale.values))
