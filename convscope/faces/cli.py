"""The command line: data to stdout, words and progress to stderr, 2 for wrong use, 1 for failed work."""

import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convscope import __version__
from convscope.errors import BadAddress, BadOption, BuildStopped, ConvscopeError, UnknownLayer, UnknownNet
from convscope.faces.bar import Bar
from convscope.faces.commands import command_of

if TYPE_CHECKING:
    from convscope.models.net import Net

WRONG_USE = (BadOption, BadAddress, UnknownLayer, UnknownNet)  # exit code 2; every other problem gives 1

app = App(
    name="convscope",
    help="A microscope for ConvNets: point it at a network and a folder of images, and see what it has learned.",
    version=__version__,
    help_format="plaintext",
)

NetName = Annotated[
    str,
    Parameter(
        name="--net",
        help='"efficientnet-lite0" (bundled; lite1, lite2), "torchvision:resnet50", "timm:convnext_tiny", "all-cnn-c" '
        '(without weights of its own), "package.module:factory"',
    ),
]
Weights = Annotated[Path | None, Parameter(help="a .safetensors or .pth file to take instead of the net's own weights")]
OwnNet = Annotated[
    str | None,
    Parameter(name="--net", help="the network of the atlas; needed unless it is a bundled or torchvision one"),
]
Random = Annotated[bool, Parameter(name="--pretrained", help="--no-pretrained takes random weights")]
DeviceName = Annotated[str | None, Parameter(name="--device", help='"cpu", "cuda", "mps"; default: where the net is')]


@app.command
def build(
    images: str,
    /,
    *,
    net: NetName = "efficientnet-lite0",
    out: Annotated[Path, Parameter(help="the folder that becomes the atlas")] = Path("atlas"),
    layers: Annotated[
        list[str] | None, Parameter(help="whose units to follow; default: all rectified ones and the output")
    ] = None,
    limit: Annotated[int | None, Parameter(help="a random sample of so many images")] = None,
    batch_size: Annotated[int | None, Parameter(help="images in one forward")] = None,
    seed: Annotated[int, Parameter(help="of the sample")] = 0,
    k: Annotated[int, Parameter(help="patches kept per unit")] = 9,
    directions: Annotated[int, Parameter(help="random directions a layer, as the control; 0: none")] = 16,
    codes: Annotated[
        list[str] | None, Parameter(help="layers whose codes are kept beside those before the classifier")
    ] = None,
    full_decode: Annotated[
        bool, Parameter(negative="", help="decode large JPEGs with all their pixels: slower, and exact")
    ] = False,
    overwrite: Annotated[bool, Parameter(negative="", help="throw away the atlas that is in --out")] = False,
    weights: Weights = None,
    pretrained: Random = True,
    device: DeviceName = None,
) -> None:
    """Read IMAGES through a net, once, and leave an atlas. The same command goes on after it was stopped.

    IMAGES is a folder, a glob in quotes, or a CSV or Parquet table with the columns path and label.
    """
    from convscope.atlas import build as build_atlas

    found = open_net(net, weights, pretrained, device)
    with Bar("build") as bar:
        options: dict[str, Any] = {"layers": layers, "limit": limit, "batch_size": batch_size, "seed": seed, "k": k}
        options |= {"directions": directions, "codes": codes or ()}
        more: dict[str, Any] = {"full_decode": full_decode, "overwrite": overwrite, "watch": bar}
        atlas = build_atlas(images, found, out, **options, **more)
        lost = len(atlas.skipped)
        bar.say(f"{len(atlas.images):,} images" + (f", {lost:,} files skipped (see the report)" if lost else ""))
        bar.say(f"next: convscope serve {out}, or convscope report {out} --out report.html")
    sys.stdout.write(f"{out}\n")


