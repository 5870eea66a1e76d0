"""Which room imports which: a newcomer's map, and a wall against new edges.

``python scripts/draw_rooms.py --table`` prints the table as it is now. A new line or word in it is
a decision about the design: does the room need to know the other one?
"""

from __future__ import annotations

import functools
import importlib.util
from graphlib import TopologicalSorter

import pytest

from .support.paths import ROOT

_spec = importlib.util.spec_from_file_location("draw_rooms", ROOT / "scripts" / "draw_rooms.py")
draw_rooms = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(draw_rooms)
draw_rooms.rooms = functools.cache(draw_rooms.rooms)  # reads every module of the package

pytestmark = pytest.mark.unmeasured

# Each room, from the top floor down, and the rooms that it may import.
TABLE = """
cli                      : adapters bases batch cache cluster converters.file_types
                           converters.forms converters.gguf converters.soft_prompts doctor engine
                           errors expert expert_home gbnf hardware hub inference installation
                           json_schema loading manager manifest memory_estimate package packaging
                           process progress prompts residency routing server signing sources
                           storage terminal_text toml_text user_paths verification
gradio                   : errors expert integrations loading requests
cluster                  : batch cache engine errors gbnf hardware hub inference loading manager
                           memory_estimate requests residency server strict_json terminal_text
                           toml_text user_paths
integrations             : expert inference installation loading prompts requests server
batch                    : errors manager terminal_text
server                   : errors gbnf inference json_schema loopback manager manifest prompts
                           requests residency strict_json
manager                  : expert inference loading manifest process requests residency routing
verification             : adapters converters.forms converters.gguf converters.peft
                           converters.safetensors converters.soft_prompts engine expert inference
                           progress sampling
expert                   : adapters bases engine inference loading manifest package process
                           requests
residency                : engine errors gbnf inference loading manifest memory_estimate process
                           requests routing
loading                  : adapters bases cache converters.soft_prompts engine errors hub inference
                           installation manifest memory_estimate package process progress prompts
                           requests signing user_paths
packaging                : adapters archive bases cache chat_templates converters.checkpoints
                           converters.gguf converters.json_file converters.peft
                           converters.soft_prompts errors gbnf hub installation manifest package
                           prompts signing storage strict_json terminal_text user_paths
adapters                 : bases cache converters.forms converters.gguf converters.peft
                           converters.quantization converters.soft_prompts converters.tokenizers
                           engine errors inference lazy package process progress requests storage
bases                    : cache converters.base converters.file_types converters.gguf
                           converters.tokenizers errors expert_home hub lazy package progress
                           storage strict_json user_paths
converters.base          : converters.architectures converters.checkpoints converters.gguf
                           converters.json_file converters.quantization converters.safetensors
                           converters.tokenizers engine errors hardware lazy
converters.forms         : converters.architectures converters.checkpoints converters.gguf
                           converters.peft converters.quantization converters.safetensors errors
installation             : archive cache errors expert_home hub manifest package progress signing
                           sources storage strict_json toml_text user_paths warn_once
memory_estimate          : converters.gguf engine errors inference process
requests                 : engine errors gbnf inference json_schema manifest process prompts
                           sampling
converters.quantization  : converters.file_types converters.safetensors engine errors
doctor                   : cache engine hardware process
inference                : engine errors gbnf lazy process sampling storage
prompts                  : chat_templates converters.gguf converters.json_file
                           converters.tokenizers errors lazy manifest package tokenization
                           user_paths
sources                  : archive cache errors expert_home hub loopback manifest package progress
                           storage strict_json terminal_text toml_text user_paths warn_once
converters.soft_prompts  : converters.architectures converters.gguf converters.peft
                           converters.safetensors converters.torch_zip errors
converters.tokenizers    : converters.gguf converters.json_file errors tokenization
engine                   : converters.gguf errors hardware lazy process sampling tokenization
hub                      : archive converters.checkpoints converters.gguf errors progress storage
                           user_paths
converters.gguf          : converters.architectures errors
converters.architectures : converters.safetensors errors
converters.checkpoints   : converters.json_file converters.safetensors errors
converters.peft          : converters.json_file converters.safetensors errors lazy
converters.torch_zip     : converters.safetensors errors storage
package                  : archive cache errors gbnf manifest signing storage strict_json
                           user_paths
converters.safetensors   : converters.json_file errors
routing                  : manifest strict_json
signing                  : archive errors expert_home storage strict_json
archive                  : errors storage
cache                    : errors storage user_paths
converters.json_file     : errors strict_json
json_schema              : errors gbnf lazy strict_json
manifest                 : errors strict_json
chat_templates           : errors
expert_home              : errors
gbnf                     : errors lazy
process                  : errors
storage                  : errors
strict_json              : lazy
tokenization             : errors
user_paths               : errors
converters.file_types    :
errors                   :
hardware                 :
lazy                     :
loopback                 :
progress                 :
sampling                 :
terminal_text            :
toml_text                :
warn_once                :
"""


def test_rooms_import_only_what_the_table_allows():
    assert draw_rooms.table(draw_rooms.rooms()) == TABLE.strip(), (
        "the imports between rooms changed: see `python scripts/draw_rooms.py --table`"
    )


def test_rooms_import_only_rooms_below_them():
    seen: set[str] = set()
    rooms = draw_rooms.rooms()
    for room in reversed(draw_rooms.ordered(rooms)):
        assert rooms[room] <= seen, f"{room} imports a room that is not below it"
        seen.add(room)


def test_modules_import_each_other_in_no_circle():
    known = draw_rooms.modules()
    # `Grammar` has methods such as `parse`, for which it imports what makes and takes grammars
    without = {"hivellm_lite.gbnf.syntax"}
    graph = {
        name: {target for target in draw_rooms.imports_of(name, path, known) if target != name}
        for name, path in known.items()
        if path.name != "__init__.py" and name not in without
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules


def test_the_picture_shows_the_rooms_as_they_are():
    assert draw_rooms.PICTURE.read_text("utf-8") == draw_rooms.render(), (
        "run `python scripts/draw_rooms.py`"
    )


def test_a_new_import_is_noticed(tmp_path):
    folder = tmp_path / "archive"
    folder.mkdir()
    module = folder / "unpack.py"
    module.write_text("def f():\n    from ..manager import ExpertManager\n")
    known = draw_rooms.modules()
    found = draw_rooms.imports_of("hivellm_lite.archive.unpack", module, known)
    assert [draw_rooms.room_of(target) for target in found] == ["manager"]
