"""The one explicit list of techniques and studies: what CLI, page and docs offer."""

from collections.abc import Callable, Mapping
from typing import Any

from convscope.studies.exemplars import exemplars

TECHNIQUES: Mapping[str, Callable[..., Any]] = {}
STUDIES: Mapping[str, Callable[..., Any]] = {"exemplars": exemplars}
