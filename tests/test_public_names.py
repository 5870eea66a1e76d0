"""What is public: exported, typed, documented with public names, and on the page of the API."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys

import pytest

from hivellm_lite.loading import options as load_options

from .support.paths import ROOT

MARK = "Private: may change in any release."


def _script():
    path = ROOT / "scripts" / "make_api_docs.py"
    spec = importlib.util.spec_from_file_location("make_api_docs", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


api = _script()

PUBLIC = [(module, name) for module in api.MODULES for name in api.exported(module)]
NAMED = {name for _, name in PUBLIC}


def test_the_page_of_the_api_is_what_the_source_says():
    assert api.PAGE.read_text("utf-8") == api.render(), "run scripts/make_api_docs.py"


# --- what is exported --------------------------------------------------------------------


def order(name: str) -> tuple[int, str]:
    """Constants, classes, the rest: ruff's order of ``__all__``."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("module", api.MODULES)
def test_all_is_sorted_and_every_name_in_it_is_there(module):
    loaded = importlib.import_module(module)
    assert loaded.__all__ == sorted(loaded.__all__, key=order) == api.exported(module)
    for name in loaded.__all__:
        assert getattr(loaded, name) is not None
        assert name == "__version__" or api.find(module, name) is not None


def unexported(module: str) -> set[str]:
    """Names without an underscore that a public module defines and does not export."""
    defined = {one.name for one in api.definitions(module) if not one.name.startswith("_")}
    return defined - set(api.exported(module))


@pytest.mark.parametrize("module", api.MODULES)
def test_a_public_module_defines_nothing_else_without_an_underscore(module):
    assert unexported(module) == set()


def test_a_name_that_is_not_exported_is_found():
    assert {"MANIFEST", "safe_path"} <= unexported_if_public("hivellm_lite.package.files")
    assert "schema_of" not in unexported_if_public("hivellm_lite.package.files")


def unexported_if_public(module: str) -> set[str]:
    return {one.name for one in api.definitions(module) if not one.name.startswith("_")}


def folders() -> list[str]:
    """Every package, by its dotted name."""
    found = []
    for top in ("hivellm_lite", "converters", "grammars"):
        for path in (ROOT / top).rglob("__init__.py"):
            parts = path.parent.relative_to(ROOT).parts
            found.append(".".join(parts if top == "hivellm_lite" else ("hivellm_lite", *parts)))
    return sorted(found)


@pytest.mark.parametrize("folder", folders())
def test_a_folder_is_public_or_says_that_it_is_private(folder):
    doc = ast.get_docstring(api.tree_of(folder))
    assert (MARK in doc) is (folder not in api.MODULES)


def test_the_command_can_be_called_by_its_public_name():
    assert callable(importlib.import_module("hivellm_lite.cli").main)


# --- types -------------------------------------------------------------------------------


def callables(definition):
    """The functions of a public name: itself, or the methods that its users call."""
    node = definition.node
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield node
    elif isinstance(node, ast.ClassDef) and not is_opaque(definition):
        for one in node.body:
            if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) and (
                one.name == "__init__" or (one.name not in api.GENERATOR and one.name[0] != "_")
            ):
                yield one


def is_opaque(definition) -> bool:
    return api.OPAQUE in " ".join(definition.doc.split())


def annotations(definition):
    """Every type that a public name has in a signature, a field or an alias."""
    node = definition.node
    for function in callables(definition):
        for one in ast.walk(function.args):
            if isinstance(one, ast.arg) and one.arg not in ("self", "cls"):
                yield f"{function.name}({one.arg})", one.annotation
        yield f"{function.name}()", function.returns
    if isinstance(node, ast.ClassDef):
        for one, _ in api.members(node):
            if isinstance(one, ast.AnnAssign):
                yield ast.unparse(one.target), one.annotation
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and not definition.name.isupper():
        yield definition.name, node.value


