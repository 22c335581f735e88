"""The reference: a page for each public module, with all that it exports."""

import importlib
import inspect
import pkgutil
import types

import jaxsp


def pages() -> list[tuple[str, str]]:
    """Names of the public modules, and their pages."""
    names = [m.name for m in pkgutil.iter_modules(jaxsp.__path__) if not m.name.startswith("_")]
    return [(f"jaxsp.{name}", f"reference/{name}.md") for name in names]


def markdown(name: str) -> str:
    """A module's page: its docstring, and an entry for each public name."""
    module = importlib.import_module(name)
    parts = [f"# {name}", inspect.getdoc(module) or ""]
    for member, value in vars(module).items():
        exported = getattr(value, "__module__", name).startswith("jaxsp")
        if not member.startswith("_") and not isinstance(value, types.ModuleType) and exported:
            parts.append(f"::: {name}.{member}")
    return "\n\n".join(parts) + "\n"
