"""The six kinds of panel: their pictures pixel by pixel, their numbers, and what is empty or not a number."""

import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from convscope.errors import ConvscopeError
from convscope.render import fonts, pixels
from convscope.render.figure import compose, page
from convscope.render.panels import (
    Column,
    Curve,
    HeatMap,
    Overlay,
    Panel,
    Scatter,
    Series,
    Table,
    Tile,
    TileRow,
    Tiles,
)  # fmt: skip

RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 200, (60, 80, 3), dtype=np.uint8)
DARK_TILE = np.full((56, 56, 3), 40, dtype=np.uint8)
X = np.arange(5.0)
GAP = np.where(X > 2, np.nan, X)
BOXES = (((1, 2, 30, 40), "b"),)


def tiles(*, control: bool = False, **options) -> Tiles:
    row = TileRow("17", "max 5.31", (Tile(DARK_TILE, 5.31, (14, 28, 42, 56), "beagle"), Tile(PHOTO, 0.5)), control)
    return Tiles("patches", (row,), "caption", **options)


KINDS: dict[str, Panel] = {
    "tiles": tiles(),
    "image": Overlay("o", PHOTO, "c", heat=RANDOM.normal(size=(3, 4)), signed=True, boxes=BOXES),
    "heat map": HeatMap("h", RANDOM.random((6, 9)), "c", "p", "%", row_label="top", column_label="left"),
    "curve": Curve("k", (Series("a", X, X**2, X, X**3), Series("b", X, -X, control=True)), "x", "$a$", "c"),
    "table": Table("t", (Column("name"), Column("n", "px")), (("a", 1), ("b", None)), "c"),
    "scatter": Scatter("s", X, X**2, "c", labels=tuple("abcde"), values=X),
}  # fmt: skip

EMPTY: dict[str, Panel] = {
    "no rows": Tiles("t", (), "c"),
    "empty row": Tiles("t", (TileRow("1", "", ()), TileRow("2", "", (), control=True)), "c"),
    "no pixels": Tiles("t", (TileRow("", "", (Tile(np.zeros((0, 5, 3), np.uint8)),)),), "c"),
    "one pixel": Tiles("t", (TileRow("", "", (Tile(PHOTO[:1, :1], np.nan, (0, 0, 1, 1)),)),), "c"),
    "zero map": HeatMap("h", np.zeros((3, 3)), "c"),
    "signed zero map": HeatMap("h", np.zeros((3, 3)), "c", signed=True),
    "one cell": HeatMap("h", np.array([[np.inf]]), "c"),
    "missing map": HeatMap("h", np.full((2, 500), np.nan), "c"),
    "huge map": HeatMap("h", np.ones((1200, 3)), "c"),
    "empty map": HeatMap("h", np.zeros((0, 3)), "c"),
    "missing heat": Overlay("o", PHOTO, "c", heat=np.full((2, 2), np.nan)),
    "outside heat": Overlay("o", PHOTO, "c", heat=np.ones((2, 2)), heat_box=(-20, -20, 90, 90)),
    "no heat": Overlay("o", PHOTO[:1, :1], "c", heat=np.zeros((0, 0))),
    "no series": Curve("k", (), "x", "y", "c"),
    "empty series": Curve("k", (Series("a", X[:0], X[:0]),), "x", "y", "c"),
    "missing series": Curve("k", (Series("a", X, X * np.nan), Series("b", X, GAP)), "", "", ""),
    "one point": Curve("k", (Series("a", X[:1], X[:1]),), "x", "y", "c", log_x=True, log_y=True),
    "one bar": Curve("k", (Series("a", X[:1], X[:1]),), "x", "y", "c", style="bars"),
    "flat log": Curve("k", (Series("a", X, X * 0 + 3),), "x", "y", "c", log_x=True, log_y=True),
    "bars": Curve("k", (Series("a", X, X[:4]), Series("b", X, X, control=True)), "x", "y", "c", style="bars"),
    "empty table": Table("t", (Column("a"),), (), "c"),
    "no columns": Table("t", (), (), "c"),
    "no points": Scatter("s", X[:0], X[:0], "c", values=X[:0]),
    "same points": Scatter("s", X * 0, X * 0, "c", values=X * np.nan, x_label="x"),
    "no pictures": Scatter("s", X[:0], X[:0], "c", thumbnails=()),
    "one picture": Scatter("s", X[:1], X[:1], "c", thumbnails=(PHOTO,)),
    "unwritable": Table("狗", (Column("狗\n"),), (("\x00狗 🐕",),), "狗 🐕"),
}  # fmt: skip


