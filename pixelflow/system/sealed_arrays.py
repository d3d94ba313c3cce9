"""Arrays that are kept and believed later, in npz and safetensors files, with format and hash as `records` has them."""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from pixelflow.system.errors import DataError, first_line
from pixelflow.system.files import opened
from pixelflow.system.records import FORMAT, HASH, LARGEST, digest, later

_NEWEST = 2


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An npz with these arrays, and as two more of text its format and hash."""
    content = io.BytesIO()
    own = {FORMAT: np.array(str(_NEWEST)), HASH: np.array(_digest(str(_NEWEST), arrays))}
    np.savez(content, **own, **arrays)  # type: ignore[arg-type]
    return content.getvalue()


def read_npz(file: Path, names: Sequence[str] | None = None, largest: int = LARGEST) -> dict[str, np.ndarray]:
    """Arrays of an npz, by default all of them; what `npz_bytes` made is checked. None may hold objects.

    Raises:
        MissingInputError: there is no such file.
        DataError: it is no npz, damaged, encrypted or of a later format, or lacks one of `names`.
    """
    with opened(file) as raw, parsing(f"{file}: cannot be read as npz"), np.load(raw, allow_pickle=False) as kept:
        large = next((one for one in kept.zip.infolist() if one.file_size > largest), None)
        if large is not None:
            raise DataError(f"{file}: {large.filename} has {large.file_size:,} bytes, more than such a file may have")
        members = set(kept.files)
        wanted = kept.files if names is None or {FORMAT, HASH} & members else names
        arrays = {name: np.asarray(kept[name]) for name in wanted}
    if {FORMAT, HASH} & members:
        number, own = (str(arrays.pop(name, "")) for name in (FORMAT, HASH))
        if own != _digest(number, arrays):
            raise DataError(f"{file}: is damaged (its hash does not fit); make it anew")
        _refuse_later(number, str(file))
    return {name: arrays[name] for name in (names or arrays)}


@contextmanager
def parsing(wrong: str) -> Iterator[None]:
    """Within, whatever a parser of hostile files raises is a DataError, which begins with `wrong`."""
    try:
        yield
    except MemoryError:
        raise DataError(f"{wrong} (it asks for more memory than there is)") from None
    except (DataError, KeyboardInterrupt):
        raise
    except (Exception, zlib.error) as error:
        raise DataError(f"{wrong} ({first_line(error)})") from None


def _digest(number: str, arrays: Mapping[str, np.ndarray]) -> str:
    own = hashlib.sha256(number.encode())
    for name, array in sorted(arrays.items()):
        own.update(f"{name} {array.dtype.str} {array.shape} ".encode() + np.ascontiguousarray(array).tobytes())
    return own.hexdigest()


def _refuse_later(number: str, where: str) -> None:
    if number != str(_NEWEST):
        raise later(where, number, _NEWEST)


def seal_safetensors(content: bytes) -> bytes:
    """The content of a safetensors file with format and hash among its metadata."""
    header, own, data = _parts(content)
    metadata = {**own, FORMAT: str(_NEWEST)}
    metadata[HASH] = _safetensors_digest({"__metadata__": metadata, **header}, data)
    return _opening(header, metadata) + data


def check_safetensors(content: bytes, where: str) -> dict[str, str]:
    """The metadata of a safetensors file. One that `seal_safetensors` made is checked, others are of format 1.

    Raises:
        DataError: it is damaged, or of a later format.
    """
    with parsing(f"{where}: is no safetensors file"):
        header, metadata, data = _parts(content)
    if {FORMAT, HASH} & metadata.keys():
        is_as_sealed = content.startswith(_opening(header, metadata))  # JSON has many spellings of one header
        own = metadata.pop(HASH, "")
        fits = own == _safetensors_digest({**header, "__metadata__": metadata}, data)
        number = metadata.pop(FORMAT, "")
        if fits:
            _refuse_later(number, where)
        if not fits or not is_as_sealed:
            raise DataError(f"{where}: is damaged (its hash does not fit); make it anew")
    return metadata


def _opening(header: Mapping[str, object], metadata: Mapping[str, str]) -> bytes:
    """A file up to its data: the length of its header, and that."""
    text = json.dumps({"__metadata__": metadata, **header}).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _parts(content: bytes) -> tuple[dict[str, object], dict[str, str], bytes]:
    """Header without metadata, metadata, and data."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = dict(json.loads(content[8:end]))
    metadata = {str(key): str(value) for key, value in header.pop("__metadata__", {}).items()}
    if not all("data_offsets" in entry for entry in header.values()):  # such as metadata whose name is damaged
        raise ValueError("an entry of its header is no tensor")
    return header, metadata, content[end:]


def _safetensors_digest(header: Mapping[str, object], data: bytes) -> str:
    return digest([header, hashlib.sha256(data).hexdigest()])
