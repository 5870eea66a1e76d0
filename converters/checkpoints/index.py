"""Finds the files that hold a checkpoint's weights, as Transformers does.

``model.safetensors`` comes first. An index beside it is left over from an earlier save. Otherwise
``model.safetensors.index.json`` names the files, and nothing else of it counts: which tensors a
file holds is read from the file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from ...errors import ConversionError
from ..json_file import read_json

__all__ = ["CONFIG", "INDEX", "SMALL_FILES", "WEIGHTS", "listed_files", "weight_files"]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"

SMALL_FILES = (
    *(CONFIG, "generation_config.json", INDEX, "tokenizer.json", "tokenizer_config.json"),
    *("special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"),
    *("tokenizer.model", "quantize_config.json", "quant_config.json"),
    *("chat_template.jinja", "chat_template.json"),
)
"""All that a conversion reads of a model's folder besides the weights. None of it is a pickle."""

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors")

NAMES_SHOWN = 5
"""File names that an error lists."""


def weight_files(folder: Path) -> tuple[list[str], dict[str, str]]:
    """The names of the weights' files, and the index: the file of each tensor.

    The index is empty if none was used. Raises ConversionError if the folder has no weights, if
    a file is missing, or if an entry of the index points out of the folder.
    """
    try:
        present = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise ConversionError(f"cannot read {folder}: {error.strerror or error}") from error
    if WEIGHTS in present:
        return [WEIGHTS], {}
    if INDEX not in present:
        return _shards_without_index(folder, present), {}
    weight_map = _read_weight_map(folder / INDEX)
    files = sorted(set(weight_map.values()))
    if missing := [name for name in files if name not in present]:
        raise ConversionError(
            f"{folder}: {INDEX} names {_shown(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not in the folder\n"
            f"{_found(present)} Download the missing files again; or, if the weights were saved "
            f"anew under other names, delete {INDEX}."
        )
    return files, weight_map


def listed_files(index: Path) -> list[str]:
    """The files that the index names. Raises ConversionError for one that is damaged."""
    return sorted(set(_read_weight_map(index).values()))


def _shards_without_index(folder: Path, present: Collection[str]) -> list[str]:
    """The files of a whole set of shards, whose names say how many there are."""
    shards = [match for name in present if (match := _SHARD.fullmatch(name))]
    sets = Counter((shard["stem"], shard["count"]) for shard in shards)
    if len(sets) == 1:
        ((_, count), found), *_ = sets.items()
        numbers = {int(shard["number"]) for shard in shards}
        if found == int(count) and numbers == set(range(1, found + 1)):
            return sorted(shard[0] for shard in shards)
        lacking = sorted(set(range(1, int(count) + 1)) - numbers)[:NAMES_SHOWN]
        raise ConversionError(
            f"{folder} has {found} of {int(count)} shards and no {INDEX}\n"
            f"Missing: {', '.join(map(str, lacking))}. Download them again."
        )
    raise ConversionError(
        f"{folder} has neither {WEIGHTS} nor {INDEX}\n{_found(present)} "
        "Only safetensors checkpoints are converted; pickled .bin weights are not opened."
    )


def _read_weight_map(index: Path) -> dict[str, str]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ConversionError(f"{index}: weight_map is not an object")
    if not weight_map:
        raise ConversionError(f"{index}: weight_map is empty")
    for name, shard in weight_map.items():
        # A shard is a plain file name: no folders, no drive letters, nothing hidden.
        if not isinstance(shard, str) or set(shard) & set("/\\:\0") or shard[:1] in ("", "."):
            raise ConversionError(
                f"{index}: tensor {name!r} is listed in {shard!r}, which is not a file name"
            )
    return weight_map


def _found(present: Collection[str]) -> str:
    files = sorted(name for name in present if name.endswith(".safetensors"))
    return f"The folder holds {_shown(files)}." if files else "The folder holds no .safetensors."


def _shown(names: list[str]) -> str:
    more = " …" if len(names) > NAMES_SHOWN else ""
    return ", ".join(f"{name!r:.200}" for name in names[:NAMES_SHOWN]) + more
