"""Write ``docs/api.md``: every public name with its signature and what it is for.

Usage: ``python scripts/make_api_docs.py``

Reads the source and imports nothing of it, so it sees what a reader and a type checker see.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"
WIDTH = 100

MODULES = (
    "hivellm_lite",
    *(f"hivellm_lite.{name}" for name in ("errors", "routing", "package", "manifest", "bases")),
    *(f"hivellm_lite.{name}" for name in ("adapters", "json_schema", "archive", "converters")),
    *("hivellm_lite.grammars", "hivellm_lite.cluster"),
)
"""The public modules, in the order of the page."""

GENERATOR = ("send", "throw")
"""Methods of Python's generators, which a class has so that it can be one."""

OPAQUE = "Its methods may change in any release."
"""Of a class whose docstring says so, only the constructor is public."""

INTRODUCTION = """\
# The public names

Made by `scripts/make_api_docs.py` from the source; a test fails when the two differ. Each name
has its signature and the first paragraph of its docstring; `help()` shows the rest.

## What is public

- The names in `__all__` of the modules on this page: exactly those that are listed here, with the
  methods and fields that have no leading underscore.
- The models for other libraries and the page of Gradio: the names on
  [integrations.md](integrations.md).
- The command `hivellm-lite` with its options and exit codes ([cli.md](cli.md)), also as
  `python -m hivellm_lite` and `hivellm_lite.cli:main`.

Everything else is private, with or without an underscore: every module and folder that is not a
heading of this page, and every name that is not listed under one. A folder of private modules
says in its docstring "Private: may change in any release."; a single module says nothing, this
rule covers it. A signature can name a private class, as that of `Expert.session` does: such an
object can be passed on, and what else it offers is private. The library alone makes objects of a
class whose constructor is not shown.

## What a version promises

Versions follow [Semantic Versioning](https://semver.org/). While the first number is 0, a release
with a new second number may change or remove public names, and `CHANGELOG.md` lists every such
change; a release with a new third number changes none. Private names may change in any release
and are not listed.
"""


# --- reading the source ------------------------------------------------------------------


@dataclass(frozen=True)
class Definition:
    """Where a name is defined: a class, a function, or an assignment with the text after it."""

    module: str
    name: str
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign
    doc: str


def path_of(module: str) -> Path:
    """The file of a module of the package; some of its folders stand beside it."""
    parts = module.split(".")
    for outside in ("converters", "grammars"):
        if parts[1:2] == [outside]:
            parts = parts[1:]
            break
    path = ROOT.joinpath(*parts)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(path_of(module).read_text("utf-8"))


def exported(module: str) -> list[str]:
    """``__all__`` as it is written."""
    for node in tree_of(module).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.Assign):
            (target,) = node.targets
        if isinstance(target, ast.Name) and target.id == "__all__":
            return list(ast.literal_eval(node.value))
    raise ValueError(f"{module} has no __all__")


def definitions(module: str) -> Iterator[Definition]:
    """What a module itself defines at its top level, imports aside."""
    body = tree_of(module).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield Definition(module, node.name, node, ast.get_docstring(node) or "")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                for name in names:
                    if isinstance(name, ast.Name):
                        yield Definition(module, name.id, node, text_in(following))


def text_in(node: ast.AST | None) -> str:
    """The docstring of an attribute: a text that stands by itself."""
    if (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ):
        return inspect.cleandoc(node.value.value)
    return ""


def find(module: str, name: str) -> Definition | None:
    """The definition of a name that a module defines or imports; None if it is not ours."""
    for one in definitions(module):
        if one.name == name:
            return one
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return find(resolved(module, node), alias.name)
    return None


def resolved(module: str, node: ast.ImportFrom) -> str:
    """The absolute name of the module that a relative import names."""
    parts = module.split(".")
    up = node.level - (path_of(module).name == "__init__.py")
    parts = parts[: len(parts) - up]
    return ".".join([*parts, node.module] if node.module else parts)


def members(node: ast.ClassDef) -> Iterator[tuple[ast.stmt, str]]:
    """The public fields, properties and methods of a class, each with its docstring."""
    for one, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not one.name.startswith("_") and one.name not in GENERATOR:
                yield one, ast.get_docstring(one) or ""
        elif (
            isinstance(one, ast.AnnAssign)
            and isinstance(one.target, ast.Name)
            and not one.target.id.startswith("_")
        ):
            yield one, text_in(following)


# --- writing the page --------------------------------------------------------------------


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> str:
    """``name(arguments) -> result`` without ``self`` and ``cls``."""
    start = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    result = f" -> {source(node.returns)}" if node.returns and name == node.name else ""
    return f"{start}{name}({', '.join(arguments_of(node))}){result}"


