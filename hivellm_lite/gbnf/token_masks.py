"""Computes which tokens of a vocabulary a grammar allows.

The bytes of all tokens form a trie, which is held in arrays. Computing a mask visits the trie level
by level, all nodes of a level at once. Tokens that begin alike are decided together, and a prefix
that is not allowed excludes everything below it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..lazy import lazy
from .matcher import Configuration

__all__ = ["TokenMasks"]

FEW_NODES = 256
"""Up to this number, nodes are faster visited one by one. Long runs of spaces, for example, have a
level for each space."""

MAX_CACHED_MASKS = 32
"""Masks that are kept, of one byte for each token: 5 MB for the largest vocabularies."""


class TokenMasks:
    """The masks of one vocabulary, for any number of grammars.

    ``pieces[token]`` are the bytes of a token. Control tokens have none and are never legal.
    """

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = tuple(pieces)
        self._masks: OrderedDict[Configuration, NDArray[np.bool_]] = OrderedDict()

    @property
    def n_tokens(self) -> int:
        return len(self.pieces)

    def step(self, configuration: Configuration, token: int) -> Configuration | None:
        """The configuration after ``token``; None if the token is not legal."""
        piece = self.pieces[token]
        return configuration.advance(piece) if piece else None

    def mask(self, configuration: Configuration) -> NDArray[np.bool_]:
        """Exactly the legal tokens, as a read-only mask of shape (n_vocab,)."""
        known = self._masks.pop(configuration, None)
        if known is None:
            legal = np.zeros(len(self._trie.byte), dtype=np.bool_)
            for nodes in self._levels(configuration, 0):
                legal[nodes] = True
            known = legal[self._trie.node_of_token]
            known.flags.writeable = False
        self._masks[configuration] = known
        while len(self._masks) > MAX_CACHED_MASKS:
            self._masks.popitem(last=False)
        return known

    def quick_mask(self, configuration: Configuration) -> NDArray[np.bool_]:
        """The tokens that begin with a legal byte, among them all legal ones: shape (n_vocab,)."""
        legal = np.zeros(257, dtype=np.bool_)
        legal[list(configuration.next_bytes)] = True
        return legal[self._first_byte]

    def extends(self, configuration: Configuration, data: bytes) -> bool:
        """Whether some longer token that begins with ``data`` is legal."""
        trie = self._trie
        node = trie.find(data)
        after = configuration.advance(data)
        if node is None or after is None:
            return False
        return any(trie.is_token[nodes].any() for nodes in self._levels(after, node))

    def _levels(self, configuration: Configuration, node: int) -> Iterator[NDArray[np.int32]]:
        """The legal nodes below ``node``, level by level; ``configuration`` is the state there."""
        trie = self._trie
        transitions = _Transitions(configuration)
        nodes = np.array([node], dtype=np.int32)
        places = np.array([transitions.start], dtype=np.int32)
        while nodes.size:
            if trie.n_below[nodes].sum() <= FEW_NODES:
                yield trie.walk(zip(nodes.tolist(), transitions.at(places), strict=True))
                return
            nodes, counts = trie.children(nodes)
            places = transitions.follow(np.repeat(places, counts), trie.byte[nodes])
            legal = places != transitions.dead
            nodes, places = nodes[legal], places[legal]
            yield nodes

    @lazy
    def _trie(self) -> _Trie:
        return _Trie.build(self.pieces)

    @lazy
    def _first_byte(self) -> NDArray[np.intp]:
        """The first byte of each token, shape (n_vocab,); 256 for a token without bytes."""
        return np.fromiter((p[0] if p else 256 for p in self.pieces), np.intp, len(self.pieces))


@dataclass(frozen=True, eq=False)
class _Trie:
    """The trie of all tokens. Node 0 is the root; numbers go by level, then parent, then byte."""

    byte: NDArray[np.uint8]
    """The last byte of each prefix, shape (n_nodes,)."""
    first_child: NDArray[np.int32]
    n_children: NDArray[np.int32]
    n_below: NDArray[np.int32]
    """The number of all nodes below each node, shape (n_nodes,)."""
    is_token: NDArray[np.bool_]
    node_of_token: NDArray[np.intp]
    """Shape (n_vocab,)."""

    @classmethod
    def build(cls, pieces: Sequence[bytes]) -> _Trie:
        data = np.frombuffer(b"".join(pieces), dtype=np.uint8)
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        starts = np.cumsum(lengths) - lengths
        node_of_token = np.zeros(len(pieces), dtype=np.intp)
        levels = [np.zeros(1, dtype=np.uint8)]
        parents = [np.zeros(0, dtype=np.int64)]
        n_nodes = 1
        for depth in range(int(lengths.max(initial=0))):
            tokens = np.flatnonzero(lengths > depth)
            keys = node_of_token[tokens] << 8 | data[starts[tokens] + depth]
            unique, inverse = np.unique(keys, return_inverse=True)
            node_of_token[tokens] = inverse + n_nodes
            levels.append((unique & 255).astype(np.uint8))
            parents.append(unique >> 8)
            n_nodes += unique.size
        n_below = np.zeros(n_nodes, dtype=np.int64)
        first = n_nodes
        for above in reversed(parents):
            # The parents of a level are the previous level.
            last, first = first, first - above.size
            np.add.at(n_below, above, 1 + n_below[first:last])
        n_children = np.bincount(np.concatenate(parents), minlength=n_nodes)
        is_token = np.zeros(n_nodes, dtype=np.bool_)
        is_token[node_of_token] = True
        return cls(
            byte=np.concatenate(levels),
            first_child=(np.cumsum(n_children) - n_children + 1).astype(np.int32),
            n_children=n_children.astype(np.int32),
            n_below=n_below.astype(np.int32),
            is_token=is_token,
            node_of_token=node_of_token,
        )

    def children(self, nodes: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """All children of ``nodes``, and the number of children of each node."""
        counts = self.n_children[nodes]
        ends = np.cumsum(counts, dtype=np.int32)
        total = int(ends[-1]) if ends.size else 0
        shift = np.repeat(self.first_child[nodes] - (ends - counts), counts)
        return np.arange(total, dtype=np.int32) + shift, counts

    def walk(self, places: Iterable[tuple[int, Configuration]]) -> NDArray[np.int32]:
        """The legal nodes below ``places``, which are nodes with their configurations."""
        first_child, n_children = self.first_child.data, self.n_children.data
        data = self.byte.data
        found = []
        pending = list(places)
        while pending:
            node, configuration = pending.pop()
            classes = configuration.automaton.byte_classes
            first = first_child[node]
            for child in range(first, first + n_children[node]):
                target = configuration.advance_class(classes[data[child]])
                if target is not None:
                    found.append(child)
                    pending.append((child, target))
        return np.array(found, dtype=np.int32)

    def find(self, prefix: bytes) -> int | None:
        """The node of ``prefix``; None if no token begins with it."""
        node = 0
        for byte in prefix:
            first = int(self.first_child[node])
            children = self.byte[first : first + int(self.n_children[node])]
            place = int(np.searchsorted(children, byte))
            if place == children.size or children[place] != byte:
                return None
            node = first + place
        return node


class _Transitions:
    """The part of an automaton that a mask needs, as a table for numpy."""

    dead = 0
    start = 1
    _unknown = -1

    def __init__(self, configuration: Configuration) -> None:
        automaton = configuration.automaton
        self._class_of = np.frombuffer(automaton.byte_classes, dtype=np.uint8)
        self._n_classes = automaton.n_byte_classes
        self._known: list[Configuration | None] = [None, configuration]
        self._number = {known: number for number, known in enumerate(self._known)}
        self._table = np.full(64 * self._n_classes, self._unknown, dtype=np.int32)

    def follow(self, places: NDArray[np.int32], data: NDArray[np.uint8]) -> NDArray[np.int32]:
        """The numbers of the configurations that follow ``places``, each after one byte."""
        keys = places * self._n_classes + self._class_of[data]
        found: NDArray[np.int32] = self._table[keys]
        unknown = found == self._unknown
        if unknown.any():
            for key in np.unique(keys[unknown]).tolist():
                self._fill(key)
            found = self._table[keys]
        return found

    def at(self, places: NDArray[np.int32]) -> list[Configuration]:
        """The configurations with these numbers, without the dead one."""
        known = [self._known[place] for place in places.tolist()]
        return [configuration for configuration in known if configuration is not None]

    def _fill(self, key: int) -> None:
        place, byte_class = divmod(key, self._n_classes)
        source = self._known[place]
        target = None if source is None else source.advance_class(byte_class)
        number = self._number.setdefault(target, len(self._known))
        if number == len(self._known):
            self._known.append(target)
            if len(self._known) * self._n_classes > self._table.size:
                more = np.full(self._table.size, self._unknown, dtype=np.int32)
                self._table = np.concatenate((self._table, more))
        self._table[key] = number
