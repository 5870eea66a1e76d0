"""Soft prompts that lie: files of ``torch.save``, pickles, and adapters of PEFT."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from random import Random

import numpy as np

from ..support.packages import manifest_v2, safetensors_bytes
from ..support.paths import FIXTURES
from .values import odd_json, odd_name

__all__ = ["SOFT_PROMPTS"]

Files = dict[str, bytes]
PLACE = FIXTURES / "soft_prompts"


def listing(*paths: str) -> bytes:
    value = manifest_v2(soft_prompts=[{"path": path} for path in paths])
    value["base_models"][0] |= {"name": "org/tiny-llama", "prompt_template": None}
    return json.dumps(value).encode("utf-8", "surrogatepass")


def changed(random: Random, data: bytes) -> bytes:
    """The same bytes with a few changes, cuts and insertions."""
    found = bytearray(data)
    for _ in range(random.choice((1, 2, 8, 50))):
        place = random.randrange(len(found) or 1)
        cut = random.choice((0, 1, 1, 30))
        found[place : place + cut] = random.randbytes(random.choice((0, 1, 1, 30)))
    return bytes(found)


def torch_file(random: Random) -> Files:
    name = random.choice(sorted(path.name for path in (PLACE / "torch").iterdir()))
    data = changed(random, (PLACE / "torch" / name).read_bytes())
    return {"manifest.json": listing(name), name: data}


def torch_program(random: Random) -> Files:
    """A zip whose checksums are right and whose pickle is not."""
    with zipfile.ZipFile(PLACE / "torch" / "state.pt") as file:
        members = {name: file.read(name) for name in file.namelist()}
    odd = [
        lambda data: changed(random, data),
        lambda data: data[:-1] + b"0" * random.choice((10, 200_000)) + b".",
        lambda data: b"\x80\x02" + b"N" * random.choice((10_000, 250_000, 9_000_000)) + b".",
        lambda data: b"\x80\x02)q\0" + b"h\0h\0\x86q\0" * 4_900 + b".",
        lambda _: b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.",
        lambda _: b"\x80\x02(" + b"(" * 19_000 + b"t" * 19_000 + b".",
        lambda _: b"\x80\x02\x8b\xff\xff\xff\x7f.",
        lambda _: b"I" + b"9" * 250_000 + b"\n.",
    ]
    make = random.choice(odd)
    out = io.BytesIO()
    compression = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, make(data) if name.endswith("data.pkl") else data)
    return {"manifest.json": listing("x.pt"), "x.pt": out.getvalue()}


def large_soft_prompts(random: Random) -> Files:
    """As many as are looked at, of zeros, which pack well."""
    rows = np.zeros(random.choice(((1024, 16384), (2048, 8192), (2048, 65536), (1, 64))), "f2")
    data = safetensors_bytes({"rows": rows})
    paths = [f"{i}.safetensors" for i in range(random.choice((1, 3)))]
    return {"manifest.json": listing(*paths), **dict.fromkeys(paths, data)}


def soft_prompt_of_peft(random: Random) -> Files:
    """In the place of the adapter."""
    names = sorted(path for path in PLACE.glob("*/*") if (path / "adapter_config.json").exists())
    files = {path.name: path.read_bytes() for path in random.choice(names).iterdir()}
    config = json.loads(files["adapter_config.json"])
    if random.random() < 0.5:
        files["adapter_config.json"] = odd_json(random, config)
    else:
        files["adapter_model.safetensors"] = changed(random, files["adapter_model.safetensors"])
    return files


def odd_paths(random: Random) -> Files:
    return {"manifest.json": listing(*(odd_name(random) for _ in range(random.choice((1, 900)))))}


SOFT_PROMPTS: dict[str, Callable[[Random], Files]] = {
    "a changed file of torch": torch_file,
    "a changed pickle": torch_program,
    "large soft prompts": large_soft_prompts,
    "a soft prompt of PEFT": soft_prompt_of_peft,
    "odd paths of soft prompts": odd_paths,
}
