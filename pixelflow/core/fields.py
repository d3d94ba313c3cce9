"""What images are conditioned on: the named values that a data sample has beside its image.

A data set puts a value into ``Sample.fields`` (the built-in two have attributes of their own), a conditioner names the
field that it `reads`. Whatever lies between the two, such as loading, previews, commands and records, asks here what a
field is. Batches hold the values as lists, one value an image, until a conditioner's `prepare` makes a tensor of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pixelflow.core.labels import label_indices, whole
from pixelflow.core.sample import Sample
from pixelflow.system import arrays
from pixelflow.system.errors import UsageError
from pixelflow.system.files import at_home


@dataclass(frozen=True)
class Classes:
    """The classes that a run knows."""

    names: Sequence[str] = ()
    """Empty where they have none."""
    count: int = 0


class ConditionField:
    """A field whose values are arrays of numbers: images (c h w) in [-1, 1], vectors, masks.

    For values of another kind derive from it, and make an instance known by `add`.
    """

    examples: Sequence[object] = tuple(torch.linspace(-1, end, 16).view(1, 4, 4) for end in (1.0, 0.5, -0.5))
    """Three different values, for the checks of conditioners; see `Conditioner.examples`."""
    nonsense: object = "no array"
    """A value that a conditioner has to refuse."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def many(self) -> str:
        """Several values, in messages."""
        return repr(self.name)

    @property
    def how(self) -> str:
        """How people give it."""
        return f"--field {self.name}=FILE.npy (or a picture), in Python fields={{{self.name!r}: ...}}"

    def of(self, sample: Sample) -> object:
        """A sample's value; None where it has none."""
        return sample.fields.get(self.name)

    def read(self, text: str) -> object:
        """A value from the command line.

        Raises:
            UsageError, MissingInputError, DataError: it is none.
        """
        try:
            path = at_home(Path(text))
        except ValueError as error:
            raise UsageError(str(error)) from None
        return arrays.read_array(path)

    def values(self, given: object, classes: Classes) -> Sequence[object]:
        """Values from Python: a sequence with one an image, or a tensor with one in each row.

        Raises:
            UsageError: they are none.
        """
        if isinstance(given, (str, bytes)) or not isinstance(given, (Tensor, np.ndarray, Sequence)):
            raise UsageError(f"fields[{self.name!r}] must be a list of arrays, one an image, not {given!r}")
        try:
            return [torch.as_tensor(one).detach().cpu().float() for one in given]
        except (TypeError, ValueError, RuntimeError):
            raise UsageError(f"fields[{self.name!r}] must hold arrays of numbers, one an image") from None

    def unasked(self, classes: Classes) -> Sequence[object]:
        """What is drawn where nothing is given; raises UsageError if something has to be."""
        raise UsageError(f"this run draws from {self.many}; give {self.how}")

    def kept(self, value: object) -> object:
        """A value as JSON, for records."""
        return arrays.to_json(torch.as_tensor(value))

    def restored(self, kept: object) -> object:
        """The value again; raises DataError if it is none."""
        return arrays.from_json(kept)

    def title(self, value: object, classes: Sequence[str]) -> str | None:
        """What stands below an image that was drawn from it; None for nothing."""
        return None

    def outline(self, value: object) -> str:
        """A value in a few words, for people who look through a data set."""
        return "x".join(map(str, torch.as_tensor(value).shape)) or "a number"


class Label(ConditionField):
    """The class of an image, as a place in the list of classes."""

    examples = (0, 1, 2)
    nonsense = 10**9
    many, how = "labels", "--labels, in Python labels="

    def of(self, sample: Sample) -> object:
        return sample.label

    def read(self, text: str) -> object:
        return text

    def values(self, given: object, classes: Classes) -> Sequence[object]:
        return label_indices(given, classes.names, classes.count)

    def unasked(self, classes: Classes) -> Sequence[object]:
        return list(range(classes.count))

    def kept(self, value: object) -> object:
        return value

    def restored(self, kept: object) -> object:
        return kept

    def title(self, value: object, classes: Sequence[str]) -> str:
        label = whole(value)
        return classes[label] if label < len(classes) else str(label)

    def outline(self, value: object) -> str:
        return str(value)


class Caption(ConditionField):
    """A text that describes an image."""

    examples = ("a red house", "", "two dogs in the snow")
    nonsense = 3.5
    many, how = "captions", '--prompt "..." or --prompts FILE, in Python prompts='

    def of(self, sample: Sample) -> object:
        return sample.caption

    def read(self, text: str) -> object:
        return text

    def values(self, given: object, classes: Classes) -> Sequence[object]:
        if isinstance(given, str):
            return [given]
        if not isinstance(given, Iterable):
            raise UsageError(f"captions must be a text or a list of texts, not {given!r}")
        return list(given)

    def kept(self, value: object) -> object:
        return value

    def restored(self, kept: object) -> object:
        return kept

    def title(self, value: object, classes: Sequence[str]) -> str:
        return str(value)

    def outline(self, value: object) -> str:
        return str(value)


LABEL, CAPTION = Label("label"), Caption("caption")
_KNOWN: dict[str, ConditionField] = {"caption": CAPTION, "label": LABEL}


def add(field: ConditionField) -> None:
    """Make a field known whose values are no arrays; a module of a plugin does it beside the conditioner that reads it.

    Raises:
        ValueError: another class of field has the name.
    """
    before = _KNOWN.get(field.name)
    if before is not None and type(before).__qualname__ != type(field).__qualname__:
        raise ValueError(f"the field {field.name!r} is known already, as {type(before).__qualname__}")
    _KNOWN[field.name] = field


def field_of(name: str) -> ConditionField:
    """The field of a name; one that nobody made known holds arrays."""
    return _KNOWN.get(name) or ConditionField(name)


def read_fields(texts: Sequence[str]) -> dict[str, list[object]]:
    """``NAME=VALUE``, as the command line gives them, to the values of each field, in order.

    Raises:
        UsageError, MissingInputError, DataError: one is written otherwise, or is no value of its field.
    """
    found: dict[str, list[object]] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise UsageError(f"--field {text}: must be NAME=VALUE, such as lowres=small.png")
        found.setdefault(name, []).append(field_of(name).read(value))
    return found


def columns(samples: Sequence[Sample]) -> dict[str, list[object]]:
    """Field -> one value a sample, of the fields that all of the samples have."""
    names = dict.fromkeys([LABEL.name, CAPTION.name, *(name for sample in samples for name in sample.fields)])
    found = {name: [field_of(name).of(sample) for sample in samples] for name in names}
    return {name: column for name, column in found.items() if all(value is not None for value in column)}


def labels_in(values: Mapping[str, Sequence[object]]) -> list[int] | None:
    """The labels among the values of fields, if there are any."""
    own = values.get(LABEL.name)
    return None if own is None else [whole(label) for label in own]


def captions_in(values: Mapping[str, Sequence[object]]) -> list[str] | None:
    """The captions among the values of fields, if there are any."""
    own = values.get(CAPTION.name)
    return None if own is None else [str(caption) for caption in own]


def titles(values: Mapping[str, Sequence[object]], classes: Sequence[str]) -> list[str] | None:
    """What stands below the images that are drawn from these: captions, else classes, else what other fields say."""
    first = {CAPTION.name: 0, LABEL.name: 1}  # captions tell more than labels
    for name in sorted(values, key=lambda name: (first.get(name, 2), name)):
        found = [field_of(name).title(value, classes) for value in values[name]]
        if found and all(one is not None for one in found):
            return [str(one) for one in found]
    return None
