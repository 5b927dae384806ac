"""The text that names a layer, a unit in it and a place: "features.3:17@5,2", "class:pomeranian"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from convscope.arrays import Place
from convscope.errors import BadAddress, UnknownLayer

OUTPUT = "class"  # the layer name that stands for the net's scores
PATTERN = re.compile(r"(?P<layer>[^:@\s]+)(:(?P<unit>\d+)(@(?P<row>\d+),\s*(?P<column>\d+))?)?")


@dataclass(frozen=True)
class Address:
    """A layer, perhaps one of its units, perhaps one place (row, column) of that unit's map."""

    layer: str
    unit: int | str | None = None  # a class may be given by its name
    place: Place | None = None

    @classmethod
    def parse(cls, text: "str | Address") -> "Address":
        """Reads "layer", "layer:unit", "layer:unit@row,column", "class:name" or "class:index"; else BadAddress."""
        if isinstance(text, Address):
            return text
        layer, colon, rest = text.strip().partition(":")
        if layer == OUTPUT and colon and rest.strip() and not re.fullmatch(r"\d+@\d+,\s*\d+", rest.strip()):
            return cls(OUTPUT, int(rest) if rest.strip().isdecimal() else rest.strip())
        found = PATTERN.fullmatch(text.strip())
        if found is None:
            hint = 'write layer:unit@row,column as in "features.3:17@5,2", or "class:name"'
            raise BadAddress(f"{text!r} is no address", hint)
        place = Place(int(found["row"]), int(found["column"])) if found["row"] else None
        return cls(found["layer"], int(found["unit"]) if found["unit"] else None, place)

    def __str__(self) -> str:
        unit = "" if self.unit is None else f":{self.unit}"
        place = "" if self.place is None else f"@{self.place.row},{self.place.column}"
        return f"{self.layer}{unit}{place}"


def unknown_layer(owner: str, name: str, names: Sequence[str]) -> UnknownLayer:
    """The error for a name that is not there, with the nearest ones that are."""
    near = near_names(name, names)
    listed = ", ".join(repr(candidate) for candidate in near)
    hint = f"did you mean {listed}?" if near else "`convscope layers --net NAME` lists them all"
    return UnknownLayer(f"{owner} has no layer {name!r}", hint)


def near_names(name: str, names: Sequence[str], count: int = 3) -> list[str]:
    """The names that people most likely meant: those that hold the text, then those spelt alike."""
    lower = name.lower()
    by_lower = {candidate.lower(): candidate for candidate in names}
    holding = sorted((text for text in by_lower if lower in text), key=len)
    alike = get_close_matches(lower.replace("_", "."), by_lower, n=count, cutoff=0.5)
    chosen = dict.fromkeys([*holding[:count], *alike] if len(lower) > 1 else alike)
    return [by_lower[text] for text in chosen][:count]
