"""What opening a network takes: the exported graph rewritten, against torch's own second trace of it."""

from collections.abc import Callable
from unittest.mock import patch

import timm
import torch
import torchvision
from torch import nn

import convscope
from benchmarks.timing import interleaved

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "AlexNet": torchvision.models.alexnet,
    "ResNet-50": torchvision.models.resnet50,
    "EfficientNet-Lite0": lambda: timm.create_model("tf_efficientnet_lite0"),
}


def opening(runs: int = 3) -> None:
    """Prints the seconds of both ways, in turns, and their ratio."""
    for name, make in NETWORKS.items():
        module = make().eval()

        def open_it(module: nn.Module = module) -> None:
            convscope.Net(module)

        def trace_twice(module: nn.Module = module) -> None:
            with patch("convscope.models.graph.rewrite", lambda *_: False):
                convscope.Net(module)

        found = interleaved({"ours": open_it, "twice": trace_twice}, runs)
        ours, twice = found["ours"], found["twice"]
        print(f"opening {name}: {ours:.1f} s, traced twice {twice:.1f} s: {twice / ours:.1f} times", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    opening()
