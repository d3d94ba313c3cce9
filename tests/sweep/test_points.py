"""From a sweep file to validated points, and every mistake at its line."""

from __future__ import annotations

import pytest

from pixelflow.sweep.points.points import MOST_POINTS, read_sweep
from pixelflow.system.errors import MissingInputError, SpecError


def points(path):
    return read_sweep(path)[1]


def changes(path):
    return [tuple(point.changes.values()) for point in points(path)]


def test_a_grid_is_every_combination_in_the_files_order(sweep_file):
    path = sweep_file()
    assert changes(path) == [(1, 1.0), (1, 2.0), (2, 1.0), (2, 2.0)]
    specs = [point.spec for point in points(path)]
    assert [spec.sampling.steps for spec in specs] == [1, 1, 2, 2]
    assert [spec.sampling.guidance.scale for spec in specs] == [1.0, 2.0, 1.0, 2.0]
    assert all(spec.image.size == (8, 8) and spec.evaluation.images == 12 for spec in specs), "set counts for all"


def test_zip_pairs_the_axes(sweep_file):
    assert changes(sweep_file("axes: {sampling.steps: [1, 2], seed: [5, 6]}\nmode: zip")) == [(1, 5), (2, 6)]


def test_a_larger_count_and_a_longer_axis_keep_the_random_points(sweep_file):
    text = "axes: {{sampling.steps: [{}], seed: [1, 2, 3]}}\nmode: random\ncount: {}\nseed: {}"
    few, more = (set(changes(sweep_file(text.format("1, 2, 3, 4", count, 0)))) for count in (4, 7))
    assert len(few) == 4
    assert len(more) == 7
    assert few < more
    assert set(changes(sweep_file(text.format("1, 2, 3, 4", 4, 1)))) != few
    all_of_longer = set(changes(sweep_file(text.format("1, 2, 3, 4, 5", 15, 0))))
    assert few < all_of_longer


def test_listed_points_may_change_different_keys(sweep_file):
    path = sweep_file("points:\n  - {}\n  - {sampling.steps: 7}\n  - {cascade.stages: 1, seed: 9}")
    first, second, third = (point.spec for point in points(path))
    assert (first.sampling.steps, second.sampling.steps) == (3, 7)
    assert (third.stages, third.seed) == (1, 9)


def test_a_type_replaces_the_block_wherever_it_stands(sweep_file):
    text = "axes:\n  sampling.guidance.scale: [2.0]\n  sampling.guidance.type: [stagewise, constant]"
    stagewise, constant = (point.spec.sampling.guidance for point in points(sweep_file(text)))
    assert (stagewise.type, stagewise.scale, constant.type, constant.scale) == ("stagewise", 2.0, "constant", 2.0)
    (none,) = points(sweep_file("axes: {sampling.guidance.type: [none]}"))
    assert none.spec.sampling.guidance.type == "none"


def test_an_axis_may_hold_blocks_and_text(sweep_file):
    text = "axes: {sampling.sampler: [heun, {type: dopri5, rtol: 1e-2}], name: ['später: \"a\"', b]}\nmode: zip"
    with pytest.raises(SpecError, match="name: may hold letters"):
        points(sweep_file(text))
    (heun, dopri5) = points(sweep_file("axes: {sampling.sampler: [heun, {type: dopri5, rtol: 1e-2}]}"))
    assert heun.spec.sampling.sampler.type == "heun"
    assert dopri5.spec.sampling.sampler.rtol == 1e-2


