"""The slow twins of the folds: plain Python over lists, straight from the definition."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.laws.test_folds import FOLDS, batch_of, images


@settings(max_examples=60, deadline=None)
@given(data=images())
def test_strongest_equals_a_plain_sort(data: tuple) -> None:
    """The slow twin: every unit, all images in a list, sorted; each content once, the lowest row of it."""
    maps, scores, contents = data
    fold = FOLDS[0]
    found = fold.finish(fold.add(fold.none(), batch_of(list(range(len(contents))), contents, maps, scores)))
    for unit in range(8):
        table = []
        for row in range(len(contents)):
            if contents[row] in contents[:row]:
                continue
            values = maps[row, unit] if unit < 3 else scores[row, unit - 3].reshape(1, 1)
            best = max((float(values[r, c]), -r, -c) for r in range(values.shape[0]) for c in range(values.shape[1]))
            table.append((-best[0], row, (-best[1], -best[2])))
        table.sort()
        expected = table[:4]
        assert found["rows"][unit].tolist()[: len(expected)] == [row for _, row, _ in expected]
        assert found["values"][unit].tolist()[: len(expected)] == [-value for value, _, _ in expected]
        assert [tuple(place) for place in found["places"][unit].tolist()][: len(expected)] == [
            place for _, _, place in expected
        ]
        assert (found["rows"][unit][len(expected) :] == -1).all()


def test_predictions_equal_a_plain_sort() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(6, 5)).astype(np.float32)
    fold = FOLDS[1]
    found = fold.finish(
        fold.add(
            fold.none(),
            batch_of([0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6], np.zeros((6, 3, 1, 1), np.float32), scores),
        )
    )
    for row in range(6):
        exponentials = [float(np.exp(np.float64(s))) for s in scores[row]]
        probabilities = [e / sum(exponentials) for e in exponentials]
        order = sorted(range(5), key=lambda c: -probabilities[c])
        assert found["classes"][row].tolist() == order
        assert found["probabilities"][row].tolist() == pytest.approx([probabilities[c] for c in order], rel=1e-6)
        target = row % 6 - 1
        if target < 0:
            assert found["correct"][row] == -1
            assert np.isnan(found["target_probabilities"][row])
        else:
            assert found["correct"][row] == int(order[0] == target)
            assert found["target_probabilities"][row] == pytest.approx(probabilities[target], rel=1e-6)
