"""A torch-like dataset as a source of images; torch itself is not imported."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convscope.data.picture import Least, Picture
from convscope.data.reasons import reason
from convscope.data.tensors import pixels_of
from convscope.errors import UnreadableImage


@runtime_checkable
class Dataset(Protocol):
    """Has a length, and items that are an image or (image, label)."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True)
class DatasetItem:
    """One item of a dataset, asked for when it is read."""

    dataset: Dataset = field(repr=False, compare=False)
    index: int
    known_label: str | None  # None where there is no label, or where only the item tells it
    label_in_item: bool

    @property
    def uri(self) -> str:
        """Such as dataset[17]."""
        return f"dataset[{self.index}]"

    @property
    def name(self) -> str:
        """The index as text."""
        return str(self.index)

    @cached_property
    def label(self) -> str | None:
        """The item's label; reads the item if neither the dataset lists labels nor it was read; or None."""
        if not self.label_in_item:
            return self.known_label
        try:
            return self._label_of(self._item())
        except UnreadableImage:
            return None

    def read(self) -> tuple[str, NDArray[np.uint8]]:
        """The content hash (sha256 of shape and pixels, hex) and H×W×3 RGB, 0–255; UnreadableImage."""
        item = self._item()
        if self.label_in_item:
            vars(self)["label"] = self._label_of(item)  # so that asking for it does not read the item again
        pixels = pixels_of(item[0] if isinstance(item, (tuple, list)) and item else item)
        digest = hashlib.sha256(repr(pixels.shape).encode())
        digest.update(pixels.tobytes())
        return digest.hexdigest(), pixels

    def picture(self, least: Least | None = None) -> tuple[str, Picture]:  # noqa: ARG002 (it gives pixels, no file)
        """The same as a picture, always in full; UnreadableImage."""
        content, pixels = self.read()
        return content, Picture.whole(Image.fromarray(pixels))

    def stamp(self) -> tuple[str, str | None]:
        """The content hash, or why there is none, and the label; reads the item."""
        try:
            return self.read()[0], self.label
        except UnreadableImage as error:
            return error.problem, self.known_label

    def _label_of(self, item: Any) -> str | None:
        """The label in what the dataset gave, which is (image, label, …) or has none."""
        has_label = isinstance(item, (tuple, list)) and len(item) >= 2
        return label_text(item[1], class_names(self.dataset)) if has_label else None

    def _item(self) -> Any:
        """What the dataset gives for the index; UnreadableImage if it comes upon a broken file."""
        try:
            return self.dataset[self.index]
        except (OSError, SyntaxError, ValueError, RuntimeError) as error:  # of Pillow and torchvision.io; else a bug
            raise UnreadableImage(reason(error)) from error


def dataset_items(dataset: Dataset) -> tuple[DatasetItem, ...]:
    """All items in order; no item is read."""
    labels, names = known_labels(dataset), class_names(dataset)
    if labels is None:
        return tuple(DatasetItem(dataset, index, None, True) for index in range(len(dataset)))
    return tuple(DatasetItem(dataset, index, label_text(label, names), False) for index, label in enumerate(labels))


def known_labels(dataset: Any) -> Sequence[Any] | None:
    """One label per item where the dataset, or what it is a subset of, lists them (.targets or .labels)."""
    if getattr(dataset, "target_transform", None) is not None:  # then the list is not what the items say
        return None
    if _is_subset(dataset):
        inner = known_labels(dataset.dataset)
        return None if inner is None else [inner[index] for index in dataset.indices]
    labels: Any = getattr(dataset, "targets", getattr(dataset, "labels", None))
    labels = labels.tolist() if hasattr(labels, "tolist") else labels
    return labels if isinstance(labels, (list, tuple)) and len(labels) == len(dataset) else None


def class_names(dataset: Any) -> Sequence[Any]:
    """The names of the classes by index, also of what it is a subset of; empty if there are none."""
    while _is_subset(dataset):
        dataset = dataset.dataset
    names = getattr(dataset, "classes", ())
    return names if isinstance(names, (list, tuple)) else ()


def label_text(label: Any, names: Sequence[Any]) -> str | None:
    """A label → its class name if it is an index of one, else its text; None stays None."""
    if hasattr(label, "tolist"):  # an array's, a tensor's, or a numpy number's way to Python values
        label = label.tolist()
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(names):
        label = names[label]
    if isinstance(label, (tuple, list)):  # torchvision's ImageNet lists the synonyms of each class
        label = ", ".join(str(part) for part in label)
    return None if label is None else str(label)


def _is_subset(dataset: Any) -> bool:
    """Whether it is a selection of another dataset's items, as torch's Subset is."""
    return not hasattr(dataset, "classes") and hasattr(dataset, "indices") and hasattr(dataset, "dataset")