def test_skipped_points_are_left_out(sweep_file):
    path = sweep_file("axes: {sampling.steps: [1, 2], seed: [5, 6]}\nskip: [{sampling.steps: 1, seed: 6}, {seed: 5}]")
    assert changes(path) == [(2, 6)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("axes:\n  seed: [1]\n  sampling.stepz: [1, 2]", ":11:3 sampling.stepz: unknown key; did you mean 'steps'?"),
        ("axes:\n  sampler: [heun]", ":10:3 sampler: unknown key; did you mean"),
        (
            "axes:\n  sampling.sampler: [hein]",
            ":10:3 sampling.sampler: no sampler is called 'hein'; did you mean 'heun'?",
        ),
        ("axes:\n  sampling.steps: [3, 0]", ":10:3 sampling.steps: must be at least 1, not 0"),
        ("axes:\n  sampling.steps: [many]", ":10:3 sampling.steps: needs a whole number"),
        ("axes:\n  seed.x: [1]", ":10:3: 'x' lies below"),
        ("axes:\n  seed..x: [1]", ":10:3: write it as"),
        ("points:\n  - {seed: 1}\n  - {sampling.step: 1}", ":11:6 sampling.step: unknown key; did you mean 'steps'?"),
        ("axes: {image.size: [8, 10]}", ":9:8 image.size: height 10 cannot be cut"),
        ("axes: {seed: []}", "at least 1 entries"),
        ("axs: {seed: [1]}", ":9:1 axs: unknown key; did you mean 'axes'?"),
        ("axes: {seed: [1]}\npoints: [{}]", "give exactly one of 'axes', 'points' and 'search'"),
        ("mode: grid", "give exactly one of 'axes', 'points' and 'search'"),
        ("axes: {seed: [1, 2], sampling.steps: [1]}\nmode: zip", ":9:1 axes: mode zip needs as many values"),
        ("axes: {seed: [1, 2]}\nmode: random", ":10:1 mode: mode random needs 'count'"),
        ("axes: {seed: [1, 2]}\ncount: 3", "only mode random"),
        ("axes: {seed: [1, 2]}\nmode: all", "must be 'grid', 'zip' or 'random'"),
        ("axes: {seed: [1, 2]}\nskip: [{sed: 1}]", ":10:9 skip.0.sed: is no axis; did you mean 'seed'?"),
        ("axes: {seed: [1, 2]}\nskip: [{seed: 3}]", ":10:8 skip.0: no point has these values"),
        ("axes: {seed: [1]}\nskip: [{seed: 1}]", ":10:1 skip: leaves no point"),
    ],
)
def test_mistakes_are_named_at_their_line(sweep_file, text, message):
    with pytest.raises(SpecError) as caught:
        read_sweep(sweep_file(text))
    assert message in str(caught.value)
    assert all(line.split(":")[0].endswith("sweep.yaml") for line in str(caught.value).splitlines())


def test_all_points_are_checked_and_each_problem_is_said_once(sweep_file):
    with pytest.raises(SpecError) as caught:
        read_sweep(sweep_file("axes:\n  sampling.steps: [0, -1]\n  seed: [1, -2]"))
    assert [line.split(" ", 1)[1] for line in str(caught.value).splitlines()] == [
        "sampling.steps: must be at least 1, not 0",
        "seed: must be at least 0, not -2",
        "sampling.steps: must be at least 1, not -1",
    ]


def test_too_many_points_are_refused_before_they_are_made(sweep_file):
    axes = "\n".join(f"  {key}: [{', '.join(map(str, range(1, 200)))}]" for key in ("seed", "sampling.steps"))
    with pytest.raises(SpecError, match=f"39601 points; at most {MOST_POINTS}"):
        read_sweep(sweep_file(f"axes:\n{axes}"))


def test_a_mistake_in_the_base_is_the_bases(sweep_file, tmp_path):
    path = sweep_file()
    base = tmp_path / "tiny.yaml"
    base.write_text(base.read_text().replace("depth", "depht"))
    with pytest.raises(SpecError, match=r"tiny\.yaml:7:.*depht"):
        read_sweep(path)


@pytest.mark.parametrize(("before", "after"), [("base: tiny.yaml", "base: tini.yaml"), ("name: quick", "name: cells")])
def test_a_head_that_cannot_be(sweep_file, before, after):
    path = sweep_file()
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises((MissingInputError, SpecError), match=r"did you mean|choose another"):
        read_sweep(path)
