"""Tests of the tables, plots and pictures on the page of a sweep."""

import numpy as np
import pytest

from experiments.pages import page, sweep_layout, sweep_page, sweep_plots, sweep_samples, sweep_tables
from experiments.training.sweep_results import Run


def run_of(seed, score, **labels):
    return Run(labels, seed, 0, {"w1": [None, score]}, [5, 10], np.zeros((4, 2)))


def rows_of(table):
    return {row.label: row.entries for row in table.rows}


def pictures_of(lines):
    return [picture.name for line in lines for picture in line.pictures]


def test_a_metric_of_no_run_has_no_curves():
    layout = sweep_layout.arrange([run_of(0, 1.0, objective=name) for name in "ab"], "w1")
    assert sweep_plots.curves(layout, "modes") is None


def test_the_page_takes_the_best_number_by_its_mean():
    runs = [
        run_of(seed, value, objective=name, rate=rate)
        for name, rate, values in (
            ("a", 0.1, (1, 3)),
            ("a", 0.2, (2, 4)),
            ("b", 0.1, (5, 5)),
            ("b", 0.2, (4, 4)),
        )
        for seed, value in enumerate(values)
    ]
    layout = sweep_layout.arrange(runs, "w1")
    assert (layout.row, layout.column, layout.rows, layout.columns) == ("objective", None, ["a", "b"], [""])
    assert layout.cells["a", ""].tuned == {"rate": 0.1}
    assert layout.cells["b", ""].tuned == {"rate": 0.2}
    table = sweep_tables.score_table(layout, "w1", {"": {"w1": 0.5}})
    assert table.head == ["objective", "w1"]
    rows = rows_of(table)
    assert rows["a"] == [page.Entry("2", ["1 to 3", "rate 0.1"], best=True)]
    assert rows["b"] == [page.Entry("4", ["4 to 4", "Δ +2 (+1 to +3)", "rate 0.2"])]
    assert table.rows[-1] == page.Row("real points", [page.Entry("0.5")], reference=True)


def test_differences_are_from_the_row_none():
    runs = [
        run_of(seed, value + seed, objective=name)
        for name, value in (("none", 2.0), ("a", 1.0))
        for seed in range(2)
    ]
    rows = rows_of(sweep_tables.score_table(sweep_layout.arrange(runs, "w1"), "w1", {}))
    assert rows["none"] == [page.Entry("2.5", ["2 to 3"])]
    assert rows["a"] == [page.Entry("1.5", ["1 to 2", "Δ -1 (-1 to -1)"], best=True)]


def test_labels_of_any_kind_are_shown():
    hidden = [run_of(0, 1.0, hidden=(8, 8)), run_of(0, 2.0, hidden=(8,))]
    assert sweep_layout.arrange(hidden, "w1").rows == ["(8, 8)", "(8,)"]
    runs = [
        run_of(0, score, loss=loss, data={"name": "ring"}, norm=norm)
        for loss in ("a", "b")
        for score, norm in ((1.0, "layer"), (2.0, "none"))
    ]
    layout = sweep_layout.arrange(runs, "w1")
    assert (layout.rows, layout.columns) == (["a", "b"], ["{'name': 'ring'}"])
    (entry,) = rows_of(sweep_tables.score_table(layout, "w1", {}))["a"]
    assert "norm layer" in entry.notes


def test_the_critics_loss_against_the_distance():
    distances = [3.0, 2.0, 1.5, 1.0]
    falls = Run(
        {"a": "x"},
        0,
        0,
        {"w1": distances, "critic_loss": [-3.0, -2.5, -1.0, 0.0]},
        [1, 2, 3, 4],
        np.zeros(1),
    )
    assert sweep_tables.correlation(falls, "w1") == -1.0
    still = falls._replace(curves={"w1": distances, "critic_loss": [1.0, 1.0, 1.0, 1.0]})
    assert np.isnan(sweep_tables.correlation(still, "w1"))
    mixed = falls._replace(curves={"w1": distances, "critic_loss": [1.0, 3.0, 2.0, None]})
    assert sweep_tables.correlation(mixed, "w1") == pytest.approx(-0.5)  # 1 − 6 (4 + 1 + 1) / (3 · 8)
    table = sweep_tables.signal_table(sweep_layout.arrange([falls, mixed._replace(seed=1)], "w1"), "w1")
    assert rows_of(table)["x"] == [page.Entry("-0.75", ["-1 to -0.5"])]


