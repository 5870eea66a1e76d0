"""Whole packages, each hostile in one way, drawn at random from a seed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from ..support.packages import adapter_files, manifest_v1, manifest_v2, write_package
from .adapters import ADAPTERS
from .archives import ARCHIVES
from .bases import BASES
from .grammars import GRAMMARS
from .soft_prompts import SOFT_PROMPTS
from .values import odd_json, odd_name, odd_value, wide_json

__all__ = ["KINDS", "write_hostile"]

Files = dict[str, bytes]


def manifest(**fields: Any) -> bytes:
    value = manifest_v2(**fields)
    if "base_models" not in fields:
        # Its template is not that of the tiny base, on which asking would be an error.
        value["base_models"][0] |= {"name": "org/tiny-llama", "prompt_template": None}
    return json.dumps(value).encode("utf-8", "surrogatepass")


def good() -> Files:
    return {"manifest.json": manifest(), **adapter_files()}


def odd_manifest(random: Random) -> Files:
    value = random.choice([manifest_v1, manifest_v2])()
    return {**good(), "manifest.json": odd_json(random, value)}


def wide_manifest(random: Random) -> Files:
    key = random.choice(["capabilities", "routing", "x", "adapters", "soft_prompts", "integrity"])
    inside = wide_json(random, random.choice([10_000, 900_000, 3_000_000]))
    nested = random.choice([inside, f'{{"keywords": {inside}}}', f'{{"files": {inside}}}'])
    text = manifest().decode()
    return {**good(), "manifest.json": f'{text[:-1]}, "{key}": {nested}}}'.encode()}


def many_problems(random: Random) -> Files:
    n = random.choice([100, 20_000, 60_000])
    odd = random.choice([1, None, {}, {"sha256": "x"}, {"path": "../x"}, ["x"], "n" * 300])
    base = {**manifest_v2()["base_models"][0], "name": "tiny-llama"}
    data = random.choice(
        [
            lambda: manifest(routing={"keywords": [odd] * n}),
            lambda: manifest(base_models=[{**base, "adapters": [odd] * n}]),
            lambda: manifest(integrity={"files": {f"{i}/../x": "0" * 64 for i in range(n)}}),
            lambda: manifest(integrity={"files": {f"f{i}": odd for i in range(n)}}),
            lambda: manifest(constraints={"requires": [odd] * n}),
            lambda: manifest(soft_prompts=[odd] * n),
        ]
    )()
    return {**good(), "manifest.json": data}


def odd_strings(random: Random) -> Files:
    name = odd_name(random)
    base = {**manifest_v2()["base_models"][0], "name": "tiny-llama"}
    data = random.choice(
        [
            lambda: manifest(name=name),
            lambda: manifest(description=name, author={"name": name}, license=name),
            lambda: manifest(base_models=[{**base, "adapters": [{"path": name}]}]),
            lambda: manifest(base_models=[{**base, "name": name}]),
            lambda: manifest(base_models=[{**base, "prompt_template": name}]),
            lambda: manifest(training={"decoding": {"grammar_file": name}}),
            lambda: manifest(training={"decoding": {"grammar_type": name, "use_grammar": True}}),
            lambda: manifest(training={"decoding": {"stop_sequences": [name] * 99}}),
            lambda: manifest(integrity={"files": {name: "0" * 64}}),
        ]
    )()
    return {**good(), "manifest.json": data}


def odd_decoding(random: Random) -> Files:
    keys = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens")
    pairs = ", ".join(f'"{key}": {odd_value(random)}' for key in keys if random.random() < 0.4)
    routing = f'{{"priority": {odd_value(random)}}}'
    text = manifest().decode()[:-1]
    text += f', "training": {{"decoding": {{{pairs}}}}}'
    if random.random() < 0.5:
        text += f', "routing": {routing}'
    return {**good(), "manifest.json": f"{text}}}".encode("utf-8", "surrogatepass")}


def chat_template(random: Random) -> Files:
    """A template of the package's own, and options of a tokenizer."""
    loops = "".join("{% for i in range(99) %}" for _ in range(random.randint(1, 20)))
    odd = [
        *("{%" * 50_000, "{{ 9**9**9 }}", "{{ 'a' * 10**9 }}", "{{ ''.__class__ }}", "\0", "{{"),
        *(loops + "a" + "{% endfor %}" * random.randint(0, 20), "{{ messages | tojson }}" * 99),
        *("x" * 2_000_000, "{{ x.y.z }}", "{{ raise_exception('\x1b[2J' * 9999) }}", ""),
    ]
    files = {**good(), "chat_template.jinja": random.choice(odd).encode()}
    if random.random() < 0.5:
        text = random.choice([odd_value(random), wide_json(random, 9_000_000)])
        options = f'{{"bos_token": {text}, "chat_template": {text}}}'
        files["tokenizer_config.json"] = options.encode("utf-8", "surrogatepass")
    return files


