"""Proof of a conversion: a comparison of what is served with what the adapter means.

For each tensor, numpy compares the weights that llama.cpp computes with and PEFT's own merge in
float32. With prompts, llama.cpp compares the served logits with the logits of an exact float32
model, and shows what the base's quantisation alone costs. The result is recorded with the
converted adapter.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .adapters.conversion import read_package_adapter
from .adapters.soft_prompt_conversion import own_soft_prompt
from .adapters.vocabulary import vocabulary_for
from .converters.forms.base_copies import on_its_copies
from .converters.forms.fitting import find_targets
from .converters.forms.float_model import write_float_model
from .converters.forms.merging import base_values, merged, updates_by_tensor
from .converters.forms.weights import checkpoint_weights, gguf_weights
from .converters.gguf.split import kind_file, kind_of
from .converters.soft_prompts import convert_soft_prompt, load_soft_prompt, read_soft_prompt
from .engine.options import ContextOptions
from .expert import Expert, loaded_of
from .inference.batches import generate_tokens
from .inference.decoding import Request
from .inference.opening import open_session
from .inference.scoring import log_probability_blocks
from .sampling import SamplingParams

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .adapters.loss import AdapterLoss
    from .converters.forms.targets import Target
    from .converters.forms.weights import WeightSource
    from .converters.gguf.header import GGUFHeader
    from .converters.peft.updates import Update
    from .converters.safetensors import Float32Array
    from .engine import Applied
    from .inference.session import Session
    from .progress import Progress

__all__ = [
    "LogitError",
    "TensorError",
    "Verification",
    "compare",
    "greedy",
    "log_probabilities",
    "verify_conversion",
]


@dataclass(frozen=True)
class TensorError:
    """The errors of one adapted tensor, relative, in the Frobenius norm.

    ``served`` is the error of the served weight. ``base`` is the error of the base's weight, which
    its quantisation causes. ``delta`` is the error of the served change, which is the served
    weight less the base's; for a variant, the merged weight less the exact base's.
    """

    name: str
    served: float
    base: float
    delta: float


@dataclass(frozen=True)
class LogitError:
    """Divergence from the exact model over ``positions`` places of the answers.

    ``kl_mean`` and ``kl_max`` in nats per token, ``top1`` the share of places with the
    same most probable token.
    """

    kl_mean: float
    kl_max: float
    top1: float
    positions: int


@dataclass(frozen=True)
class Verification:
    """The whole proof.

    ``loss`` is the lost share of the adapter's effect, as the conversion measured it. ``served``
    compares this expert with its exact float32 form, and ``base_only`` the base without adapter
    with its own; both are None without prompts.
    """

    expert: str
    form: str
    source: str
    tensors: tuple[TensorError, ...]
    loss: AdapterLoss
    served: LogitError | None = None
    base_only: LogitError | None = None

    def as_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "loss": self.loss.as_dict()}


def verify_conversion(
    expert: Expert,
    prompts: Sequence[str] = (),
    *,
    schema: str | None = None,
    max_tokens: int = 48,
    progress: Progress | None = None,
) -> Verification:
    """Measure ``expert`` and record the result in its cache entry.

    The exact model answers ``prompts`` greedily, with up to ``max_tokens`` each. The probabilities
    at every token of these answers are compared. The exact model is written to a temporary folder
    and takes 4 bytes a parameter.

    Raises ConversionError when the adapter or the float weights cannot be read.
    """
    base = expert.base.path
    with ExitStack() as stack:
        weights = stack.enter_context(gguf_weights(base))
        source: WeightSource = weights
        if expert.float_weights is not None:
            source = stack.enter_context(checkpoint_weights(expert.float_weights))
        updates = _updates(expert, weights.header, source)
        tensors = _tensor_errors(expert, weights.header, updates, source, progress)
        tensors += _soft_prompt_errors(expert, weights.header)
        result = Verification(
            expert=expert.manifest.identity,
            form=expert.prepared.form,
            source=source.origin,
            tensors=tuple(tensors),
            loss=expert.prepared.loss,
        )
        if prompts:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hivellm-")))
            served, base_only = _logit_errors(
                expert, weights, source, updates, folder, prompts, schema, max_tokens
            )
            result = dataclasses.replace(result, served=served, base_only=base_only)
    expert.prepared.entry.record("verification", result.as_dict())
    return result


def _updates(
    expert: Expert, header: GGUFHeader, source: WeightSource
) -> list[tuple[Target, Update]]:
    """The changes of weights that the adapter means; none for a soft prompt."""
    if expert.prepared.soft_prompt is not None:
        return []
    adapter = read_package_adapter(expert.package, header)
    return find_targets(on_its_copies(adapter, header, source), header)


def _soft_prompt_errors(expert: Expert, header: GGUFHeader) -> list[TensorError]:
    """How far the rows that are computed with are from those of the package's file."""
    own, path = own_soft_prompt(expert.package), expert.prepared.soft_prompt
    if own is None or path is None:
        return []
    rows = read_soft_prompt(own.weights, own.config)
    wanted = convert_soft_prompt(rows, header, own.weights)
    error = _relative(load_soft_prompt(path).embeddings - wanted, wanted)
    return [TensorError(own.name, error, 0.0, error)]


