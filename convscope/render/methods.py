"""What the ways back to the pixels are called in pictures, and what each does: one table for all of them."""

from convscope.models.backward import RULES, TITLES, Method

# "gradient", "deconvnet", "guided backprop": as refusals call them, without their articles
NAMES: dict[Method, str] = {
    method: TITLES[rule].removeprefix("the ").removeprefix("a ") for method, rule in RULES.items()
}
PAPERS = {  # by these names
    "gradient": "Simonyan et al. 2014: a signal passes a rectifier where it was active",
    "deconvnet": "Zeiler & Fergus 2014: only what is above 0 passes a rectifier",
    "guided backprop": "Springenberg et al. 2015: only what is above 0 passes a rectifier, only where it was active",
}
