"""make bench: prints the numbers that the docs quote."""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.building import learning
from benchmarks.decoding import decoding
from benchmarks.gradient import signalling
from benchmarks.map import maps
from benchmarks.occlusion import hiding
from benchmarks.opening import opening
from benchmarks.page import showing
from benchmarks.timing import interleaved
from benchmarks.truth import truth


def process(code: str) -> None:
    """A fresh Python that runs some code."""
    subprocess.run([sys.executable, "-c", code], check=True)


def importing() -> None:
    """What `import convscope` costs beyond `import torch`."""
    uses = "import torch, convscope; [getattr(convscope, name) for name in convscope.__all__]"
    codes = {"torch": "import torch", "ours": "import torch, convscope", "used": uses}
    found = interleaved({name: lambda code=code: process(code) for name, code in codes.items()})
    print(f"import convscope, beyond import torch: {found['ours'] - found['torch']:.2f} s")
    print(f"the same with every public name used: {found['used'] - found['torch']:.2f} s")


def forward(batch: int) -> None:
    """The exported graph against the module itself, and outputs of many layers against forward hooks."""
    import convscope

    net = convscope.load("efficientnet-lite0")
    module, names = net._module.eval(), list(net.watched_layers)
    x = torch.rand(batch, 3, *net.size)
    normal = net.preprocess.normalise(x)

    def hooks() -> None:
        kept: list[torch.Tensor] = []
        parts = [module.get_submodule(name) for name in names]
        handles = [part.register_forward_hook(lambda *seen: kept.append(seen[2])) for part in parts]
        module(normal)
        for handle in handles:
            handle.remove()

    with torch.no_grad():
        found = interleaved(
            {
                "module": lambda: module(normal),
                "scores": lambda: net.scores(x),
                "hooks": hooks,
                "outputs": lambda: net.outputs(x, names),
            }
        )
    print(f"net.scores ÷ the module itself: {found['scores'] / found['module']:.2f} of its time")
    print(f"net.outputs of {len(names)} layers ÷ forward hooks: {found['outputs'] / found['hooks']:.2f} of their time")


def building(batch: int) -> None:
    """A build, from files to atlas, against the bare network on ready tensors."""
    import convscope
    from convscope.faces.demo import cut_regions

    net = convscope.load("efficientnet-lite0")
    module = net._module.eval()
    with tempfile.TemporaryDirectory() as folder:
        cut_regions(Path(folder) / "regions")
        count = 320
        start = time.perf_counter()
        convscope.build(Path(folder) / "regions", net, Path(folder) / "atlas", limit=count)
        build = time.perf_counter() - start
    x = torch.rand(batch, 3, *net.size)
    with torch.no_grad():
        bare = interleaved({"bare": lambda: module(x)})["bare"] * count / batch
    print(f"a build of {count} photos, files to atlas: {count / build:.1f} images/s")
    print(f"the bare network on ready tensors: {count / bare:.1f} images/s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=16)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch threads: {options.threads}; batches of {options.batch}, EfficientNet-Lite0 at 224 px")
    importing()
    opening()
    forward(options.batch)
    building(options.batch)
    decoding()
    learning()
    hiding()
    signalling()
    truth()
    maps()
    showing(5_000)  # of 50,000, which are made in minutes, it is `python -m benchmarks.page`
