"""What each family of operators does to receptive fields; importing the modules fills the register."""

from convscope.models.rules import mixing, pointwise, shapes, windows
from convscope.models.rules.call import RULES

__all__ = ["RULES", "mixing", "pointwise", "shapes", "windows"]
