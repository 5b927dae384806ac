"""Points in many dimensions as maps and grids: arrays alone, no network, no files."""
