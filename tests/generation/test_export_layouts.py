"""What the layouts read and refuse."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from pixelflow.generation.exports.dpg import DPGBench
from pixelflow.generation.exports.geneval import GenEval
from pixelflow.generation.exports.layout import ExportTask
from pixelflow.generation.exports.t2i_compbench import T2ICompBench
from pixelflow.system.errors import DataError, MissingInputError


def test_geneval_reads_its_metadata(tmp_path):
    line = {"tag": "counting", "include": [{"class": "bench", "count": 2}], "prompt": "a photo of two bänches"}
    (tmp_path / "evaluation_metadata.jsonl").write_text(f"{json.dumps(line)}\r\n\n{json.dumps(line)}\n")
    first, second = GenEval().read(tmp_path / "evaluation_metadata.jsonl")
    assert (first.number, second.number, first.prompt) == (0, 1, "a photo of two bänches")
    assert json.loads(first.details) == line
    assert GenEval().paths(second)[:2] == ["00001/metadata.jsonl", "00001/samples/0000.png"]


@pytest.mark.parametrize("line", ["a plain prompt", '{"text": "a"}', "[]", '{"prompt": 3}', "[" * 100_000])
def test_geneval_names_a_bad_line(tmp_path, line):
    (tmp_path / "prompts").write_text(f'{{"prompt": "a"}}\n\n{line}\n')
    with pytest.raises(DataError, match=r"prompts:3: is no JSON object with a 'prompt'"):
        GenEval().read(tmp_path / "prompts")


def test_dpg_reads_a_folder_in_the_order_of_names(tmp_path):
    for name, text in (("partiprompts10", "one\r\n two "), ("COCOval2014", "a cat\n"), ("notes", "no prompt")):
        (tmp_path / f"{name}{'.md' if name == 'notes' else '.txt'}").write_text(text)
    assert DPGBench().read(tmp_path) == [
        ExportTask(0, "a cat", "COCOval2014"),
        ExportTask(1, "one two", "partiprompts10"),
    ]


def test_a_dpg_grid_has_its_cells_edge_to_edge_row_by_row():
    pictures = [Image.new("RGB", (8, 8), (40 * index, 0, 0)) for index in range(4)]
    (grid,) = DPGBench().contents(ExportTask(0, "a", "stem"), pictures)
    assert grid.size == (16, 16)
    assert [grid.getpixel(place)[0] for place in ((0, 0), (8, 7), (7, 8), (15, 15))] == [0, 40, 80, 120]


def test_compbench_counts_through_the_category(tmp_path):
    (tmp_path / "color_val.txt").write_bytes(b"a red book.\r\na green, bathroom\r\n\r\n")
    tasks = T2ICompBench().read(tmp_path / "color_val.txt")
    paths = [path for task in tasks for path in T2ICompBench().paths(task)]
    assert (paths[0], paths[9], paths[10]) == (
        "a red book._000000.png",
        "a red book._000009.png",
        "a green, bathroom_000010.png",
    )
    assert len(set(paths)) == 20


@pytest.mark.parametrize(
    ("line", "reason"), [("a cat/dog", "cannot hold '/'"), ("snake_case", "cannot hold '_'"), ("é" * 130, "too long")]
)
def test_compbench_refuses_what_no_file_name_holds(tmp_path, line, reason):
    (tmp_path / "prompts").write_text(f"a cat\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"prompts:2: .*{reason}"):
        T2ICompBench().read(tmp_path / "prompts")


@pytest.mark.parametrize("layout", [GenEval(), DPGBench(), T2ICompBench()])
def test_no_prompts_are_named(tmp_path, layout):
    with pytest.raises(MissingInputError, match="nowhere"):
        layout.read(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "empty.txt").write_bytes(b"\n")
    with pytest.raises(DataError, match="holds no prompt"):
        layout.read(tmp_path / "folder" if isinstance(layout, DPGBench) else tmp_path / "folder" / "empty.txt")
    (tmp_path / "folder" / "empty.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"not UTF-8 text \(byte 3\)"):
        layout.read(tmp_path / "folder" if isinstance(layout, DPGBench) else tmp_path / "folder" / "empty.txt")