def arguments_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    """Each argument with its type and default, and the marks ``/`` and ``*`` between them."""
    given = node.args
    places = [*given.posonlyargs, *given.args]
    missing: list[ast.expr | None] = [None] * (len(places) - len(given.defaults))
    for index, (one, default) in enumerate(zip(places, missing + given.defaults, strict=True)):
        if index or one.arg not in ("self", "cls"):
            yield argument(one, default)
        if given.posonlyargs and one is given.posonlyargs[-1]:
            yield "/"
    if given.vararg:
        yield f"*{argument(given.vararg, None)}"
    elif given.kwonlyargs:
        yield "*"
    for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield argument(one, default)
    if given.kwarg:
        yield f"**{argument(given.kwarg, None)}"


def argument(one: ast.arg, default: ast.expr | None) -> str:
    kind = f": {source(one.annotation)}" if one.annotation else ""
    return f"{one.arg}{kind}{f' = {source(default)}' if default else ''}"


def constructor(module: str, node: ast.ClassDef) -> str:
    """``Name(arguments)`` for a class that users make; bases for options; else the name.

    What takes an object of a private class is made by the library alone.
    """
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            private = any(is_private(module, name) for name in names_in_arguments(one))
            return node.name if private else signature(one, node.name)
    bases = [source(base) for base in node.bases]
    return f"{node.name}({', '.join(bases)})" if bases else node.name


def names_in_arguments(node: ast.FunctionDef) -> Iterator[str]:
    for one in ast.walk(node.args):
        if isinstance(one, ast.arg) and one.annotation:
            yield from (part.id for part in ast.walk(one.annotation) if isinstance(part, ast.Name))


def is_private(module: str, name: str) -> bool:
    """Whether a type in a signature is one of this package that it does not export."""
    definition = find(module, name)
    return definition is not None and definition not in public_definitions()


@cache
def public_definitions() -> tuple[Definition, ...]:
    found = (find(module, name) for module in MODULES for name in exported(module))
    return tuple(one for one in found if one is not None)


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(source(one) in ("property", "lazy") for one in node.decorator_list)


def source(node: ast.AST) -> str:
    """A piece of code, its texts in double quotes as ruff writes them."""
    # Python 3.10 writes a space after a lambda without arguments
    return ast.unparse(node).replace("'", '"').replace("lambda :", "lambda:")


def first_paragraph(doc: str) -> str:
    paragraph = " ".join(doc.split("\n\n")[0].split())
    return "" if paragraph == "::" else paragraph


def wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(
        text,
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def code(line: str) -> str:
    """A block of code; a long line is broken after its commas."""
    if len(line) > WIDTH:
        line = wrapped(line, "    ")
    return f"```python\n{line}\n```"


def entry(definition: Definition) -> str:
    """The section of one name."""
    node, name, doc = definition.node, definition.name, first_paragraph(definition.doc)
    if isinstance(node, ast.ClassDef):
        shown = code(f"class {constructor(definition.module, node)}")
        lines = [f"### {name}", shown, wrapped(doc)]
        if OPAQUE not in " ".join(definition.doc.split()):
            items = [member(one, text) for one, text in members(node)]
            if items:
                lines.append("\n".join(items))
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        lines = [f"### {name}", code(signature(node, name)), wrapped(doc)]
    else:
        value = source(node.value) if node.value else ""
        lines = [
            f"### {name}",
            code(f"{name} = {value}") if len(value) <= WIDTH else "",
            wrapped(doc),
        ]
    return "\n\n".join(line for line in lines if line)


def member(node: ast.stmt, doc: str) -> str:
    """One line of a class: a field, a property or a method."""
    if isinstance(node, ast.AnnAssign):
        value = f" = {source(node.value)}" if node.value is not None else ""
        shown = f"{source(node.target)}: {source(node.annotation)}{value}"
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        shown = signature(node, node.name)
        if is_property(node):
            shown = f"{node.name}: {source(node.returns) if node.returns else ''}"
    text = first_paragraph(doc)
    return wrapped(f"- `{shown}`{': ' + text if text else ''}", "  ")


def render() -> str:
    parts = [INTRODUCTION.rstrip()]
    shown: dict[tuple[str, str], str] = {}
    for module in MODULES:
        names = [name for name in exported(module) if name != "__version__"]
        doc = ast.get_docstring(tree_of(module)) or ""
        parts += [f"## {module}", wrapped(first_paragraph(doc))]
        again = []
        for name in names:
            definition = find(module, name)
            if definition is None:
                raise LookupError(f"{module} exports {name}, which nothing defines")
            key = definition.module, definition.name
            if key in shown:
                again.append(f"`{name}`")
            else:
                shown[key] = module
                parts.append(entry(definition))
        if again:
            parts.append(wrapped(f"Described above: {', '.join(again)}."))
    return "\n\n".join(part for part in parts if part) + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