@app.command
def report(
    atlas: Path,
    /,
    *,
    out: Annotated[Path, Parameter(help="the HTML file to write")] = Path("report.html"),
    net: OwnNet = None,
    weights: Weights = None,
    pretrained: Random = True,
    device: DeviceName = None,
    trials: Annotated[int, Parameter(help="images that the gradient methods and their sanity check run on")] = 4,
    note: Annotated[str, Parameter(help="a sentence about the images, shown under the title")] = "",
    budget: Annotated[int, Parameter(help="how many distinct images the file may hold, about 8 KB each")] = 1500,
) -> None:
    """Write one HTML file that shows an ATLAS and opens from disk, without a server."""
    from convscope.atlas import open_atlas
    from convscope.faces.report import write_report
    from convscope.faces.web.serve import own_net

    opened, found = open_atlas(atlas), None
    name = net or own_net(opened, weights is not None or not pretrained)
    if trials and name is None:
        if weights is not None:
            raise BadOption("--weights without --net", "--net NAME says whose weights they are")
        words("the gradient methods are left out: their network was not given; --net NAME gives it")
    elif trials and name is not None:
        found = open_net(name, weights, pretrained, device)
    with Bar("report") as bar:
        write_report(opened, out, net=found, trials=trials, note=note, budget=budget, watch=bar)
    sys.stdout.write(f"{out}\n")


@app.command
def serve(
    atlas: Path,
    /,
    *,
    net: OwnNet = None,
    weights: Weights = None,
    pretrained: Random = True,
    device: DeviceName = None,
    live: Annotated[bool, Parameter(negative="--no-live", help="--no-live shows the atlas without its network")] = True,
    host: Annotated[str, Parameter(help="where to listen; anything but this machine asks for a token")] = "127.0.0.1",
    port: Annotated[int | None, Parameter(help="default: a free one, which is printed")] = None,
    browser: Annotated[bool, Parameter(negative="--no-browser", help="--no-browser opens none")] = True,
    note: Annotated[str, Parameter(help="a sentence about the images, shown under the title")] = "",
) -> None:
    """Open an ATLAS in the browser: from the whole network down to one neuron and one pixel, with the live network."""
    from convscope.atlas import open_atlas
    from convscope.faces.web.serve import live_net
    from convscope.faces.web.serve import serve as run_server

    opened = open_atlas(atlas)
    behind = live_net(opened, net, weights, pretrained, device, off=not live)
    run_server(opened, behind, note=note, host=host, port=port, browser=browser, say=words)


def net_parameters(net: str | None) -> list[inspect.Parameter]:
    """The options that open a network; net: its name where none is given."""
    kinds = {"net": NetName, "weights": Weights, "pretrained": Random, "device": DeviceName}
    defaults: dict[str, Any] = {"net": net, "weights": None, "pretrained": True, "device": None}
    return [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=kind)
        for name, kind in kinds.items()
    ]


def add_techniques() -> None:
    """One command for each technique of the registry: convscope TECHNIQUE IMAGE LAYER --net …"""
    from convscope.registry import TECHNIQUES

    def opened(values: dict[str, Any]) -> tuple[Any, ...]:
        return (open_net(values["net"], values["weights"], values["pretrained"], values["device"]),)

    own = net_parameters("efficientnet-lite0")
    for name, technique in TECHNIQUES.items():
        app.command(command_of(technique, 1, own, opened, print_table), name=name.replace("_", "-"))


def add_studies() -> None:
    """One command for each study of the registry: convscope STUDY ATLAS …, with --net where it asks the network too."""
    from convscope.registry import STUDIES
    from convscope.store.opened import AtlasStore

    def opened(values: dict[str, Any]) -> tuple[Any, ...]:
        return (AtlasStore(values["atlas"]),)

    def with_net(values: dict[str, Any]) -> tuple[Any, ...]:
        store = AtlasStore(values["atlas"])
        net = open_net(values["net"], values["weights"], values["pretrained"], values["device"])
        return store, net

    atlas = inspect.Parameter("atlas", inspect.Parameter.POSITIONAL_ONLY, annotation=Path)
    for name, study in STUDIES.items():
        if "net" in inspect.signature(study).parameters:
            command = command_of(study, 2, [atlas, *net_parameters("efficientnet-lite0")], with_net, print_table)
        else:
            command = command_of(study, 1, [atlas], opened, print_table)
        app.command(command, name=name)


