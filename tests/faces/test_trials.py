"""The techniques in a report: which images, what is recorded, the same bytes, and the wrong network."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from convscope.atlas import Atlas
from convscope.errors import BadOption, BuildStopped, NoRule
from convscope.faces import trials
from convscope.faces.report import write_report
from convscope.faces.trials import choose_images
from convscope.models import randomised
from convscope.watch import Watch
from tests.faces.test_report import data_of, file_of
from tests.tiny_atlas import tiny_net


def table(*rows: tuple[str | None, int, float | None]) -> pa.Table:
    """As much of an atlas's images as the choice looks at."""
    names = ("label", "predicted_class", "probability")
    return pa.table({name: [row[at] for row in rows] for at, name in enumerate(names)})


@pytest.mark.parametrize(
    ("rows", "count", "chosen"),
    [
        ([("a", 0, 0.5), ("a", 1, 0.9), ("b", 2, 0.1), ("c", 1, 0.8)], 2, [1, 2]),  # another label and another class
        ([("a", 0, 0.5), ("a", 1, 0.9), ("b", 2, 0.1), ("c", 1, 0.8)], 3, [1, 2, 3]),  # then the surest of the rest
        ([(None, 0, 0.5), (None, 0, 0.9), (None, 3, 0.2)], 2, [1, 2]),  # no labels: by class alone
        ([("a", 0, 0.5), ("b", 1, 0.5), ("c", 2, 0.5)], 2, [0, 1]),  # the first of equals
        ([("a", 0, None)], 4, [0]),
    ],
)
def test_which_images(rows: list[Any], count: int, chosen: list[int]) -> None:
    assert choose_images(table(*rows), count) == chosen


def test_what_is_in_the_file(atlas: Atlas, tmp_path: Path) -> None:
    net = tiny_net()
    first = write_report(atlas, tmp_path / "a.html", net=net, trials=2)
    data = data_of(first.read_text("utf-8"))
    overview = data["answers"]["api/atlas"]
    assert len(overview["trials"]) == 2
    assert [form["name"] for form in overview["techniques"]] == ["gradient_methods", "sanity_check"]
    for row, jobs in overview["trials"].items():
        assert any(image["row"] == int(row) for image in data["answers"]["api/images"])
        for job, technique in zip(jobs, ("gradient_methods", "sanity_check"), strict=True):
            told = data["answers"][f"api/jobs/{job}"]
            assert (told["technique"], told["state"], told["seconds"]) == (technique, "done", 0.0)
            for panel in told["panels"]:
                for path in (panel["picture"], f"{panel['picture']}?dark=1"):
                    assert file_of(data, path)[8:12] == b"WEBP"
    again = write_report(atlas, tmp_path / "b.html", net=tiny_net(), trials=2)
    assert first.read_bytes() == again.read_bytes()


def test_another_network_is_refused_and_nothing_is_written(atlas: Atlas, tmp_path: Path) -> None:
    net = tiny_net()
    other = net.with_weights({name: value * 2 for name, value in net.weights.items()})
    with pytest.raises(BadOption, match="is not the network of this atlas"):
        write_report(atlas, tmp_path / "report.html", net=other)
    assert not list(tmp_path.iterdir())


class Impatient(Watch):
    def stopped(self) -> bool:
        return True


def test_it_can_be_stopped(atlas: Atlas, tmp_path: Path) -> None:
    with pytest.raises(BuildStopped):
        write_report(atlas, tmp_path / "report.html", net=tiny_net(), watch=Impatient())
    assert not list(tmp_path.iterdir())


def test_a_technique_that_is_interrupted_ends_the_report(
    atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = randomised.randomised

    def interrupting(*given: Any) -> Any:
        if len(given[1]) > 1:
            raise KeyboardInterrupt  # in the second random network: the sanity check then gives what it has
        return real(*given)

    monkeypatch.setattr("convscope.techniques.sanity.randomised", interrupting)
    with pytest.raises((BuildStopped, KeyboardInterrupt)):
        write_report(atlas, tmp_path / "report.html", net=tiny_net())
    assert not list(tmp_path.iterdir())


def test_a_refusal_is_recorded_as_the_page_would_tell_it(
    atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise NoRule("it has no rule", "take another")

    monkeypatch.setitem(trials.TECHNIQUES, "sanity_check", refusing)  # type: ignore[arg-type]
    data = data_of(write_report(atlas, tmp_path / "a.html", net=tiny_net(), trials=1).read_text("utf-8"))
    (jobs,) = data["answers"]["api/atlas"]["trials"].values()
    told = data["answers"][f"api/jobs/{jobs[1]}"]
    assert (told["state"], told["problem"], told["hint"], told["panels"]) == (
        "failed",
        "it has no rule",
        "take another",
        [],
    )


def test_without_trials_it_is_the_same_as_without_a_network(atlas: Atlas, tmp_path: Path) -> None:
    files = [
        write_report(atlas, tmp_path / "a.html"),
        write_report(atlas, tmp_path / "b.html", net=tiny_net(), trials=0),
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_fewer_than_none_is_refused_and_trials_count_within_the_budget(atlas: Atlas, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="trials is -1"):
        write_report(atlas, tmp_path / "report.html", net=tiny_net(), trials=-1)
    data = data_of(write_report(atlas, tmp_path / "a.html", net=tiny_net(), trials=2, budget=3).read_text("utf-8"))
    alone = data_of(write_report(atlas, tmp_path / "b.html", budget=1).read_text("utf-8"))
    assert len(data["answers"]["api/images"]) <= len(alone["answers"]["api/images"]) + 2
