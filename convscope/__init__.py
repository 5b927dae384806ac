"""Convscope, a microscope for ConvNets."""
