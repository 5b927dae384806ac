"""What the classes of a net are called, and how a text finds its class."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from convscope.errors import BadAddress
from convscope.models.address import near_names


@dataclass(frozen=True)
class Labels:
    """Class names in the order of the scores, with WordNet ids where they are known."""

    names: tuple[str, ...]
    wordnet: tuple[str, ...] = ()

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for index, name in enumerate(self.names):
            for spelling in {plain(name), plain(name.split(",")[0])}:
                found.setdefault(spelling, []).append(index)
        return found

    def find(self, text: str) -> int:
        """The class that a person names, in any case, also by WordNet id; BadAddress with near names otherwise."""
        if text in self.wordnet:
            return self.wordnet.index(text)
        found = self._by_name.get(plain(text), [])
        if len(found) == 1:
            return found[0]
        if found:
            listed = " or ".join(f"class:{index} ({self.names[index]})" for index in found)
            raise BadAddress(f"{len(found)} classes are called {text!r}", f"say which: {listed}")
        near = near_names(plain(text), list(self._by_name))
        hint = (
            "did you mean " + ", ".join(repr(self.names[self._by_name[name][0]]) for name in near) + "?" if near else ""
        )
        raise BadAddress(f"the net has no class {text!r}", hint)

    def match(self, label: str) -> int | None:
        """The class of a data set's label: by exact name, WordNet id or index; None where nothing matches."""
        if label in self.wordnet:
            return self.wordnet.index(label)
        exact = [index for index, name in enumerate(self.names) if label in (name, name.split(",")[0])]
        if len(exact) == 1:
            return exact[0]
        return int(label) if label.isdecimal() and int(label) < len(self.names) else None


def plain(name: str) -> str:
    """A name as people type it: lower case, one space for every run of spaces, hyphens and underscores."""
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())


def imagenet_labels(names: Sequence[str] = ()) -> Labels:
    """The 1,000 ImageNet classes: the names given, or WordNet's first word for each, with their WordNet ids."""
    spec = find_spec("timm")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "data" / "_info"
    ids = tuple((folder / "imagenet_synsets.txt").read_text().split())
    if names:
        return Labels(tuple(names), ids)
    lines = (folder / "imagenet_synset_to_lemma.txt").read_text().splitlines()
    lemmas = dict(line.split("\t", 1) for line in lines if line)
    return Labels(tuple(lemmas[wordnet].split(",")[0].strip() for wordnet in ids), ids)
