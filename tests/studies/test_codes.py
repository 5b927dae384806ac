"""Codes that are added to an atlas: equal the net's outputs, nothing else is touched, stops and mistakes."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

import convscope
from convscope.atlas import Atlas
from convscope.models.prepared import to_pixels
from convscope.studies import codes as module
from convscope.watch import Watch
from tests.tiny_atlas import tiny_atlas, tiny_net


@pytest.fixture
def atlas(tmp_path: Path) -> Atlas:
    return tiny_atlas(tmp_path)


def files_of(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file() and "added-codes" not in str(path))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_they_are_the_nets_outputs_and_the_rest_is_untouched(atlas: Atlas) -> None:
    net, before = tiny_net(), files_of(atlas.folder)
    found = atlas.add_codes(net, "4", "max(4)", "flat(1)")
    pixels = to_pixels(np.stack([atlas.pixels(row) for row in range(6)]))
    with torch.no_grad():
        values = net.outputs(pixels, ["1", "4"])
    expected = {"4": values["4"].mean((2, 3)), "max(4)": values["4"].amax((2, 3)), "flat(1)": values["1"].flatten(1)}
    for name, table in expected.items():
        np.testing.assert_allclose(atlas.codes(name), table.numpy(), rtol=2e-3, atol=1e-3)  # half precision
    assert found.names == (atlas.code_layer, *sorted(expected, key=list(found.names).index))
    assert dict(zip(found.names, found.dimensions, strict=True))["flat(1)"] == 5 * 32 * 40
    assert all(found.rectified)
    assert files_of(atlas.folder) == before
    assert convscope.open_atlas(atlas.folder).codes("max(4)").shape == (6, 6)


def test_what_is_there_is_not_computed_again(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    atlas.add_codes(tiny_net(), "4")

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(module, "pooled", never)
    assert atlas.add_codes(tiny_net(), "4", atlas.code_layer).names == (atlas.code_layer, "4")


def test_a_stopped_one_goes_on_where_it_was(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 2)
    rows: list[int] = []
    real = module.pooled
    monkeypatch.setattr(module, "pooled", lambda *given: (rows.append(given[3]), real(*given))[1])

    class Once(Watch):
        def stopped(self) -> bool:
            return True

    with pytest.raises(convscope.BuildStopped, match="what is done is kept"):
        atlas.add_codes(tiny_net(), "4", watch=Once())
    with pytest.raises(convscope.UnknownLayer, match="convscope codes ATLAS --layer 4"):
        atlas.codes("4")
    assert rows == [0]
    atlas.add_codes(tiny_net(), "4")
    assert rows == [0, 2, 4]
    assert atlas.codes("4").shape == (6, 6)


def test_mistakes_are_named(atlas: Atlas) -> None:
    net = tiny_net()
    with pytest.raises(convscope.UnknownLayer):
        atlas.add_codes(net, "max(nowhere)")
    other = net.with_weights({name: value * 2 for name, value in net.weights.items()})
    with pytest.raises(convscope.BadOption, match="is not the network of this atlas"):
        atlas.add_codes(other, "4")
    assert atlas.add_codes(net).names == (atlas.code_layer,)


def test_a_table_of_them(atlas: Atlas) -> None:
    found = atlas.add_codes(tiny_net(), "4")
    (panel,) = convscope.draw(found)
    assert panel.kind == "table"
    assert found.lines()[2] == ["4", "6", "yes"]


def test_other_names_of_a_layer_and_damaged_codes(atlas: Atlas) -> None:
    atlas.add_codes(tiny_net(), "max(4)")
    assert atlas.map("max(4)").layer == "max(4)"
    alias = (
        next(one for one in tiny_net().layers if one.alias_of)
        if any(one.alias_of for one in tiny_net().layers)
        else None
    )
    if alias is not None and alias.spatial:
        atlas.add_codes(tiny_net(), f"max({alias.name})")
        assert atlas.codes(f"max({alias.name})").shape[0] == 6
    (folder,) = (atlas.folder / "added-codes").glob("[!.]*[0-9a-f]")
    (folder / "codes.npy").write_bytes(b"")
    again = convscope.open_atlas(atlas.folder)
    assert "max(4)" not in again.store.code_names
    again.add_codes(tiny_net(), "max(4)")
    assert again.codes("max(4)").shape == (6, 6)
