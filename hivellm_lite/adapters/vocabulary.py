"""The vocabulary of a base for an adapter that changes its size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from ..converters.gguf.header import GGUFHeader
from ..package.files import file_in, relative_to_root
from ..package.opening import Package

__all__ = ["vocabulary_for"]

_FILES = ("tokenizer.json", "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json")


def vocabulary_for(
    package: Package, base: GGUFHeader
) -> Callable[[int | None], Mapping[str, tuple[int, bytes]]]:
    """What gives the changed metadata of ``base`` for a number of tokens, or for its own (None).

    The package's tokenizer files name the new tokens; they are beside the adapter or in the top
    folder. Raises PackageError for a file that leads out of the package.
    """
    root = package.root
    folders = (package.adapter.weights.parent, root)
    named = [folder for folder in folders if _has_tokenizer(root, folder)]

    def changed(size: int | None) -> Mapping[str, tuple[int, bytes]]:
        if size is None and not named:
            return {}
        from ..converters.tokenizers.resized import resized_vocabulary  # most adapters need none

        return resized_vocabulary(base, size, [*named, folders[0]][0])

    return changed


def _has_tokenizer(root: Path, folder: Path) -> bool:
    place = relative_to_root(folder, root)
    return any([file_in(root, f"{place}/{name}") for name in _FILES])  # noqa: C419 - checks all