@app.command
def layers(
    *,
    net: NetName = "efficientnet-lite0",
    weights: Weights = None,
    pretrained: Random = True,
    device: DeviceName = None,
) -> None:
    """List the layers of a net: name, kind, shape, receptive field, and what else they are called."""
    found = open_net(net, weights, pretrained, device)
    others: dict[str, list[str]] = {}
    for layer in found.layers:
        others.setdefault(layer.alias_of or layer.name, []).append(layer.name)
    lines = [["layer", "kind", "shape", "receptive field", "rectified", "also called"]]
    for layer in found.layers:
        if layer.alias_of is None:
            field = layer.receptive
            seen = "whole image" if field.size is None else f"{field.size[0]}×{field.size[1]}"
            seen += f" every {field.stride[0]:g}" if field.stride else ""
            row = [layer.name, layer.kind, "×".join(map(str, layer.shape)), seen, "yes" if layer.rectified else ""]
            lines.append([*row, ", ".join(others[layer.name][1:])])
    print_table(lines)


@app.command
def demo(
    *,
    out: Annotated[Path, Parameter(help="the folder for photos, atlas and report")] = Path("demo"),
    net: NetName = "efficientnet-lite0",
    limit: Annotated[int | None, Parameter(help="so many of the images only")] = None,
    serve: Annotated[
        bool | None, Parameter(negative="--no-serve", help="show the page at the end; default: where a terminal is")
    ] = None,
    port: Annotated[int | None, Parameter(help="of the page; default: a free one, which is printed")] = None,
    browser: Annotated[bool, Parameter(negative="--no-browser", help="--no-browser opens none")] = True,
    device: DeviceName = None,
) -> None:
    """Photos that installed packages ship → an atlas, a report and the page, with real weights, without a download."""
    from convscope.faces.demo import run_demo

    found = open_net(net, None, True, device)
    with Bar("build") as bar:
        atlas, report, note = run_demo(out, found, limit, bar)
    sys.stdout.write(f"{report}\n")
    if sys.stdout.isatty() if serve is None else serve:
        from convscope.faces.web.live import LiveNet
        from convscope.faces.web.serve import serve as run_server

        run_server(atlas, LiveNet(atlas, lambda: found), note=note, port=port, browser=browser, say=words)
    else:
        words(f"next: convscope serve {out / 'atlas'}")


def words(text: str) -> None:
    """A sentence on stderr."""
    Console(file=sys.stderr, highlight=False).print(text, markup=False, soft_wrap=True)


def open_net(name: str, weights: Path | None, pretrained: bool, device: str | None) -> "Net":
    """The net of the command line, with a word on stderr since the first look takes seconds."""
    console = Console(file=sys.stderr, highlight=False)
    with console.status(f"reading the graph of {name}"):
        from convscope.models.load import load

        return load(name, weights=weights, pretrained=pretrained, device=device)


def print_table(lines: Sequence[Sequence[str]]) -> None:
    """Aligned columns on a terminal; tab-separated where another program reads."""
    if not sys.stdout.isatty():
        sys.stdout.writelines("\t".join(line) + "\n" for line in lines)
        return
    table = Table(*lines[0], box=None, pad_edge=False)
    for line in lines[1:]:
        table.add_row(*map(Text, line))  # names of files are no markup
    Console(highlight=False).print(table)


add_techniques()
add_studies()


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point: every problem in plain words with its hint, never a stack trace for what a user did."""
    console = Console(file=sys.stderr, highlight=False)

    def fail(text: str, code: int) -> None:
        console.print(text, markup=False, soft_wrap=True)
        raise SystemExit(code)

    if "" not in sys.path:
        sys.path.insert(0, "")  # a factory in this folder is found, as with python -m
    options: dict[str, Any] = {"exit_on_error": False, "print_error": False}
    try:
        app(arguments, **options)
    except CycloptsError as error:
        fail(f"error: {error}\n\nhint: convscope --help, or convscope COMMAND --help", 2)
    except BuildStopped as stop:
        fail(str(stop), 130)
    except ConvscopeError as error:
        fail(f"error: {error}", 2 if isinstance(error, WRONG_USE) else 1)
    except OSError as error:
        fail(f"error: {error.strerror or error}: {error.filename or ''}", 1)
    except KeyboardInterrupt:
        fail("stopped", 130)
