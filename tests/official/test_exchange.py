"""Import and export of the release's folders; refusals of what is broken, foreign or hostile."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor

import pixelflow
from pixelflow.core.assembly import build_model
from pixelflow.official.config import read_config, spec_of
from pixelflow.official.exchange import export_release, import_release
from pixelflow.official.weights import name_table, to_official
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import (
    CannotWriteError,
    DataError,
    MissingInputError,
    PixelflowError,
    SpecError,
    UsageError,
)

NETWORK: dict[str, Any] = {
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 3,
    "out_channels": 3,
    "depth": 2,
    "num_classes": 10,
    "patch_size": 2,
    "attention_bias": True,
}
SCHEDULER: dict[str, Any] = {"num_train_timesteps": 1000, "num_stages": 2, "pyramid_shift": False}


def write_config(folder: Path, network: dict[str, Any] | None = None, scheduler: dict[str, Any] | None = None) -> None:
    config = {
        "model": {"target": "pixelflow.model.PixelFlowModel", "params": NETWORK | (network or {})},
        "scheduler": SCHEDULER | (scheduler or {}),
        "train": {"lr": 1e-4, "epochs": 10},
        "data": {"root": "/datasets/imagenet/train", "resolution": 16},
    }
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def random_state(folder: Path, dtype: torch.dtype = torch.float32, seed: int = 0) -> OrderedDict[str, Tensor]:
    """Random weights under the release's names for the config in a folder."""
    config = read_config(folder / "config.yaml")
    model, network = build_model(spec_of(config, "any", None)), config.network
    generator = torch.Generator().manual_seed(seed)
    ours = {name: torch.randn(t.shape, generator=generator).to(dtype) for name, t in model.state_dict().items()}
    has_text, has_labels = network.cross_attention_dim is not None, network.num_classes > 0
    table = name_table(network.depth, network.patch_size, has_text=has_text, has_labels=has_labels)
    return OrderedDict(to_official(ours, table, network.patch_size))


def publish(folder: Path, network: dict[str, Any] | None = None, scheduler: dict[str, Any] | None = None) -> Path:
    """Write a folder as the authors do, of random weights."""
    write_config(folder, network, scheduler)
    torch.save(random_state(folder), folder / "model.pt")
    return folder


@pytest.fixture
def release(tmp_path: Path) -> Path:
    return publish(tmp_path / "release")


def saved(path: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(path, weights_only=True)
    return state


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert sorted(found) == sorted(wanted)
    assert all(torch.equal(found[name], wanted[name].float()) for name in wanted)


TEXT = {"num_classes": 0, "cross_attention_dim": 20}
T5 = {"num_classes": 0, "cross_attention_dim": 2048}


@pytest.mark.parametrize("network", [{}, TEXT, T5, T5 | {"num_classes": 10}], ids=["class", "text", "t5", "both"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_round_trip_is_exact(tmp_path: Path, network: dict[str, Any], dtype: torch.dtype) -> None:
    folder = tmp_path / "release"
    write_config(folder, network)
    state = random_state(folder, dtype)
    torch.save(state, folder / "model.pt")
    done = import_release(folder, tmp_path / "run")
    assert (done.weights, done.parameters) == (len(state), sum(t.numel() for t in state.values()))
    export_release(RunFolder(tmp_path / "run"), tmp_path / "back")
    assert_same(saved(tmp_path / "back" / "model.pt"), state)
    before, after = (read_config(path / "config.yaml") for path in (folder, tmp_path / "back"))
    assert before.model_dump() == after.model_dump()


def test_a_training_checkpoint_gives_both_sets_of_weights(release: Path, tmp_path: Path) -> None:
    (release / "model.pt").unlink()
    raw, averaged = random_state(release, seed=1), random_state(release, seed=2)
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-4}]}
    training = {"model": raw, "ema": averaged, "opt": optimizer, "args": argparse.Namespace(config="x.yaml")}
    torch.save(training, release / "model_1000.pt")
    import_release(release, tmp_path / "run")
    for weights, wanted in (("ema", averaged), ("raw", raw)):
        export_release(RunFolder(tmp_path / "run"), tmp_path / weights, weights=weights)
        assert_same(saved(tmp_path / weights / "model.pt"), wanted)


