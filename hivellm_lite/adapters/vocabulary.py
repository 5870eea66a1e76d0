"""The vocabulary of a base for an adapter that changes its size."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

from ..converters.gguf.header import GGUFHeader
from ..converters.tokenizers.resized import resized_vocabulary
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
    folders = (package.adapter.weights.parent, package.root)
    for folder in folders:
        place = relative_to_root(folder, package.root)
        found = [file_in(package.root, f"{place}/{name}") for name in _FILES]
        if any(found):
            return functools.partial(resized_vocabulary, base, folder=folder)
    return lambda size: {} if size is None else resized_vocabulary(base, size, folders[0])
