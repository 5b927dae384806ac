"""Shards merged in their order while a build runs, so that neither memory nor disk grows with the number of shards."""

from collections.abc import Mapping, Sequence

from convscope.passes.fold import Fold, State
from convscope.store.files import Arrays
from convscope.store.workspace import Workspace

EVERY = 16  # shards between two savings: until then their states are on the disk one by one


class Merger:
    """The folds' states after the first so many shards; folds with a row per image stay in their shards."""

    def __init__(self, workspace: Workspace, folds: Sequence[Fold]) -> None:
        self.workspace = workspace
        self.folds = {fold.name: fold for fold in folds if not fold.by_image}
        self.count, kept = workspace.merged()
        self.saved = self.count
        self.states: dict[str, State] = kept or {name: fold.none() for name, fold in self.folds.items()}

    def advance(self, fresh: Mapping[int, Mapping[str, Arrays]] | None = None) -> None:
        """Merges every shard that is there and comes next; `fresh` are states that need not be read again."""
        present = self.workspace.finished()
        while self.count in present:
            own = (fresh or {}).get(self.count)
            for name, fold in self.folds.items():
                state = dict(own[name]) if own else self.workspace.state(self.count, name)
                fold.absorb(self.states[name], state)
            self.count += 1
            if self.count - self.saved >= EVERY:
                self.workspace.keep_merged(self.count, dict(self.states))
                self.saved = self.count
