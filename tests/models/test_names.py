"""Addresses, labels and layers by name, and the errors for names that are not there."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, nn

import convscope
from convscope import Address, Place
from convscope.models.labels import Labels, imagenet_labels
from tests.nets import small_classifier


@pytest.fixture(scope="module")
def net() -> convscope.Net:
    return convscope.Net(
        small_classifier(), size=(16, 16), labels=["tabby cat", "crane", "crane", "Pomeranian"], name="tiny"
    )


layer_names = st.from_regex(re.compile(r"[a-z_][a-z0-9_./#]{0,20}"), fullmatch=True)


@given(
    layer_names,
    st.one_of(st.none(), st.integers(0, 9999)),
    st.one_of(st.none(), st.tuples(st.integers(0, 99), st.integers(0, 99))),
)
def test_addresses_round_trip(layer: str, unit: int | None, place: tuple[int, int] | None) -> None:
    if layer == "class":
        return
    address = Address(layer, unit, Place(*place) if place and unit is not None else None)
    assert Address.parse(str(address)) == address


@example("0@")
@given(st.text(min_size=1).map(str.strip).filter(bool))
def test_class_names_round_trip(name: str) -> None:
    address = Address.parse(f"class:{name}")
    assert Address.parse(str(address)) == address
    assert address.layer == "class"


@pytest.mark.parametrize("text", ["", "a b", "x:y", "x:1@2", "x:1@2,", "x@1,2", "x:-1", ":3", "class:", "x:1@-1,2"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(convscope.BadAddress, match="is no address"):
        Address.parse(text)


def test_layers_by_name(net: convscope.Net) -> None:
    assert net.layer("4").shape == (8, 8, 8)
    assert net.layer("class") is net.layer("9")
    with pytest.raises(convscope.UnknownLayer) as caught:
        net.layer("44")
    assert "tiny has no layer '44'" in str(caught.value)
    assert "did you mean '4'" in str(caught.value)


def test_near_names_of_a_real_network() -> None:
    import torchvision

    net = convscope.Net(torchvision.models.alexnet(), name="alexnet")
    for typed, meant in (
        ("feature.3", "features.3"),
        ("features_3", "features.3"),
        ("clasifier.6", "classifier.6"),
    ):
        with pytest.raises(convscope.UnknownLayer) as caught:
            net.layer(typed)
        assert repr(meant) in caught.value.hint


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("4:8", "4 has 8 units, so 8 is none"),
        ("4:0@8,0", "4 has 8×8 places, so 8,0 is none"),
        ("9:0@1,0", "9 has 1×1 places"),
        ("class:crane", "2 classes are called 'crane'"),
        ("class:dog", "the net has no class 'dog'"),
        ("class:4", "9 has 4 units"),
    ],
)
def test_addresses_outside_the_net_are_refused(net: convscope.Net, address: str, words: str) -> None:
    with pytest.raises(convscope.BadAddress) as caught:
        net.locate(address)
    assert words in caught.value.problem


def test_classes_by_name_index_and_wordnet_id(net: convscope.Net) -> None:
    assert net.locate("class:pomeranian")[1] == 3
    assert net.locate("class:TABBY_CAT")[1] == 0
    assert net.locate("class:2")[1] == 2
    labels = imagenet_labels()
    assert len(labels.names) == len(labels.wordnet) == 1000
    assert labels.find("Pomeranian") == labels.find("n02112018") == labels.find("pomeranian") == 259


def test_labels_of_data_are_matched_exactly() -> None:
    labels = Labels(("tench", "goldfish, Carassius auratus", "crane", "crane"), ("n01", "n02", "n03", "n04"))
    answers = {
        "tench": 0,
        "goldfish": 1,
        "goldfish, Carassius auratus": 1,
        "n03": 2,
        "3": 3,
        "4": None,
        "crane": None,
        "Tench": None,
        "dog": None,
        "-1": None,
    }
    assert {label: labels.match(label) for label in answers} == answers


def test_labels_must_fit_the_scores() -> None:
    with pytest.raises(convscope.UnsuitableNet, match="4 scores, but 2 labels"):
        convscope.Net(small_classifier(), size=(16, 16), labels=["a", "b"])


class Columns(nn.Module):
    """Scores whose second axis is that of the image's columns."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 1, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.convolution(pixels).mean(2)[:, 0]


def test_scores_that_are_no_classes_are_refused() -> None:
    with pytest.raises(convscope.UnsuitableNet, match="not one vector of classes for each image"):
        convscope.Net(Columns(), size=(8, 8))


@pytest.mark.parametrize("size", [(2, 2), (1, 4), (4, 1), (1, 1), (3, 5)])
def test_scores_of_a_single_map_of_any_shape_are_classes(size: tuple[int, int]) -> None:
    """Flattened, one unit's places are a vector, also where the map is one row or column."""
    parts = [nn.Conv2d(3, 1, 1), nn.ReLU(), nn.Flatten()]
    net = convscope.Net(nn.Sequential(*parts, nn.Linear(size[0] * size[1], 5)), size=size)
    assert net.classes == 5
    assert net.layer("2").shape == (size[0] * size[1],)
    assert net.input_box(f"2:{size[0] * size[1] - 1}") == (size[0] - 1, size[1] - 1, *size)
    assert net.input_box("class:0") == (0, 0, *size)


def test_scores_made_from_the_rows_of_one_map_are_classes() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.linear = nn.Conv2d(3, 1, 3), nn.Linear(6, 5)

        def forward(self, pixels: Tensor) -> Tensor:
            return self.linear(self.convolution(pixels).mean(3)[:, 0])  # type: ignore[no-any-return]

    assert convscope.Net(Rows(), size=(8, 9)).layer("linear").shape == (5,)
