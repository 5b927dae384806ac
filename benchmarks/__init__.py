"""Measurements: ratios against a named rival in one run, never bare seconds where a ratio can be had."""
