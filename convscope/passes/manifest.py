"""What an atlas says of the network it was built with: data only, enough to show everything without it."""

from typing import Any

from convscope.models.net import Net
from convscope.models.wiring import wiring


def describe_net(net: Net) -> dict[str, Any]:
    """Name, preprocessing, labels and layers as JSON; nothing in it is ever run."""
    preprocess = net.preprocess
    layers: dict[str, dict[str, Any]] = {}
    inputs = wiring(net.graph, net.layers)
    for layer in net.layers:
        if layer.alias_of is not None:
            layers[layer.alias_of]["aliases"].append(layer.name)
            continue
        receptive = layer.receptive
        layers[layer.name] = {
            "name": layer.name,
            "aliases": [],
            "kind": layer.kind,
            "shape": list(layer.shape),
            "inputs": list(inputs[layer.name]),
            "rectified": layer.rectified,
            "receptive": {
                "status": receptive.status,
                "size": receptive.size and list(receptive.size),
                "stride": receptive.stride and list(receptive.stride),
                "offset": receptive.offset and list(receptive.offset),
            },
        }
    return {
        "name": net.name,
        "fingerprint": net.fingerprint,
        "classes": net.classes,
        "labels": net.labels,
        "size": list(net.size),
        "resize": preprocess.resize,
        "interpolation": preprocess.interpolation,
        "mean": list(preprocess.mean),
        "std": list(preprocess.std),
        "output": net.output_layer.name,
        "suggested_layers": list(net.suggested_layers),
        "layers": list(layers.values()),
    }
