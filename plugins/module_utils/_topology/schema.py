# Copyright: pipework.containers contributors
# GNU General Public License v3.0+ (see LICENSE)
"""What a JSON schema says against a document, in sentences that begin with the path. Pure.

Only the words that the collection's own schema uses are known, so that a controller needs no library for it; a test
holds the verdicts against one.
"""

from __future__ import annotations

import difflib
import re
import typing as t

Schema = t.Mapping[str, t.Any]
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list, tuple), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}
KNOWN = frozenset({
    "$schema", "$id", "title", "description", "default", "definitions", "$ref", "anyOf", "type", "enum", "pattern",
    "properties", "additionalProperties", "required", "items", "minItems", "maxItems", "minLength", "minimum",
    "maximum", "propertyNames", "x-alias-of",
})


def near(name: t.Any, known: t.Iterable[t.Any]) -> str:
    """``; did you mean 'web8'?``, or what there is, where nothing is like it."""
    names = sorted(str(each) for each in known)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    if not names:
        return "; there is none."
    return f"; there {'is' if len(names) == 1 else 'are'} {', '.join(names[:8])}{', …' if len(names) > 8 else ''}."


def violations(schema: Schema, document: t.Any) -> list[str]:
    """All that is wrong, in the order of the document."""
    return list(_check(schema, schema, document, ""))


def resolved(whole: Schema, part: Schema) -> Schema:
    """What a reference leads to."""
    while "$ref" in part:
        part = whole["definitions"][str(part["$ref"]).rpartition("/")[2]]
    return part


def _check(whole: Schema, part: Schema, value: t.Any, path: str) -> t.Iterator[str]:
    part = resolved(whole, part)
    if "anyOf" in part:
        tried = [(resolved(whole, each), list(_check(whole, each, value, path))) for each in part["anyOf"]]
        if all(found for _each, found in tried):
            fitting = [found for each, found in tried if "type" not in each or _is(value, each["type"])]
            yield from (fitting or [found for _each, found in tried])[0]
        return
    at = f"{path}: " if path else ""
    if "type" in part and not _is(value, part["type"]):
        yield f"{at}{_shown(value)} is not {part.get('title') or _types(part['type'])}."
        return
    if "enum" in part and value not in part["enum"]:
        yield f"{at}{_shown(value)} is not possible{near(value, part['enum'])}"
    if isinstance(value, str):
        if "pattern" in part and not re.search(part["pattern"], value):
            yield f"{at}{_shown(value)} is not {part.get('title') or 'of the right form'}."
        if len(value) < part.get("minLength", 0):
            yield f"{at}it is empty."
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if not part.get("minimum", value) <= value <= part.get("maximum", value):
            yield f"{at}{value} is not possible; {part.get('minimum')} to {part.get('maximum')} would be right."
    elif isinstance(value, dict):
        yield from _object(whole, part, value, path)
    elif isinstance(value, (list, tuple)):
        least, most = part.get("minItems", 0), part.get("maxItems", len(value))
        if not least <= len(value) <= most:
            yield f"{at}{len(value)} are listed; {least if least == most else f'{least} to {most}'} would be right."
        for number, each in enumerate(value):
            yield from _check(whole, part.get("items", {}), each, f"{path}[{number}]")


def _object(whole: Schema, part: Schema, value: dict[t.Any, t.Any], path: str) -> t.Iterator[str]:
    known, more = part.get("properties", {}), part.get("additionalProperties", True)
    for name in part.get("required", ()):
        if name not in value:
            yield f"{path}: '{name}' is missing." if path else f"'{name}' is missing."
    for name, inner in value.items():
        here = f"{path}.{name}" if path else str(name)
        if "propertyNames" in part:
            yield from _check(whole, part["propertyNames"], name, here)
        if name in known:
            yield from _check(whole, known[name], inner, here)
        elif more is False:
            yield f"{here}: there is no such option{near(name, known)}"
        elif isinstance(more, dict):
            yield from _check(whole, more, inner, here)


def _is(value: t.Any, names: str | t.Sequence[str]) -> bool:
    for name in [names] if isinstance(names, str) else names:
        if isinstance(value, bool) and name in ("integer", "number"):
            continue
        if isinstance(value, TYPES[name]) or name == "integer" and isinstance(value, float) and value.is_integer():
            return True
    return False


def _types(names: str | t.Sequence[str]) -> str:
    words = {"object": "a mapping", "array": "a list", "integer": "a whole number", "boolean": "true or false"}
    return " or ".join(words.get(name, f"a {name}") for name in ([names] if isinstance(names, str) else names))


def _shown(value: t.Any) -> str:
    if isinstance(value, (dict, list, tuple)):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else repr(value)
