"""A model file in memory."""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..converters.gguf.check import check_model
from ..converters.gguf.header import GGUFHeader, read_gguf_header
from ..converters.gguf.published_parts import part_names
from ..errors import ConversionError, LoadError, OutOfMemoryError
from ..lazy import lazy
from ..process.meanwhile import meanwhile
from ..process.memory_limits import require_memory
from ..tokenization.rules import read_text_rules
from ..tokenization.tokenizer import After
from .cache_sizes import CacheSizes, cache_sizes
from .device import free_memory, is_cpu, select_devices, use_extra_buffers
from .native import (
    LOADING_BYTES,
    Native,
    fresh_log,
    is_lack_of_memory,
    llama,
    reason,
    start,
    unlogged,
)
from .rope_options import long_rope_above, yarn_betas
from .row_shapes import RowShape, row_shape
from .sizes import compute_bytes
from .trial import try_in_child
from .vocabulary import Vocabulary

__all__ = ["Model"]


class Model(Native):
    """Weights and vocabulary of one GGUF file, or of several parts, memory-mapped.

    Parts other than those of a published model, ``…-00001-of-00003.gguf``, are shared with
    other models that are made of the same files, so their weights are used as stored in the
    file, without repacking.

    Raises LoadError for a file that contradicts itself, by `check_model`, and, with
    llama.cpp's reason, for one that llama.cpp refuses.
    """

    def __init__(
        self,
        files: Path | Sequence[Path],
        *,
        device: str = "auto",
        n_tensors: int | None = None,
        while_reading: Callable[[], object] | None = None,
    ) -> None:
        """``n_tensors``: total number of tensors in the parts, if it differs from the first
        part's count (a variant may have tensors that its base lacks). ``while_reading`` is called
        on another thread while llama.cpp reads the files; see `meanwhile`.
        """
        parts = [files] if isinstance(files, Path) else list(files)
        # Before anything native: llama.cpp ends the process where it finds a contradiction.
        if not check_model(parts):
            try_in_child(parts[0], device)
        start()
        require_memory(
            f"loading {parts[0].name}",
            0,
            reserved=LOADING_BYTES,
            mapped=sum(part.stat().st_size for part in parts),
            advice="Use a base with a smaller quantization.",
        )
        params = llama.llama_model_default_params()
        published = [part.name for part in parts] == part_names(parts[0].name)
        params.use_extra_bufts = use_extra_buffers() and (published or len(parts) == 1)
        chosen = select_devices(device)
        if chosen is not None:
            self._devices = (ctypes.c_void_p * (len(chosen) + 1))(*(d.handle for d in chosen))
            params.devices = ctypes.cast(self._devices, ctypes.c_void_p)
            params.n_gpu_layers = -1 if chosen else 0
        headers = _headers(parts)
        metadata = headers[0].metadata if headers else {}
        rules = read_text_rules(metadata)
        self.yarn_betas = yarn_betas(metadata)
        self.long_rope_above = long_rope_above(headers)
        """Positions of a context beyond which llama.cpp takes LongRoPE's other factors; None for
        models without."""
        overrides: dict[str, int | bool | str] = {**rules.overrides}
        if len(parts) > 1:
            overrides["split.count"] = len(parts)
            if n_tensors is not None:
                overrides["split.tensors.count"] = n_tensors
        params.kv_overrides = _overrides(overrides)
        pointer = None
        with meanwhile(while_reading):
            with unlogged() as quiet:
                if quiet:
                    pointer = _read(parts, params)
            if not pointer:
                with fresh_log():
                    pointer = _read(parts, params)
        if not pointer:
            error = OutOfMemoryError if is_lack_of_memory(reason()) else LoadError
            raise error(f"llama.cpp cannot load the model {parts[0]}\n{reason()}")
        self._own(pointer, llama.llama_model_free)
        self.adapting = threading.RLock()
        """Held while something is computed, and while the model's list of adapters changes.
        llama.cpp reads that list whenever it reserves a graph, and does not lock it
        (``llama_context::graph_max_nodes``)."""
        self.reserving = threading.RLock()
        """Held while a context is made, which reads the list too but needs not keep computing
        waiting, and while the list changes. It is taken before `adapting`."""
        self.dropped_adapters: deque[Any] = deque()
        """Adapters that nobody uses any more, to be freed under `adapting`; the model frees those
        that are left."""
        self.files = tuple(parts)
        self.device = device
        self.on_cpu = is_cpu(device)
        self.contexts: weakref.WeakSet[Native] = weakref.WeakSet()
        self.adapters: weakref.WeakSet[Native] = weakref.WeakSet()
        self.vocabulary = Vocabulary(llama.llama_model_get_vocab(pointer), self._finalizer, rules)
        self.n_vocab = self.vocabulary.n_tokens
        self.n_ctx_train: int = llama.llama_model_n_ctx_train(pointer)
        self.n_embd: int = llama.llama_model_n_embd_inp(pointer)
        """Numbers of an embedding that takes the place of a token."""
        several = (llama.LLAMA_ROPE_TYPE_MROPE, llama.LLAMA_ROPE_TYPE_IMROPE)
        self.n_positions = 4 if llama.llama_model_rope_type(pointer) in several else 1
        """Dimensions of the position of such an embedding."""

    def close(self) -> None:
        """Close all contexts and adapters of this model, then the model."""
        for owned in (self.contexts, self.adapters):
            for child in list(owned):
                child.close()
        super().close()

    def free_dropped_adapters(self) -> None:
        """Free what finalizers left; under `adapting`."""
        while self.dropped_adapters and not self.closed:
            llama.llama_adapter_lora_free(self.dropped_adapters.popleft())

    def disown(self) -> None:
        """Free nothing of this model, its contexts and adapters, in a forked child."""
        for owned in (self.contexts, self.adapters):
            for child in list(owned):
                child.disown()
        super().disown()

    @property
    def description(self) -> str:
        """For example ``qwen3 0.6B Q8_0``; the size is llama.cpp's guess from the layers."""
        buffer = ctypes.create_string_buffer(128)
        llama.llama_model_desc(self.pointer, buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace")

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return int(llama.llama_model_size(self.pointer))

    def metadata(self, key: str) -> str | None:
        """One value of the file's metadata as text, or None."""
        buffer = ctypes.create_string_buffer(256)
        n = llama.llama_model_meta_val_str(self.pointer, key.encode(), buffer, len(buffer))
        if n >= len(buffer):  # a chat template has some thousand bytes
            buffer = ctypes.create_string_buffer(n + 1)
            n = llama.llama_model_meta_val_str(self.pointer, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if n >= 0 else None

    @property
    def sliding_window(self) -> bool:
        """Whether some layers see only the last positions."""
        architecture = self.metadata("general.architecture")
        return (self.metadata(f"{architecture}.attention.sliding_window") or "0") != "0"

    @lazy
    def cuts_back(self) -> bool:
        """Whether a context can forget the last positions of a stream and keep the others.

        The state of recurrent layers has no positions.
        """
        return not (
            llama.llama_model_is_recurrent(self.pointer)
            or llama.llama_model_is_hybrid(self.pointer)
        )

    @lazy
    def row_shape(self) -> RowShape:
        """Which rows of a prompt must be computed together.

        The types of the embedding and the head do not matter: both compute row by row.
        """
        headers = [read_gguf_header(path, part=len(self.files) > 1) for path in self.files]
        heads = ("token_embd.weight", "output.weight")
        types = {
            tensor.type_name
            for header in headers
            for name, tensor in header.tensors.items()
            if name not in heads
        }
        return row_shape(types, platform.machine() if self.on_cpu else self.device)

    def free_device_memory(self) -> int | None:
        """Bytes that are free now on the devices that compute it; None for a CPU."""
        return None if self.on_cpu else free_memory(self.device)

    def compute_bytes(self, n_ctx: int, n_streams: int, *, flash_attention: bool) -> int:
        """Bytes of a context's buffers for computing, on a CPU."""
        return compute_bytes(
            n_vocab=self.n_vocab,
            n_embd=llama.llama_model_n_embd(self.pointer),
            n_head=llama.llama_model_n_head(self.pointer),
            n_ctx=n_ctx,
            n_streams=n_streams,
            flash_attention=flash_attention,
        )

    @lazy
    def cache_sizes(self) -> CacheSizes:
        """What one sequence takes in the memory of a context."""
        return cache_sizes(read_gguf_header(self.files[0], part=len(self.files) > 1))

    def tokenize(self, text: str, *, special: bool = False, after: After = "nothing") -> list[int]:
        """Token ids of ``text``, without any begin-of-text token.

        With ``special`` the names of control tokens become those tokens;
        without it they stay ordinary text, as text from a user must. ``after`` says
        what comes before the text: SentencePiece puts a space before some texts.
        """
        return self.vocabulary.tokenizer.tokenize(text, special=special, after=after)

    def tokenize_segments(self, segments: Iterable[tuple[str, bool]]) -> list[int]:
        """Token ids of a text in parts, without any begin-of-text token.

        Each part is text, or (with True) the name of a control token.
        """
        return self.vocabulary.tokenizer.tokenize_segments(segments)

    def named_parts(self, text: str) -> list[tuple[str, bool]]:
        """``text`` in parts: names of control and added tokens (with True), and what is between."""
        return self.vocabulary.tokenizer.named_parts(text)

    def special_token(self, text: str) -> int | None:
        """The id of the control or added token whose name is ``text``, or None."""
        return self.vocabulary.tokenizer.special_token(text)

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; see `Vocabulary.piece`."""
        return self.vocabulary.piece(token, special=special)

    def is_end(self, token: int) -> bool:
        """Whether the token ends an answer (end of text, of turn …)."""
        return self.vocabulary.is_end(token)

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of every token; see `Vocabulary.pieces`."""
        return self.vocabulary.pieces

    @property
    def end_tokens(self) -> list[int]:
        """All tokens that end an answer."""
        return self.vocabulary.end_tokens

    @property
    def begin_token(self) -> int | None:
        """The token that must come first, for models that want one."""
        return self.vocabulary.begin_token


def _read(parts: Sequence[Path], params: Any) -> Any:
    """llama.cpp's pointer to the model in these files; null if llama.cpp cannot load it."""
    if len(parts) == 1:
        return llama.llama_model_load_from_file(os.fsencode(parts[0]), params)
    paths = (ctypes.c_char_p * len(parts))(*map(os.fsencode, parts))
    return llama.llama_model_load_from_splits(paths, len(parts), params)


def _headers(parts: Sequence[Path]) -> list[GGUFHeader]:
    """Empty for a file that cannot be read: llama.cpp says why."""
    try:
        return [read_gguf_header(part, part=len(parts) > 1) for part in parts]
    except ConversionError:
        return []


def _overrides(values: Mapping[str, int | bool | str]) -> Any:
    """llama.cpp's list of metadata values to use instead of the file's, ended by an empty key."""
    array = (llama.llama_model_kv_override * (len(values) + 1))()
    for slot, (key, value) in zip(array, values.items(), strict=False):
        slot.key = key.encode()
        if isinstance(value, bool):
            slot.tag = llama.LLAMA_KV_OVERRIDE_TYPE_BOOL
            slot.value.val_bool = value
        elif isinstance(value, int):
            slot.tag = llama.LLAMA_KV_OVERRIDE_TYPE_INT
            slot.value.val_i64 = value
        else:
            slot.tag = llama.LLAMA_KV_OVERRIDE_TYPE_STR
            slot.value.val_str = value.encode()
    return array
