"""Where shards are worked on: one verb, `map`; the same function runs in this process or on a cluster."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

Shard = TypeVar("Shard")
Answer = TypeVar("Answer")


@runtime_checkable
class Engine(Protocol):
    """Something that works on shards in any order, and hands over each answer as it is ready."""

    def map(self, function: Callable[[Shard], Answer], shards: Iterable[Shard]) -> Iterator[tuple[Shard, Answer]]:
        """(shard, answer) for each shard, in any order."""
        ...


class Local:
    """One shard after the other in this process; torch's own threads fill the cores."""

    def map(self, function: Callable[[Shard], Answer], shards: Iterable[Shard]) -> Iterator[tuple[Shard, Answer]]:
        """(shard, answer) in the order of the shards."""
        for shard in shards:
            yield shard, function(shard)
