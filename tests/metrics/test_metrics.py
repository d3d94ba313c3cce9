"""What the metrics say about real digits, spoilt digits and unlabelled images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch

from pixelflow.contracts.partners import Held
from pixelflow.core.interfaces import ImageBatch, ImageSource
from pixelflow.data.digits import Digits
from pixelflow.evaluation.sources import DatasetSource
from pixelflow.metrics.frechet import Frechet
from pixelflow.metrics.label_agreement import LabelAgreement
from pixelflow.metrics.pixels_pca import PixelsPca
from pixelflow.system.errors import DataError

CPU = torch.device("cpu")
PCA = Frechet(Frechet.Params(extractor=PixelsPca.Params(components=32)), device=CPU)
AGREEMENT = LabelAgreement(LabelAgreement.Params(), device=CPU)


@dataclass
class Changed:
    """The images of another source, changed."""

    source: ImageSource
    change: object

    def __iter__(self) -> Iterator[ImageBatch]:
        return (self.change(batch) for batch in self.source)


def digits(split: str = "all") -> DatasetSource:
    return DatasetSource(Digits(Digits.Params(split=split), height=16, width=16, channels=1), bad_images=0)


def test_real_digits_are_recognised_and_near():
    figures = AGREEMENT.compute(Held(digits("odd"), digits()))
    assert figures["agreement"] == pytest.approx(figures["accuracy_on_real"], abs=0.01)
    assert figures["accuracy_on_real"] >= 0.97
    assert PCA.compute(Held(digits("odd"), digits()))["ratio"] < 0.5


def test_wrong_labels_are_noticed():
    shifted = Changed(digits("odd"), lambda batch: replace(batch, labels=[(y + 1) % 10 for y in batch.labels]))
    assert AGREEMENT.compute(Held(shifted, digits()))["agreement"] < 0.05


def in_order(order: torch.Tensor) -> list[ImageBatch]:
    """All digits in another order."""
    batches = list(digits())
    images, labels = torch.cat([batch.images for batch in batches]), [y for batch in batches for y in batch.labels]
    return [ImageBatch(images[order], [labels[place] for place in order.tolist()])]


def test_agreement_is_the_same_for_sorted_real_images():
    """Folders are sorted by class; of the first images only, the classifier would know two or three of ten classes."""
    labels = torch.tensor([y for batch in digits() for y in batch.labels])
    few = LabelAgreement(LabelAgreement.Params(fit_images=200), device=CPU)
    sorted_by_class = in_order(torch.argsort(labels, stable=True))
    mixed = in_order(torch.randperm(len(labels), generator=torch.Generator().manual_seed(1)))
    for real in (sorted_by_class, mixed):
        figures = few.compute(Held(digits("odd"), real))
        assert figures["agreement"] > 0.9
        assert figures["accuracy_on_real"] == pytest.approx(figures["agreement"], abs=0.03)


def test_agreement_is_the_same_for_real_images_whose_classes_take_turns():
    """Two classes by turns: of every other image the classifier would know one, and refuse."""
    labels = torch.tensor([y for batch in digits() for y in batch.labels])
    threes, eights = ((labels == one).nonzero().flatten()[:170] for one in (3, 8))
    real = in_order(torch.stack([threes, eights], dim=1).flatten())
    assert AGREEMENT.compute(Held(real, real))["agreement"] > 0.97


def test_agreement_needs_two_images_of_two_classes():
    image = next(iter(digits())).images[:1]
    for labels in ([3, 3, 3, 3], [3]):
        real = [ImageBatch(image.expand(len(labels), -1, -1, -1), labels)]
        with pytest.raises(DataError, match="at least two classes"):
            AGREEMENT.compute(Held(digits("odd"), real))


def test_samples_that_do_not_vary_are_far():
    single = next(iter(digits())).images[:1]
    same = Changed(digits("odd"), lambda batch: replace(batch, images=single.expand(len(batch.images), -1, -1, -1)))
    assert PCA.compute(Held(same, digits()))["ratio"] > 10


def test_more_noise_is_farther():
    def noisy(level: float) -> Changed:
        noise = torch.Generator().manual_seed(0)
        return Changed(
            digits("odd"),
            lambda batch: replace(
                batch, images=batch.images + level * torch.randn(batch.images.shape, generator=noise)
            ),
        )

    for metric in (PCA, Frechet(Frechet.Params(), device=CPU)):
        distances = [metric.compute(Held(noisy(level), digits()))["distance"] for level in (0.0, 0.2, 0.4)]
        assert distances == sorted(distances)
        assert distances[2] > 2 * distances[0]


def test_unlabelled_images_have_no_agreement():
    unlabelled = Changed(digits("odd"), lambda batch: replace(batch, labels=None))
    with pytest.raises(DataError, match="the generated images have none"):
        AGREEMENT.compute(Held(unlabelled, digits()))
    with pytest.raises(DataError, match="the real images have none"):
        AGREEMENT.compute(Held(digits(), unlabelled))


def renamed(source: Changed | DatasetSource, *names: str) -> Changed:
    """The same images, with labels of these ten classes in their own order."""
    places = [names.index(str(digit)) for digit in range(10)]
    return Changed(
        source, lambda batch: replace(batch, labels=[places[label] for label in batch.labels], classes=names)
    )


def only(source: DatasetSource, *kept: int) -> Changed:
    """The images of some classes, whose names are all that it knows."""

    def chosen(batch: ImageBatch) -> ImageBatch:
        rows = [place for place, label in enumerate(batch.labels) if label in kept]
        labels = [kept.index(batch.labels[place]) for place in rows]
        return replace(batch, images=batch.images[rows], labels=labels, classes=tuple(map(str, kept)))

    return Changed(source, chosen)


def test_agreement_goes_by_the_names_of_classes():
    """Numbers that mean other classes on the two sides made it .1."""
    whole = AGREEMENT.compute(Held(digits("odd"), digits("even")))
    backwards = renamed(digits("odd"), *"9876543210")
    assert AGREEMENT.compute(Held(backwards, digits("even"))) == whole
    assert AGREEMENT.compute(Held(digits("odd"), renamed(digits("even"), *"3412098765")))["agreement"] > 0.9


def test_agreement_beside_more_classes_and_fewer(caplog):
    some = AGREEMENT.compute(Held(only(digits("odd"), 7, 1, 3), digits("even")))
    assert some["agreement"] > 0.9
    assert not caplog.messages
    most = AGREEMENT.compute(Held(digits("odd"), only(digits("even"), 9, 8, 7, 6, 5, 4, 3, 2, 0)))
    assert most["agreement"] > 0.9
    assert [message for message in caplog.messages if "lack their classes: 1" in message]


def test_agreement_of_other_classes_is_refused():
    letters = Changed(digits("odd"), lambda batch: replace(batch, classes=tuple("abcdefghi0")))
    with pytest.raises(DataError, match=r"a, b, .* in the generated images alone, 1, 2, .* in the real images alone"):
        AGREEMENT.compute(Held(letters, digits("even")))


def test_labels_without_names_go_by_number():
    nameless = Changed(digits("odd"), lambda batch: replace(batch, classes=()))
    whole = AGREEMENT.compute(Held(digits("odd"), digits("even")))
    assert AGREEMENT.compute(Held(nameless, digits("even"))) == whole


def test_the_principal_components_are_those_of_numpy():
    extractor = PixelsPca(PixelsPca.Params(components=5), device=CPU)
    images = torch.cat([batch.images for batch in digits("even")])
    extractor.fit(images.split(100))
    pixels = images.flatten(1).double()
    centred = pixels - pixels.mean(0)
    _, values, _ = torch.linalg.svd(centred, full_matrices=False)
    found = extractor.features(images)
    assert torch.allclose(found.mean(0), torch.zeros(5, dtype=torch.float64), atol=1e-9)
    assert torch.allclose(found.norm(dim=0).sort(descending=True).values, values[:5], rtol=1e-6)


def test_principal_components_need_enough_images():
    extractor = PixelsPca(PixelsPca.Params(components=32), device=CPU)
    with pytest.raises(DataError, match="more images than 8"):
        extractor.fit([torch.zeros(8, 1, 16, 16)])
    with pytest.raises(DataError, match="16 values"):
        extractor.fit([torch.zeros(64, 1, 4, 4)])