def test_the_run_samples(release: Path, tmp_path: Path) -> None:
    import_release(release, tmp_path / "run")
    run = pixelflow.load(tmp_path / "run", device="cpu")
    assert run.spec.name == "run"
    images = run.sample(labels=[3, 4], sampler="euler", steps=2, guidance=1.5)
    assert images.shape == (2, 3, 16, 16)
    assert images.isfinite().all()


def test_a_text_run_takes_embeddings(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    write_config(folder, TEXT)
    torch.save(random_state(folder), folder / "model.pt")
    import_release(folder, tmp_path / "run")
    run = pixelflow.load(tmp_path / "run", device="cpu")
    text = torch.randn(2, 5, 20)
    assert run.sample(text=text, uncond_text=0 * text, steps=2).shape == (2, 3, 16, 16)
    with pytest.raises(UsageError, match="has no text encoder"):
        run.sample(text=["a dog"], steps=2)
    with pytest.raises(UsageError, match="3 channels, this run's 20"):
        run.sample(text=text[..., :3], steps=2)


def test_the_released_text_width_brings_its_encoder(tmp_path: Path) -> None:
    """Captions then work where the encoder's files are; embeddings work without."""
    folder = tmp_path / "release"
    write_config(folder, T5)
    torch.save(random_state(folder), folder / "model.pt")
    import_release(folder, tmp_path / "run")
    run = pixelflow.load(tmp_path / "run", device="cpu")
    assert run.spec.conditioners[0].model_dump()["model"] == "google/flan-t5-xl"
    text = torch.randn(1, 3, 2048)
    assert run.sample(text=text, uncond_text=0 * text, steps=1).shape == (1, 3, 16, 16)


def test_every_weight_that_does_not_fit_is_named(release: Path, tmp_path: Path) -> None:
    state = random_state(release)
    del state["proj_out_1.bias"]
    state["surplus"] = torch.zeros(3)
    state["proj_out_2.weight"] = state["proj_out_2.weight"][:, :5]
    state["proj_out_2.bias"] = state["proj_out_2.bias"].long()
    torch.save(state, release / "model.pt")
    with pytest.raises(DataError) as raised:
        import_release(release, tmp_path / "run")
    lines = str(raised.value).splitlines()
    assert lines[0].endswith("4 of its weights do not fit the config.yaml")
    assert lines[1:] == [
        "proj_out_1.bias (48,) is missing",
        "surplus (3,) is unknown",
        "proj_out_2.weight is (12, 5) instead of (12, 24)",
        "proj_out_2.bias holds torch.int64",
    ]
    assert not (tmp_path / "run").exists()


def test_weights_that_are_not_finite_are_named(release: Path, tmp_path: Path) -> None:
    state = random_state(release)
    state["proj_out_2.bias"][3] = float("nan")
    torch.save(state, release / "model.pt")
    with pytest.raises(
        DataError, match=r"1 of its weights are broken\nproj_out_2\.bias holds numbers that are not fin"
    ):
        import_release(release, tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Attack:
    """Unpickles as a call of any function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def archive(path: Path, content: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("model/data.pkl", content)
        file.writestr("model/version", "3")


@pytest.mark.parametrize("shape", ["alone", "as a weight", "beside the weights", "as state"])
def test_pickled_code_never_runs(release: Path, tmp_path: Path, shape: str) -> None:
    witness = tmp_path / "witness"
    attack = Attack(os.mkdir, str(witness))
    state = random_state(release)
    forms = {
        "alone": attack,
        "as a weight": {**state, "surplus": attack},
        "beside the weights": {"ema": state, "args": attack},
        "as state": {"ema": {**state, "surplus": Attack(exec, f"import os; os.mkdir({str(witness)!r})")}},
    }
    torch.save(forms[shape], release / "model.pt")
    if shape == "beside the weights":
        import_release(release, tmp_path / "run")
    else:
        with pytest.raises(DataError, match="neither a state dict"):
            import_release(release, tmp_path / "run")
    assert not witness.exists()
    torch.load(release / "model.pt", weights_only=False)
    assert witness.exists(), "the attack is a real one"


def shared_storage(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """A pickle of a tensor whose shape lies about its storage of one number."""

    class Storage:
        pass

    class Tensors(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", 1) if isinstance(value, Storage) else None

    buffer = io.BytesIO()
    rebuilt = Attack(torch._utils._rebuild_tensor_v2, Storage(), offset, size, stride, False, OrderedDict())
    Tensors(buffer, 2).dump({"patch_embed.proj.weight": rebuilt})
    return buffer.getvalue()


def doubled(times: int, laundered: bytes = b"") -> bytes:
    """A pickle of a dict, whose key is a tuple of twice the same tuple, of twice the same tuple, ...

    Args:
        laundered: what is done to each of them.
    """
    twice = pickle.BINPUT + b"\x00" + pickle.POP + 2 * (pickle.BINGET + b"\x00") + pickle.TUPLE2 + laundered
    key = pickle.EMPTY_TUPLE + times * twice
    return pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + key + pickle.NONE + pickle.SETITEM + pickle.STOP


def of_one_hash(keys: Callable[[bytes], bytes], count: int = 100_000) -> bytes:
    """A pickle of a dict whose keys have all the same hash; to fill it takes count squared steps.

    Args:
        keys: instructions that make a key of those that make a number.
    """
    prime = 2**61 - 1  # numbers are hashed modulo this one
    numbers = (number * prime for number in range(1, count))
    made = b"".join(keys(pickle.LONG1 + b"\x0b" + number.to_bytes(11, "little")) + pickle.NONE for number in numbers)
    return pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK + made + pickle.SETITEMS + pickle.STOP


AS_PARAMETER = (
    pickle.BINPUT + b"\x00" + pickle.POP + pickle.GLOBAL + b"torch._utils\n_rebuild_parameter\n" + pickle.BINGET
    + b"\x00" + pickle.TUPLE1 + pickle.REDUCE
)  # fmt: skip


def broken(folder: Path) -> dict[str, Callable[[], object]]:
    """Ways to break a folder, each with the error that should follow."""
    weights, config = folder / "model.pt", folder / "config.yaml"
    whole = weights.read_bytes()
    return {
        "missing weights": weights.unlink,
        "missing config": config.unlink,
        "config is no YAML": lambda: config.write_text("model: [1"),
        "config of another program": lambda: config.write_text("architectures: [Llama]"),
        "unknown setting": lambda: write_config(folder, {"window_size": 7}),
        "setting we lack": lambda: write_config(folder, {"attention_bias": False}),
        "other gamma": lambda: write_config(folder, scheduler={"gamma": -0.1}),
        "size that stages do not divide": lambda: write_config(folder, {"patch_size": 5}),
        "channels that differ": lambda: write_config(folder, {"out_channels": 1}),
        "too many blocks": lambda: write_config(folder, {"depth": 2 * 10**9}),
        "too many heads": lambda: write_config(folder, {"num_attention_heads": 2 * 10**9}),
        "a folder": lambda: (weights.unlink(), weights.mkdir()),
        "an old format": lambda: torch.save(random_state(folder), weights, _use_new_zipfile_serialization=False),
        "truncated": lambda: weights.write_bytes(whole[: len(whole) // 2]),
        "a flipped byte": lambda: weights.write_bytes(whole[:9000] + bytes([whole[9000] ^ 1]) + whole[9001:]),
        "empty": lambda: weights.write_bytes(b""),
        "no zip": lambda: weights.write_bytes(b"MZ not a checkpoint"),
        "another zip": lambda: zipfile.ZipFile(weights, "w").writestr("readme.txt", "hello"),
        "compressed": lambda: archive(weights, pickle.dumps({"a": 1}), zipfile.ZIP_DEFLATED),
        "garbage pickle": lambda: archive(weights, b"\x80\x02]q\x00(K\x01"),
        "deep pickle": lambda: archive(weights, b"\x80\x02" + b"(" * 100000 + b"."),
        "memory bomb": lambda: archive(weights, b"\x80\x02}r" + (2**24).to_bytes(4, "little") + b"."),
        "time bomb": lambda: archive(weights, doubled(60)),
        "time bomb of calls": lambda: archive(weights, doubled(60, AS_PARAMETER)),
        "numbers of one hash": lambda: archive(weights, of_one_hash(lambda number: number)),
        "tuples of one hash": lambda: archive(weights, of_one_hash(lambda number: number + pickle.TUPLE1)),
        "deep tuple": lambda: archive(weights, doubled(1).replace(pickle.TUPLE2, 10**6 * pickle.TUPLE1)),
        "a pipe": lambda: (weights.unlink(), os.mkfifo(weights)),
        "an endless device": lambda: (weights.unlink(), weights.symlink_to("/dev/zero")),
        "no tensors": lambda: archive(weights, pickle.dumps({"a": 1}, 2)),
        "tensor without bytes": lambda: archive(weights, shared_storage((24, 3, 2, 2), (12, 4, 2, 1))),
        "tensor larger than its storage": lambda: archive(weights, shared_storage((24, 3, 2, 2), (0, 0, 0, 0))),
        "negative offset": lambda: archive(weights, shared_storage((1,), (1,), -4)),
        "other architecture": lambda: write_config(folder, {"depth": 3}),
        "a list": lambda: torch.save([torch.zeros(1)], weights),
    }


CONFIG_FAULTS = {
    "config is no YAML",
    "config of another program",
    "unknown setting",
    "setting we lack",
    "other gamma",
    "size that stages do not divide",
    "channels that differ",
    "too many blocks",
    "too many heads",
}


@pytest.mark.parametrize(
    "fault",
    ["missing weights", "missing config", *sorted(CONFIG_FAULTS), "truncated", "a flipped byte", "empty", "no zip",
     "another zip", "a folder", "an old format", "compressed", "garbage pickle", "deep pickle", "memory bomb",
     "time bomb", "time bomb of calls", "numbers of one hash", "tuples of one hash",
     "deep tuple", "a pipe", "an endless device", "no tensors", "tensor without bytes",
     "tensor larger than its storage", "negative offset", "other architecture", "a list"],
)  # fmt: skip
def test_broken_folders_are_refused_whole(release: Path, tmp_path: Path, fault: str) -> None:
    broken(release)[fault]()
    expected: type[PixelflowError] = DataError
    if fault.startswith("missing"):
        expected = MissingInputError
    if fault in CONFIG_FAULTS:
        expected = SpecError
    with pytest.raises(expected) as raised:
        import_release(release, tmp_path / "run")
    assert str(release) in str(raised.value) or "released settings" in str(raised.value)
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("size", [0, 17])
def test_a_size_that_does_not_suit_is_refused(release: Path, tmp_path: Path, size: int) -> None:
    with pytest.raises(SpecError, match=r"image\.size"):
        import_release(release, tmp_path / "run", size)


def test_a_pickle_is_not_given_the_memory_that_it_asks_for(release: Path, tmp_path: Path) -> None:
    broken(release)["memory bomb"]()
    with pytest.raises(DataError, match=r"its pickle cannot be read \(UnpicklingError\); nothing was run"):
        import_release(release, tmp_path / "run")


def test_nothing_is_overwritten(release: Path, tmp_path: Path) -> None:
    import_release(release, tmp_path / "run")
    with pytest.raises(CannotWriteError, match="is there already"):
        import_release(release, tmp_path / "run")
    with pytest.raises(CannotWriteError, match="is there already"):
        export_release(RunFolder(tmp_path / "run"), release)


def test_two_exports_at_once_leave_each_others_drafts_alone(release: Path, tmp_path: Path) -> None:
    import_release(release, tmp_path / "run")
    others = tmp_path / ".out.part"  # of a process that is at work on the same target
    others.mkdir()
    (others / "model.pt").write_bytes(b"half")
    export_release(RunFolder(tmp_path / "run"), tmp_path / "out")
    assert (others / "model.pt").read_bytes() == b"half"
    assert saved(tmp_path / "out" / "model.pt")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("backbone.mlp_ratio=2", "mlp_ratio 4"),
        ("cascade.patch=[2, 4]", "more than one patch size"),
        ("cascade.up=bilinear", "nearest up"),
        ("image.size=[16, 32]", "not square"),
    ],
)
def test_what_the_release_lacks_is_not_exported(release: Path, tmp_path: Path, change: str, reason: str) -> None:
    from pixelflow.core import reading
    from pixelflow.core.spec import ExperimentSpec

    import_release(release, tmp_path / "run")
    run = RunFolder(tmp_path / "run")
    run.write_spec(reading.validate(ExperimentSpec, reading.override(reading.read_document(run.spec_file), [change])))
    with pytest.raises(UsageError, match=reason):
        export_release(run, tmp_path / "back")
    assert checkpoint.steps(run.checkpoints) == [0]