def names_any(annotation, module: str, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a type says ``Any``, itself or by an alias of this package; none is ``Any`` too."""
    if annotation is None:
        return True
    for one in ast.walk(annotation):
        if isinstance(one, ast.Name):
            name = one.id
        elif isinstance(one, ast.Attribute):
            name = one.attr
        elif isinstance(one, ast.Constant) and isinstance(one.value, str) and " " in one.value:
            if names_any(ast.parse(one.value, mode="eval").body, module, seen):
                return True
            continue
        else:
            continue
        if name == "Any":
            return True
        found = api.find(module, name)
        alias = None if found is None or name in seen else getattr(found.node, "value", None)
        if alias is not None and names_any(alias, found.module, seen | {name}):
            return True
    return False


@pytest.mark.unmeasured
@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_no_public_signature_says_any(module, name):
    definition = api.find(module, name)
    if name == "__version__":
        return
    untyped = [where for where, one in annotations(definition) if names_any(one, definition.module)]
    assert untyped == []


PASSED_ON = {"Applied", "CacheEntry", "Hub", "Node", "Options", "Session", "Update"}
"""Private classes in public signatures: users pass their objects on and need nothing of them."""


@pytest.mark.unmeasured
@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_the_types_of_public_signatures_are_public(module, name):
    definition = api.find(module, name)
    if name == "__version__":
        return
    shown = [one for where, one in annotations(definition) if not where.startswith("__init__")]
    names = {part.id for one in shown for part in ast.walk(one) if isinstance(part, ast.Name)}
    assert {one for one in names if api.is_private(definition.module, one)} <= PASSED_ON


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("int", False),
        ("Any", True),
        ("typing.Any", True),
        ("dict[str, list[Any]] | None", True),
        ("'Mapping[str, Any] | None'", True),
        ("GrammarOption", False),
        ("_Convertible", True),
    ],
)
def test_any_is_found_wherever_it_is(written, expected, monkeypatch):
    module = "hivellm_lite.requests.grammars"
    alias = ast.parse("_Convertible = 'dict[str, Any] | None'").body
    changed = ast.Module([*api.tree_of(module).body, *alias], [])
    trees = {module: changed}
    original = api.tree_of
    monkeypatch.setattr(api, "tree_of", lambda name: trees.get(name) or original(name))
    assert names_any(ast.parse(written, mode="eval").body, module) is expected


def test_an_argument_without_a_type_is_found():
    node = ast.parse("def ask(prompt, *, n: int): ...").body[0]
    definition = api.Definition("hivellm_lite", "ask", node, "")
    found = [where for where, one in annotations(definition) if names_any(one, "hivellm_lite")]
    assert found == ["ask(prompt)", "ask()"]


# --- documentation -----------------------------------------------------------------------

_REFERENCE = re.compile(r"(?<![`\w])`([^`\n]+)`(?!`)")


def attributes(definition) -> set[str]:
    """What an object of a class has: methods, fields, and what its methods set."""
    if not isinstance(definition.node, ast.ClassDef):
        return set()
    found = {base_attribute for base in bases(definition) for base_attribute in attributes(base)}
    for one in ast.walk(definition.node):
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found.add(one.name)
        target = one.target if isinstance(one, ast.AnnAssign) else None
        if isinstance(target, ast.Name):
            found.add(target.id)
        elif isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
            found.add(target.attr)
    return {name for name in found if not name.startswith("_")}


def bases(definition):
    for base in definition.node.bases:
        found = api.find(definition.module, ast.unparse(base))
        if found is not None:
            yield found


def is_named(reference: str, own: set[str]) -> bool:
    """Whether a reader finds this name: exported, or of an exported class or the class itself."""
    first, _, attribute = reference.removesuffix("()").partition(".")
    if not attribute:
        return first in NAMED or first in own
    return any(
        name == first and attribute in attributes(api.find(module, name))
        for module, name in PUBLIC
        if name != "__version__"
    )


def unknown_names(texts, own: set[str]) -> list[str]:
    """The names in single backticks that lead nowhere."""
    found = (name for text in texts for name in _REFERENCE.findall(text))
    return [name for name in found if not is_named(name, own)]


def docstrings(definition):
    yield definition.doc
    if isinstance(definition.node, ast.ClassDef) and not is_opaque(definition):
        for _, text in api.members(definition.node):
            yield text
        for one in callables(definition):
            yield ast.get_docstring(one) or ""


@pytest.mark.unmeasured
@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_public_docstrings_name_what_is_public(module, name):
    definition = api.find(module, name)
    if name != "__version__":
        assert unknown_names(docstrings(definition), attributes(definition)) == []


@pytest.mark.parametrize("module", api.MODULES)
def test_docstrings_of_public_modules_name_what_is_public(module):
    assert unknown_names([ast.get_docstring(api.tree_of(module))], set()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See `Expert.load`, `generate` and ``code``.", []),
        ("See `Expert.lode`.", ["Expert.lode"]),
        ("See `SessionOptions` and `load_parts`.", ["SessionOptions", "load_parts"]),
        ("See `TextStream`, whose `result` it is.", ["result"]),
        ("See ```not this``` and `Session.model.tokenize`.", ["Session.model.tokenize"]),
    ],
)
def test_a_name_that_leads_nowhere_is_found(text, expected):
    own = attributes(api.find("hivellm_lite", "Expert"))
    assert unknown_names([text], own) == expected


@pytest.mark.unmeasured
@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_every_public_name_is_documented(module, name):
    definition = api.find(module, name)
    if name == "__version__":
        return
    missing = [] if definition.doc else [name]
    if isinstance(definition.node, ast.ClassDef) and not is_opaque(definition):
        missing += [
            one.name
            for one, text in api.members(definition.node)
            if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)) and not text
        ]
    assert missing == []


def test_the_options_of_loading_say_their_true_defaults():
    settings = load_options.LoadSettings.of({}, caller="test")
    true = {
        "verify": settings.verify,
        "offline": settings.offline,
        "device": settings.device,
        "adapter_mode": settings.adapter.mode,
        "force": settings.adapter.force,
        "n_ctx": settings.session.context.n_ctx,
        "kv_type": settings.session.context.kv_type,
        "max_streams": settings.session.max_streams,
        "own_context": not settings.session.shared,
        "parked_bytes": f"{settings.session.parked_bytes >> 20} MiB",
    }
    said = {}
    for group in bases(api.find("hivellm_lite", "LoadOptions")):
        node = group.node
        said |= {ast.unparse(one.target): text for one, text in api.members(node)}
    assert set(said) == set(load_options.LoadOptions.__annotations__)
    for name, text in said.items():
        default = re.search(r"Default: (.*)\.$", " ".join(text.split())) or re.search(
            r"Default: (.*)", " ".join(text.split())
        )
        assert default, f"{name} tells no default"
        if name in true:
            value = true[name]
            quoted = isinstance(value, str) and "MiB" not in value
            assert default[1] == (f'``"{value}"``' if quoted else str(value))
