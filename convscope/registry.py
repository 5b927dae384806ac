"""The one explicit list of techniques and studies: what CLI, page and docs offer."""

from collections.abc import Callable, Mapping
from typing import Any

from convscope.studies.exemplars import exemplars
from convscope.studies.health import health
from convscope.studies.vitals import vitals

TECHNIQUES: Mapping[str, Callable[..., Any]] = {}
STUDIES: Mapping[str, Callable[..., Any]] = {"exemplars": exemplars, "vitals": vitals, "health": health}
