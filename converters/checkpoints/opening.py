"""Opens the weights of a Hugging Face model folder, in one file or in shards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import ConversionError
from ..safetensors import SafetensorsFile
from .index import INDEX, weight_files
from .names import usual_names
from .quantized.settings import read_settings
from .tensors import Checkpoint, Renamed, TensorReader

__all__ = ["open_checkpoint"]

_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})
"""Types that hold no packed numbers."""


@contextmanager
def open_checkpoint(folder: Path) -> Iterator[Checkpoint]:
    """Open the weights of a model folder, by the names that Transformers gives the tensors.

    Reads ``model.safetensors``, or the shards that ``model.safetensors.index.json`` lists, and
    closes the files on exit. Names that a wrapper of the model has changed are put back, and
    quantised weights are presented as floats. Raises ConversionError if the folder has no weights,
    if a file is missing or malformed, and if a tensor occurs twice.
    """
    names, index = weight_files(folder)
    files: list[SafetensorsFile] = []
    try:
        stored: dict[str, SafetensorsFile] = {}
        for name in names:
            files.append(SafetensorsFile(folder / name))
            for tensor in files[-1].tensors:
                if tensor in stored:
                    raise ConversionError(
                        f"{folder}: tensor {tensor!r} is in {stored[tensor].path.name} and in "
                        f"{name}\nOne of them is left over from an earlier save: move it away."
                    )
                stored[tensor] = files[-1]
        usual, notes = usual_names(stored, folder)
        tensors: dict[str, TensorReader] = {
            name: stored[at] if name == at else Renamed(stored[at], at)
            for name, at in usual.items()
        }
        found = Checkpoint(tensors, notes=_index_notes(index, stored) + notes)
        settings = read_settings(folder)
        kinds = {file.info(tensor).dtype for tensor, file in stored.items()}
        if not settings.method and kinds <= _FLOATS:
            yield found
            return
        from .quantized.reading import dequantised  # few checkpoints are quantised

        yield dequantised(found, settings)
    finally:
        for file in files:
            file.close()


def _index_notes(index: dict[str, str], stored: dict[str, SafetensorsFile]) -> tuple[str, ...]:
    """A note about an index that another state of the files belongs to."""
    if not index or index.keys() == stored.keys():
        return ()
    gone, new = index.keys() - stored.keys(), stored.keys() - index.keys()
    found = [f"lists {len(gone)} tensors that its files do not hold"] if gone else []
    found += [f"does not list {len(new)} tensors of its files"] if new else []
    return (f"{INDEX} is out of date: it {' and '.join(found)}; the files were read",)