def opened(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("panel", [*KINDS.values(), *EMPTY.values()], ids=[*KINDS, *EMPTY])
def test_every_panel_is_a_png_at_every_scale_with_strict_json(panel):
    small, large = opened(panel.png(1)), opened(panel.png(2.0))
    assert abs(large.shape[0] - 2 * small.shape[0]) <= 3
    assert abs(large.shape[1] - 2 * small.shape[1]) <= 3
    assert json.loads(json.dumps(panel.numbers(), allow_nan=False)) == panel.numbers()
    assert opened(panel.png(1, dark=True)).shape == small.shape
    assert opened(compose([panel], "title", scale=1)).shape[0] > small.shape[0]


@pytest.mark.parametrize(("kind", "panel"), KINDS.items(), ids=KINDS)
def test_kinds(kind, panel):
    assert panel.kind == kind
    assert panel.caption


def test_picture_sizes():
    bare = Tiles("t", (TileRow("", "", (Tile(DARK_TILE),) * 3),) * 2, "c", tile_side=50)
    assert opened(bare.png(2)).shape == (2 * (2 * 50 + 6), 2 * (3 * 50 + 2 * 6), 3)
    assert opened(Overlay("o", PHOTO, "c").png(2)).shape == (600, 800, 3)
    assert opened(KINDS["curve"].png(1)).shape == (320, 640, 3)
    grid = Scatter("s", X % 3, X // 3, "c", thumbnails=(PHOTO,) * 5, grid=True)
    assert opened(grid.png(2)).shape == (2 * 2 * 72, 2 * 3 * 72, 3)


def test_box_is_white_inside_its_edges_with_a_dark_contour():
    bare = Tiles("t", (TileRow("", "", (Tile(DARK_TILE, None, (14, 28, 42, 56)),)),), "c", tile_side=112)
    picture = opened(bare.png(2))  # 4 device px per px of the tile: the box is rows 56-168, columns 112-224
    assert (picture[56:60, 130:200] == 255).all()
    assert (picture[164:168, 130:200] == 255).all()
    assert (picture[80:150, 112:116] == 255).all()
    assert (picture[80:150, 218:222] == 255).all()  # cut by the tile's edge: the contour takes the last 2 px
    assert (picture[54:56, 130:200] == 48).all()
    assert (picture[80:150, 222:224] == 48).all()
    assert (picture[62:160, 120:216] == 40).all()
    assert (picture[:52] == 40).all()


def test_whole_tile_box_stays_in_the_tile_and_tiny_boxes_do_not_fail():
    patch = np.full((20, 20, 3), 9, dtype=np.uint8)
    pixels.draw_box(patch, (-5, -5, 40, 40))
    assert (patch[0] == 48).all()
    assert (patch[1:3, 1:19] == 255).all()
    assert (patch[3:17, 3:17] == 9).all()
    for box in ((10, 10, 10, 10), (19, 19, 20, 20), (0, 0, 1, 1), (30, 30, 50, 50)):
        for side in (1, 2, 3, 20):
            pixels.draw_box(np.zeros((side, side, 3), np.uint8), box, scale=2)


def test_value_plate_is_white_with_black_digits_in_the_upper_left_corner():
    patch = pixels.draw_value(np.full((60, 60, 3), 90, np.uint8), "5.31", scale=2)
    assert (patch[0, :40] == 255).all()
    assert (patch[:26] < 40).any()
    assert (patch[30:] == 90).all()
    low = pixels.draw_value(np.full((60, 60, 3), 90, np.uint8), "5.31", scale=2, corner=(100, 100))
    assert (low[-1, -1] == 255).all()


def test_rows_share_their_decimals():
    assert fonts.format_row([5.312, 0.2, None]) == ["5.31", "0.20", "–"]
    assert fonts.format_row([12.66, -0.04]) == ["12.7", "0.0"]
    assert fonts.format_row([1234.5, 3]) == ["1234", "3"]
    assert fonts.format_row([0.0532, 0.001]) == ["0.053", "0.001"]
    assert fonts.format_row([2.5e-7, -1e-8]) == ["2.5e−07", "−1.0e−08"]
    assert fonts.format_row([0.0, float("inf")]) == ["0.00", "–"]
    assert fonts.format_row([]) == []


def test_control_rows_are_on_a_grey_band_and_say_so():
    plain, control = opened(tiles().png(1)), opened(tiles(control=True).png(1))
    assert control.shape != plain.shape
    band = (control == (0xF2, 0xF2, 0xF2)).all(axis=2)
    assert band[:, -3].mean() > 0.8
    assert (plain == 0xF2).all(axis=2).mean(axis=0).max() < 0.5
    assert (plain[:, :60] < 60).any()  # the title in ink …
    assert not (control[:, :60] < 60).any()  # … and in grey


def test_zero_is_black_in_magma_and_mid_grey_where_signed():
    values = np.array([[0.0, 1.0, -1.0, 0.25, -0.25]])
    assert pixels.colour(np.abs(values))[0, 0].tolist() == [0, 0, 0]
    signed = pixels.colour(values, signed=True)
    assert signed[0, 0].tolist() == [128, 128, 128]
    assert signed[0, 1, 0] > signed[0, 1, 2]  # orange: positive
    assert signed[0, 2, 2] > signed[0, 2, 0]  # blue: negative
    assert (pixels.colour(np.zeros((2, 2))) == 0).all()
    assert (pixels.colour(np.zeros((2, 2)), signed=True) == 128).all()
    assert (pixels.colour(np.array([[np.nan]])) == pixels.MISSING).all()
    assert opened(EMPTY["zero map"].png(1))[50, 50].tolist() == [0, 0, 0]
    assert opened(EMPTY["signed zero map"].png(1))[50, 50].tolist() == [128, 128, 128]


def test_diverging_map_is_as_light_on_both_sides():
    linear = (pixels.lookup(True) / 255.0) ** 2.2 @ [0.2126, 0.7152, 0.0722]
    lightness = 116 * np.cbrt(linear) - 16
    assert np.abs(lightness - lightness[::-1]).max() < 7
    assert (np.diff(lightness[128:]) > -0.2).all()


def test_limits_are_symmetric_where_signed_and_never_equal():
    assert pixels.colour_limits(np.array([-1.0, 3.0]), True) == (-3, 3)
    assert pixels.colour_limits(np.array([2.0, 3.0]), False) == (0, 3)
    assert pixels.colour_limits(np.array([2.0, 3.0]), False, (2, 2)) == (2, 3)
    assert pixels.colour_limits(np.array([np.nan]), False) == (0, 1)


def test_heat_cells_are_exact_and_missing_ones_hatched():
    panel = HeatMap("h", np.array([[0.0, 1.0], [np.nan, 0.5]]), "c")
    picture = opened(panel.png(2))
    assert np.unique(picture[:112, :112]).tolist() == [0]
    assert (picture[:112, 112:224] == pixels.lookup(False)[255]).all()
    assert np.unique(picture[112:224, :112]).tolist() == [150, 205]


def test_heat_lies_in_its_box_over_a_grey_image():
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 0] = 255
    picture = opened(Overlay("o", red, "c", heat=np.ones((1, 1)), heat_box=(10, 10, 30, 30)).png(1))
    outside, inside = picture[20, 20].astype(int), picture[200, 200].astype(int)
    assert np.ptp(outside) == 0
    assert np.ptp(inside) > 20


def test_normalise_is_safe_for_constant_missing_and_empty_values():
    assert pixels.normalise(np.array([2.0, 4.0, 3.0])).tolist() == [0, 1, 0.5]
    assert pixels.normalise(np.array([7.0, 7.0])).tolist() == [0, 0]
    assert pixels.normalise(np.array([-1.0, 0, 4.0]), 0.0).tolist() == [0.375, 0.5, 1]
    assert pixels.normalise(np.zeros(3), 0.0).tolist() == [0.5] * 3
    assert pixels.normalise(np.array([np.nan, 1.0, 2.0])).tolist() == [0, 0, 1]
    assert pixels.normalise(np.zeros((0, 3))).shape == (0, 3)
    assert pixels.to_bytes(np.array([0, 0.5, 1, 9, np.nan])).tolist() == [0, 128, 255, 255, 0]


def test_small_filters_keep_their_cells_at_every_scale():
    filters = RANDOM.integers(0, 255, (7, 7, 3), dtype=np.uint8)
    for scale in (1, 2, 3):
        large = pixels.resize_tile(filters, 112 * scale, scale=scale)
        assert {tuple(one) for one in large.reshape(-1, 3)} == {tuple(one) for one in filters.reshape(-1, 3)}
    assert len(np.unique(pixels.resize_tile(PHOTO, 112).reshape(-1, 3), axis=0)) > len(np.unique(PHOTO))
    assert pixels.resize_tile(PHOTO, 40).shape == (30, 40, 3)


def test_numbers_round_trip():
    values = np.array([[0.1, np.nan], [np.inf, -3.5]], dtype=np.float32)
    numbers = json.loads(json.dumps(HeatMap("h", values, "c", "p", "%").numbers(), allow_nan=False))
    assert numbers["values"] == [[float(np.float32(0.1)), None], [None, -3.5]]
    assert (numbers["quantity"], numbers["unit"]) == ("p", "%")
    row = tiles().numbers()["rows"][0]
    assert row["tiles"][0] == {"value": 5.31, "box": [14, 28, 42, 56], "footer": "beagle", "size": [56, 56]}
    long = Table("t", (Column("n"),), tuple((index,) for index in range(144)), "c")
    assert len(long.numbers()["rows"]) == 144
    assert opened(long.png(1)).shape[0] < 700


def test_tables_align_and_format_their_columns():
    texts, numeric = fonts.column_texts([(1,), (12345,), (None,)], 0)
    assert (texts, numeric) == (["1", "12,345", "–"], True)
    assert fonts.column_texts([(0.5,), (0.25,)], 0) == (["0.50", "0.25"], True)
    assert fonts.column_texts([(True,), ("x",)], 0) == (["yes", "x"], False)


def test_text_is_cut_and_wrapped_to_its_width():
    cut = fonts.ellipsize("German short-haired pointer", 11, 80)
    assert cut.startswith("German")
    assert cut.endswith("…")
    assert fonts.text_width(cut, 11) <= 80
    assert fonts.ellipsize("dog", 11, 80) == "dog"
    assert fonts.ellipsize("dog", 11, 1) == ""
    lines = fonts.wrap([(word, "regular") for word in ["one", "two", "three", "four", "five"]], 13, 60)
    assert len(lines) > 1
    assert sum(len(line) for line in lines) == 5
    assert len({fonts.text_width(digit, 12) for digit in "0123456789"}) == 1  # tabular


def test_figure_stacks_panels_and_wraps_captions():
    short, long = HeatMap("h", np.eye(3), "word"), HeatMap("h", np.eye(3), "word " * 80)
    one, two = opened(compose([short], "t", scale=1)), opened(compose([short, short], "t", scale=1))
    assert two.shape[0] > 1.6 * one.shape[0]
    assert opened(compose([long], "t", scale=1)).shape[0] > one.shape[0] + 50
    assert opened(compose([long], "t", scale=1)).shape[1] == one.shape[1]
    assert opened(compose([], "nothing", "yet", scale=1)).size


def test_page_is_self_contained_and_escapes_all_text():
    evil = "<script>alert('1')</script>"
    panels = [
        Tiles(evil, (TileRow(evil, evil, (Tile(PHOTO, 1.0, None, evil),)),), evil),
        Table(evil, (Column(evil, evil),), ((evil,),), evil),
        Overlay(evil, PHOTO, evil, boxes=(((0, 0, 9, 9), evil),)),
    ]
    document = page(panels, evil, evil)
    assert "<script" not in document
    assert document.count("&lt;script&gt;") > 8
    assert "http" not in document
    assert document.count("<figure>") == document.count("<details>") == 3
    assert document.count("data:image/png;base64,") == 4  # two pictures for light and dark; the table is HTML
    assert "prefers-color-scheme: dark" in document


def test_large_photographs_go_into_pages_as_webp():
    noise = RANDOM.integers(0, 255, (700, 700, 3), dtype=np.uint8)
    assert "data:image/webp;base64," in page([Overlay("o", noise, "c")], "t")
    assert Image.open(io.BytesIO(pixels.webp_bytes(noise[:50], 100))).size == (700, 50)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Tile(PHOTO.astype(float)), "H×W×3 uint8"),
        (lambda: HeatMap("h", X, "c"), "rows and columns"),
        (lambda: Curve("k", (Series("a", X, X[:2]),), "x", "y", "c"), "5 x and 2 y"),
        (lambda: Table("t", (Column("a"),), ((1, 2),), "c"), "a row of 2"),
        (lambda: Scatter("s", X, X[:2], "c"), "lengths"),
        (lambda: Scatter("s", GAP, X, "c", thumbnails=(PHOTO,) * 5), "no finite place"),
    ],
)
def test_what_cannot_be_drawn_is_refused_at_once(wrong, words):
    with pytest.raises(ConvscopeError, match=words) as caught:
        wrong()
    assert caught.value.hint


def test_pictures_are_the_same_in_threads_and_again():
    panels = [*KINDS.values()] * 2
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda panel: panel.png(1), panels))
    assert together == [panel.png(1) for panel in panels]


def test_panels_do_not_import_matplotlib_before_they_draw():
    code = "import sys, convscope.render.figure, convscope.render.panels; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_names_at_line_ends_stand_apart_near_their_lines():
    from convscope.render.charts import _spread

    assert _spread([0.2, 0.8], 0.1) == pytest.approx([0.2, 0.8])
    assert _spread([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert _spread([1.0, 1.0, 0.3], 0.1) == pytest.approx([0.9, 1.0, 0.3])
    assert _spread([0.0] * 30, 0.1) == pytest.approx(list(np.linspace(0, 1, 30)))