def _tensor_errors(
    expert: Expert,
    header: GGUFHeader,
    updates: Sequence[tuple[Target, Update]],
    source: WeightSource,
    progress: Progress | None,
) -> list[TensorError]:
    steps = updates_by_tensor(updates)
    found = []
    with gguf_weights(header.path) as base:
        for done, (target, changes) in enumerate(steps.values(), start=1):
            exact = merged(target, changes, source)
            original = base_values(target, source)
            quantised = base_values(target, base)
            served, change = _served(expert, target, quantised)
            wanted = exact - original
            if change is None:  # merged: what is served replaces the base's weight
                change = served - original
            found.append(
                TensorError(
                    target.gguf_name,
                    _relative(served - exact, exact),
                    _relative(quantised - original, original),
                    _relative(change - wanted, wanted),
                )
            )
            if progress is not None:
                progress("Comparing tensors", done, len(steps))
    return found


def _served(
    expert: Expert, target: Target, quantised: Float32Array
) -> tuple[Float32Array, Float32Array | None]:
    """The weight that is computed with, and the change that a LoRA makes (None for a variant)."""
    prepared = expert.prepared
    if prepared.lora is None:
        part = prepared.entry.path / kind_file(kind_of(target.gguf_name))
        with gguf_weights(part, part=True) as file:
            tensor = file.header.tensors[target.gguf_name]
            return target.loaded(file.read_tensor(tensor)), None
    with gguf_weights(prepared.lora) as file:
        pair = [file.header.tensors.get(f"{target.gguf_name}.lora_{side}") for side in "ab"]
        if pair[0] is None or pair[1] is None:  # an update that changes nothing
            return quantised, np.zeros_like(quantised)
        a, b = (file.read_tensor(tensor) for tensor in pair if tensor is not None)
    # an embedding's A is stored flipped, and its delta is the transpose
    change = (b @ a.T).T if target.module == "embed_tokens" else target.from_gguf(b @ a)
    return quantised + change, change


def _relative(error: Float32Array, whole: Float32Array) -> float:
    size = float(np.linalg.norm(whole))
    return float(np.linalg.norm(error)) / size if size else float(np.linalg.norm(error))


def _logit_errors(
    expert: Expert,
    weights: Any,
    source: WeightSource,
    updates: Sequence[tuple[Target, Update]],
    folder: Path,
    prompts: Sequence[str],
    schema: str | None,
    max_tokens: int,
) -> tuple[LogitError, LogitError]:
    from .engine import Adapter  # loads llama.cpp

    plain = [expert.tokenize_prompt(prompt, schema=schema) for prompt in prompts]
    prefix = loaded_of(expert).effect().prefix
    n_ctx = len(prefix) + max(map(len, plain)) + max_tokens
    options = ContextOptions(n_ctx, kv_type="f32", flash_attention=False)
    results = []
    for with_expert, changes in ((True, updates), (False, [])):
        questions = [[*prefix, *one] for one in plain] if with_expert else plain
        place = folder / ("exact" if with_expert else "plain")
        place.mkdir()
        vocabulary = vocabulary_for(expert.package, weights.header)
        parts, n_tensors = write_float_model(weights, source, changes, place, vocabulary=vocabulary)
        reference = open_session(parts, "cpu", options, n_tensors=n_tensors)
        try:
            answers = [greedy(reference, question, max_tokens) for question in questions]
            expected = [
                log_probabilities(reference, (), *pair)
                for pair in zip(questions, answers, strict=True)
            ]
        finally:
            reference.release()
        for part in parts:
            part.unlink()
        served = open_session(
            expert.prepared.files if with_expert else expert.base.files,
            "cpu",
            options,
            n_tensors=expert.prepared.n_tensors if with_expert else None,
        )
        try:
            lora = expert.prepared.lora if with_expert else None
            adapter = Adapter(served.model, lora) if lora is not None else None
            found = [
                log_probabilities(served, ((adapter, 1.0),) if adapter else (), *pair)
                for pair in zip(questions, answers, strict=True)
            ]
            if adapter is not None:
                served.forget_adapter(adapter)
        finally:
            served.release()
        results.append(compare(expected, found))
    return results[0], results[1]


def greedy(
    session: Session, prompt: list[int], max_tokens: int, applied: Applied = ()
) -> list[int]:
    """The most probable answer, token by token, the end token included."""
    request = Request(
        expert="",
        prompt=prompt,
        applied=applied,
        sampling=SamplingParams(),
        seed=0,
        max_tokens=max_tokens,
        literal_stops=(),
        balanced_stops=(),
    )
    return generate_tokens(session, request)


def log_probabilities(
    session: Session, applied: Applied, prompt: list[int], answer: list[int]
) -> NDArray[np.float64]:
    """Log-probabilities of all tokens at the place of each answer token, shape
    (answer tokens, n_vocab).
    """
    return np.concatenate(list(log_probability_blocks(session, prompt, answer, applied)))


def compare(expected: list[NDArray[np.float64]], found: list[NDArray[np.float64]]) -> LogitError:
    p, q = np.concatenate(expected), np.concatenate(found)
    divergence = (np.exp(p) * (p - q)).sum(axis=1)
    return LogitError(
        kl_mean=float(divergence.mean()),
        kl_max=float(divergence.max()),
        top1=float((p.argmax(axis=1) == q.argmax(axis=1)).mean()),
        positions=len(p),
    )
