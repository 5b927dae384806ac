"""Imported by the server that child processes are forked from: what each of them would have to wait for."""

import pyarrow.parquet  # noqa: F401

import convscope.atlas  # noqa: F401
from tests.builds import digits_net

digits_net()
