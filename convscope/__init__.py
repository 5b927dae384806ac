"""Convscope, a microscope for ConvNets: see what a network has learned.

net = convscope.load("efficientnet-lite0")
atlas = convscope.build("photos", net, out="atlas")
atlas.exemplars("class:pomeranian").save("pomeranian.png")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convscope.arrays import Box as Box
    from convscope.arrays import Place as Place
    from convscope.atlas import Atlas as Atlas
    from convscope.atlas import build as build
    from convscope.atlas import open_atlas as open_atlas
    from convscope.errors import ConvscopeError as ConvscopeError
    from convscope.models.address import Address as Address
    from convscope.models.load import load as load
    from convscope.models.net import Net as Net
    from convscope.models.prepared import Prepared as Prepared
    from convscope.render.draw import draw as draw
    from convscope.techniques.activations import activations as activations
    from convscope.techniques.comparison import gradient_methods as gradient_methods
    from convscope.techniques.filters import filters as filters
    from convscope.techniques.gradient import deconvnet as deconvnet
    from convscope.techniques.gradient import guided_backprop as guided_backprop
    from convscope.techniques.gradient import saliency as saliency
    from convscope.techniques.localisation import localise as localise
    from convscope.techniques.occlusion import occlusion as occlusion
    from convscope.techniques.sanity import sanity_check as sanity_check
    from convscope.techniques.synthesis import class_model as class_model
    from convscope.watch import Watch as Watch

__version__ = "0.1.0"
# name → module; each is imported when it is first used, so that `import convscope` costs little
PUBLIC = {
    "Address": "models.address", "Atlas": "atlas", "Box": "arrays", "ConvscopeError": "errors", "Net": "models.net",
    "Place": "arrays", "Prepared": "models.prepared", "Watch": "watch", "build": "atlas", "draw": "render.draw",
    "activations": "techniques.activations", "filters": "techniques.filters", "load": "models.load",
    "occlusion": "techniques.occlusion", "open_atlas": "atlas", "saliency": "techniques.gradient",
    "deconvnet": "techniques.gradient", "guided_backprop": "techniques.gradient", "class_model": "techniques.synthesis",
    "gradient_methods": "techniques.comparison", "sanity_check": "techniques.sanity",
    "localise": "techniques.localisation",
}  # fmt: skip
__all__ = ["__version__", *PUBLIC]


def __getattr__(name: str) -> Any:
    if name in PUBLIC:
        return getattr(import_module(f"convscope.{PUBLIC[name]}"), name)
    if name in (error := import_module("convscope.errors")).__dict__:
        return getattr(error, name)
    raise AttributeError(f"module 'convscope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
