"""Checks the types and shapes of every call while tests run; whole numbers count as floats (PEP 484)."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
