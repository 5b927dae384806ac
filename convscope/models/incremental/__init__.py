"""Exact incremental inference: of every layer only what an occluder can change is computed anew."""
