"""Opens the weights of a Hugging Face model folder, in one file or in shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConversionError
from .json_file import read_json
from .safetensors import SafetensorsFile

__all__ = ["open_checkpoint"]


@contextmanager
def open_checkpoint(folder: Path) -> Iterator[Mapping[str, SafetensorsFile]]:
    """Open the weights of a model folder: a mapping of tensor names to the files that hold them.

    Reads ``model.safetensors``, or the shards that ``model.safetensors.index.json`` lists, and
    closes the files on exit. Raises ConversionError if the folder has neither, if an index entry
    points out of the folder, and if the index and the shards disagree about a tensor.
    """
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if not single.is_file() and not index.is_file():
        raise ConversionError(
            f"{folder} has neither model.safetensors nor model.safetensors.index.json\n"
            "Only safetensors checkpoints are converted; pickled .bin weights are not opened."
        )
    files: dict[str, SafetensorsFile] = {}
    try:
        if not index.is_file():
            files[single.name] = SafetensorsFile(single)
            tensors = dict.fromkeys(files[single.name].tensors, files[single.name])
        else:
            weight_map = _read_weight_map(index)
            for shard in sorted(set(weight_map.values())):
                files[shard] = SafetensorsFile(folder / shard)
            tensors = {name: files[shard] for name, shard in weight_map.items()}
            _check_index(index, tensors, files.values())
        yield tensors
    finally:
        for file in files.values():
            file.close()


def _read_weight_map(index: Path) -> dict[str, str]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ConversionError(f"{index}: weight_map is not an object")
    for name, shard in weight_map.items():
        # A shard is a plain file name: no folders, no drive letters, nothing hidden.
        if not isinstance(shard, str) or set(shard) & set("/\\:\0") or shard[:1] in ("", "."):
            raise ConversionError(
                f"{index}: tensor {name!r} is listed in {shard!r}, which is not a file name"
            )
    return weight_map


def _check_index(
    index: Path, tensors: Mapping[str, SafetensorsFile], files: Iterable[SafetensorsFile]
) -> None:
    for name, file in tensors.items():
        if name not in file.tensors:
            raise ConversionError(f"{index}: {file.path.name} does not hold tensor {name!r}")
    for file in files:
        for name in file.tensors:
            if tensors.get(name) is not file:
                raise ConversionError(
                    f"{index}: tensor {name!r} of {file.path.name} is not in the index, "
                    "or the index lists it in another file"
                )