def grammar(random: Random) -> Files:
    made = GRAMMARS[random.choice(sorted(GRAMMARS))]()
    data = made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass")
    decoding = {"use_grammar": random.random() < 0.7}
    return {**good(), "manifest.json": manifest(training={"decoding": decoding}),
            "grammar.gbnf": data}  # fmt: skip


FILES: dict[str, Callable[[Random], Files]] = {
    "an odd manifest": odd_manifest,
    "a manifest of many values": wide_manifest,
    "many problems": many_problems,
    "odd strings": odd_strings,
    "odd decoding": odd_decoding,
    "a chat template": chat_template,
    "a grammar": grammar,
    **{kind: lambda r, make=make: {**good(), **make(r)} for kind, make in ADAPTERS.items()},  # type: ignore[misc]
    **{kind: lambda r, make=make: {**good(), **make(r)} for kind, make in BASES.items()},  # type: ignore[misc]
    **{kind: lambda r, make=make: {**good(), **make(r)} for kind, make in SOFT_PROMPTS.items()},  # type: ignore[misc]
}


def with_links(random: Random, path: Path) -> Path:
    """A folder with links, pipes and folders where files are expected."""
    folder = write_package(path, {**good(), "base/config.json": b"{}"})
    for _ in range(random.randint(1, 3)):
        names = ["manifest.json", "adapter_model.safetensors", "adapter_config.json"]
        names += ["grammar.gbnf", "tokenizer.json", "base/config.json", "base/tokenizer.json"]
        place = folder / random.choice([*names, "base/model.safetensors", "tests"])
        if place.is_dir() and not place.is_symlink():
            continue
        place.unlink(missing_ok=True)
        target = random.choice(
            ["/etc/passwd", "/dev/zero", "/dev/stdin", "/proc/self/mem", place.name, "..", "/",
             "manifest.json", "/proc/self/fd/0", "x" * 250, "pipe", "folder"]
        )  # fmt: skip
        if target == "pipe":
            os.mkfifo(place)
        elif target == "folder":
            place.mkdir()
        else:
            place.symlink_to(target)
    return folder


def sparse_files(random: Random, path: Path) -> Path:
    """A folder with files that claim terabytes and take no room."""
    folder = write_package(path, good())
    name = random.choice(["manifest.json", "adapter_config.json", "grammar.gbnf"])
    with (folder / name).open("ab") as file:
        file.truncate(random.choice([1 << 28, 1 << 40]))
    return folder


KINDS = (*FILES, *ARCHIVES, "links", "sparse files of a folder")


def write_hostile(seed: int, folder: Path) -> tuple[str, Path]:
    """Write the package with this number below ``folder``; gives its kind and path."""
    random = Random(seed)
    kind = KINDS[seed % len(KINDS)]
    if kind == "links":
        return kind, with_links(random, folder / "package")
    if kind == "sparse files of a folder":
        return kind, sparse_files(random, folder / "package")
    if kind in ARCHIVES:
        path = folder / "package.expert"
        path.write_bytes(ARCHIVES[kind](random, good()))
        return kind, path
    form = random.choice(["package", "package.expert", "package.zip"])
    return kind, write_package(folder / form, FILES[kind](random))
