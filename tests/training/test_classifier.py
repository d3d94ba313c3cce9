"""The small classifier: trained on real digits, kept in a file, used as extractor and judge."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from pixelflow.cli.app import main
from pixelflow.contracts.partners import Held
from pixelflow.core.interfaces import ImageBatch
from pixelflow.data.digits import Digits
from pixelflow.evaluation.sources import DatasetSource
from pixelflow.metrics.classifier import ClassifierFeatures, prepared, read, save
from pixelflow.metrics.classifier_agreement import ClassifierAgreement
from pixelflow.metrics.frechet import Frechet
from pixelflow.system.errors import DataError, MissingInputError
from pixelflow.training.classifier import ClassifierTraining, train_classifier
from tests.conftest import make_spec

CPU = torch.device("cpu")
QUICK = ClassifierTraining(steps=60, batch_size=64, images=900)


def silent(what: str, done: int, total: int) -> None:
    """Shows nothing."""


@pytest.fixture(scope="module")
def trained():
    return train_classifier(make_spec(), QUICK, CPU, silent)


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("classifier") / "digits.safetensors"
    save(path, *trained)
    return path


def digits(split: str = "odd") -> list[ImageBatch]:
    source = DatasetSource(Digits(Digits.Params(split=split), height=16, width=16, channels=1), bad_images=0)
    batches = iter(source)
    return [next(batches) for _ in range(4)]


def test_it_learns_and_says_how_well(trained):
    _, about = trained
    assert about.accuracy > 0.8
    assert about.side == 16
    assert about.classes == tuple("0123456789")
    assert about.recipe["steps"] == 60


def test_its_accuracy_is_that_of_all_classes_though_they_take_turns(tmp_path):
    """Of every tenth image it would be that of a class which it had never seen."""
    by_class = [[] for _ in range(10)]
    for batch in DatasetSource(Digits(Digits.Params(), height=16, width=16, channels=1), bad_images=0):
        for image, label in zip(batch.images, batch.labels, strict=True):
            by_class[label].append(((image + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0))
    turns = [by_class[index % 10][index // 10] for index in range(1700)]
    np.savez(tmp_path / "digits.npz", arr_0=torch.stack(turns).numpy(), arr_1=np.arange(1700) % 10)
    spec = make_spec(f"data={{type: npz, file: {tmp_path}/digits.npz}}")
    _, about = train_classifier(spec, QUICK.model_copy(update={"images": 1700}), CPU, silent)
    assert about.accuracy > 0.8


def test_equal_settings_give_equal_weights(trained):
    again, _ = train_classifier(make_spec(), QUICK.model_copy(update={"steps": 2}), CPU, silent)
    other, _ = train_classifier(make_spec(), QUICK.model_copy(update={"steps": 2}), CPU, silent)
    assert all(torch.equal(one, two) for one, two in zip(again.parameters(), other.parameters(), strict=True))


def test_the_file_says_what_it_is_and_gives_the_same_network(trained, file):
    network, about = trained
    classifier = read(file, CPU)
    assert classifier.about == about
    assert classifier.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    images = digits()[0].images
    assert torch.equal(classifier.features(images), network.body(prepared(images, 16)).detach())


def test_agreement_is_high_on_real_digits_and_low_on_wrong_labels(file):
    metric = ClassifierAgreement(ClassifierAgreement.Params(weights=file), device=CPU)
    right = metric.compute(Held(digits(), digits("even")))
    assert right["agreement"] > 0.8
    assert right["accuracy_on_real"] == read(file, CPU).about.accuracy
    wrong = [replace(batch, labels=[(label + 1) % 10 for label in batch.labels]) for batch in digits()]
    assert metric.compute(Held(wrong, digits("even")))["agreement"] < 0.2


def test_agreement_needs_labels_of_its_classes(file):
    metric = ClassifierAgreement(ClassifierAgreement.Params(weights=file), device=CPU)
    with pytest.raises(DataError, match="have none"):
        metric.compute(Held([replace(batch, labels=None) for batch in digits()], digits("even")))
    with pytest.raises(DataError, match=r"label 17 in the generated images is outside 0\.\.9"):
        metric.compute(Held([replace(batch, labels=[17] * len(batch.labels)) for batch in digits()], digits("even")))


def test_agreement_goes_by_the_names_of_classes(file):
    metric = ClassifierAgreement(ClassifierAgreement.Params(weights=file), device=CPU)
    right = metric.compute(Held(digits(), digits("even")))
    names = tuple("9876543210")
    backwards = [replace(batch, labels=[9 - label for label in batch.labels], classes=names) for batch in digits()]
    assert metric.compute(Held(backwards, digits("even"))) == right
    others = [replace(batch, classes=("zero", *"123456789")) for batch in digits()]
    with pytest.raises(DataError, match=r"zero in the generated images alone, 0 in the classifier's images alone"):
        metric.compute(Held(others, digits("even")))


def test_its_features_tell_noise_from_digits(file):
    metric = Frechet(Frechet.Params(extractor=ClassifierFeatures.Params(weights=file)), device=CPU)
    noisy = [replace(batch, images=batch.images + 0.5 * torch.randn_like(batch.images)) for batch in digits()]
    near, far = (metric.compute(Held(images, digits("even")))["distance"] for images in (digits(), noisy))
    assert far > 2 * near
    assert metric.title == "frechet, classifier"


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 16, 16), (3, 40, 7)])
def test_images_of_any_size_are_brought_to_its_own(shape):
    made = prepared(torch.rand(2, *shape), 16)
    assert made.shape[1] == 3
    assert max(made.shape[-2:]) == 16
    assert min(made.shape[-2:]) >= 8


def test_other_files_are_one_line(tmp_path):
    with pytest.raises(MissingInputError, match="train-extractor"):
        read(tmp_path / "none.safetensors", CPU)
    (tmp_path / "text.safetensors").write_text("not tensors")
    safetensors.torch.save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    for name in ("text", "other"):
        with pytest.raises(DataError, match=r"holds no classifier|is no safetensors file"):
            read(tmp_path / f"{name}.safetensors", CPU)


def test_unlabelled_data_are_refused(tmp_path):
    from PIL import Image

    for index in range(3):
        Image.new("RGB", (16, 16), (index, 0, 0)).save(tmp_path / f"{index}.png")
    with pytest.raises(DataError, match="at least two classes"):
        train_classifier(make_spec(f"data={{type: image_folder, root: {tmp_path}}}"), QUICK, CPU, silent)


def test_the_command_writes_a_file_and_says_how_good_it_is(tmp_path, tiny_file, capsys):
    out = tmp_path / "classifier.safetensors"
    with pytest.raises(SystemExit) as ended:
        main(["train-extractor", str(tiny_file), "--steps", "3", "--out", str(out)])
    assert not ended.value.code
    shown = capsys.readouterr().out
    assert hashlib.sha256(out.read_bytes()).hexdigest() in shown
    assert "right on" in shown