def test_rows_compare_in_columns_of_one_problem_only():
    runs = [
        run_of(seed, score, objective=row, on=column)._replace(problem=problem)
        for row, column, problem, score in (
            ("a", "same", "ring", 1.0),
            ("b", "same", "ring", 2.0),
            ("a", "mixed", "ring", 1.0),
            ("b", "mixed", "grid", 2.0),
        )
        for seed in range(2)
    ]
    layout = sweep_layout.arrange(runs, "w1")
    table = sweep_tables.score_table(layout, "w1", {"ring": {"w1": 0.5}, "grid": {"w1": 0.25}})
    assert table.head == ["objective", "same", "mixed"]
    rows = rows_of(table)
    assert rows["a"] == [
        page.Entry("1", ["1 to 1"], best=True),
        page.Entry("1", ["1 to 1", "real points 0.5"]),
    ]
    assert rows["b"] == [
        page.Entry("2", ["2 to 2", "Δ +1 (+1 to +1)"]),
        page.Entry("2", ["2 to 2", "real points 0.25"]),
    ]
    assert rows["real points"] == [page.Entry("0.5"), page.Entry("–")]
    assert "over 2 blocks" in sweep_plots.ranking(layout, "w1").caption


def test_every_run_is_drawn_as_far_as_there_is_room(monkeypatch):
    runs = [run_of(seed, rate, objective="a", rate=rate) for rate in (1.0, 2.0) for seed in range(40)]
    layout = sweep_layout.arrange(runs, "w1")
    real = {"": np.eye(2)}
    (panel,) = sweep_samples.panels(layout, real)
    assert pictures_of(panel.lines) == ["real points", *(f"a, seed {seed}" for seed in range(32))]
    assert pictures_of(panel.folded) == [
        *(f"a, further seeds, seed {seed}" for seed in range(32, 40)),
        *(f"a, rate 2, seed {seed}" for seed in range(40)),
    ]
    assert [len(line.pictures) + line.blanks for line in panel.folded] == [32, 32, 32]
    assert panel.num_left == 0
    monkeypatch.setattr(sweep_samples, "MAX_FOLDED", 10)
    (panel,) = sweep_samples.panels(layout, real)
    assert len(pictures_of(panel.lines)) == 1 + 32
    assert len(pictures_of(panel.folded)) == 8
    assert panel.num_left == 40


@pytest.mark.parametrize(("room", "left"), [(10**6, False), (10, True)])
def test_runs_that_the_tables_do_not_show_are_folded_away(room, left, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_samples, "MAX_FOLDED", room)
    runs = [run_of(seed, rate, objective="a", rate=rate) for rate in (1.0, 2.0) for seed in range(33)]
    sweep_page.write(
        tmp_path / "page.html",
        title="sweep",
        runs=runs,
        real={"": np.eye(2)},
        floors={},
        shown=(),
        costs=page.Table((), ()),
        about="",
    )
    text = (tmp_path / "page.html").read_text()
    opened, folded = text.split("<details>")
    assert "further seeds" not in opened
    assert "further seeds" in folded
    assert ("33 more runs are not shown" in folded) == left
    assert text.count("<img ") == 1 + 32 + (1 if left else 1 + 33)


def test_numbers_alone_are_rows():
    runs = [run_of(0, 1.0, rate=rate, b1=0.5) for rate in (0.1, 0.2)]
    assert sweep_layout.arrange(runs, "w1").rows == ["0.1, 0.5", "0.2, 0.5"]


def test_panels_are_dark_where_points_are():
    limits = sweep_samples.limits_of(np.array([[-1.0, -1.0], [1.0, 1.0]]))
    points = np.array([[-1.0, 1.0], [np.nan, 0.0], [50.0, 0.0]])
    picture = sweep_samples.scatter_panel(points, limits, side=10)
    assert (picture < 255).sum() == 1
    assert (picture[:2, :2] < 255).any()  # the upper left corner
