"""Settings as YAML that says what each one means: the comments beside them in the code, and the names they may take.

print(explained(resolve("fast")))      # goes into --config as it is

What the commands have an argument or option for (DATA, --labels, --seed, …) can be commented out: a file that is laid
over a run would take its labels away.
"""

import inspect
import re
from collections.abc import Collection, Iterator
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

_COMMENTED = re.compile(r"    (\w+): .*  # (.+)")


def explained(settings: BaseModel, options: Collection[str] = ()) -> str:
    """YAML of the settings, a comment behind each that has one, no line end; those in `options` are commented out."""
    lines = _lines(settings, settings.model_dump(mode="json"), "")
    return "\n".join(f"# {line}" if line.partition(":")[0] in options else line for line in lines)


def comments(kind: type[BaseModel]) -> dict[str, str]:
    """What the code says beside each setting, and the names that it may take where these are few."""
    try:
        source = inspect.getsource(kind).splitlines()
    except OSError:  # installed without its source
        source = []
    found = {match[1]: match[2] for line in source if (match := _COMMENTED.fullmatch(line))}
    for name, field in kind.model_fields.items():
        names = [str(value) for value in _names(field.annotation)]
        if names and not all(value in found.get(name, "") for value in names):
            found[name] = "; ".join(filter(None, [", ".join(names), found.get(name)]))
    return found


def _names(annotation: Any) -> Iterator[Any]:
    """The values of every Literal in it."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for part in get_args(annotation):
            yield from _names(part)


def _lines(settings: BaseModel, tree: dict[str, Any], indent: str) -> Iterator[str]:
    said = comments(type(settings))
    for name, value in tree.items():
        part = getattr(settings, name)
        if isinstance(part, BaseModel):
            what = said.get(name) or (type(part).__doc__ or "").partition("\n")[0].rstrip(".")
            yield f"{indent}{name}:  # {what}"
            yield from _lines(part, value, indent + "  ")
        else:
            text = yaml.safe_dump([value], default_flow_style=True, width=10_000).strip()[1:-1]
            yield f"{indent}{name}: {text}" + (f"  # {said[name]}" if name in said else "")
