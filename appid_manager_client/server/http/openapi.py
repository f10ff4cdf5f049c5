"""`/openapi.json`: the description of all calls, made from what `described` has of each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from ..._version import __version__
from .answers import Reply, as_json
from .described import CALLS, REFUSAL, Call, Schema

_REFERENCE = "#/components/schemas/{model}"
_EVERY = (400, 408, 413, 500, 503)
_WORDS = {
    400: "What was sent can't be used.",
    401: "The token is missing or wrong.",
    403: "The token's role doesn't allow it, or a browser's page of another origin asks for it.",
    404: "There is no such product.",
    408: "It took too long to come.",
    409: "It isn't so any more.",
    413: "It is too large.",
    429: "As many wait as there may be.",
    500: "The service failed.",
    503: "The service can do nothing now.",
}


def description() -> Reply:
    """The answer to `GET /openapi.json`."""
    return as_json(document())


@cache
def document() -> Schema:
    """The description as OpenAPI 3.1 has it."""
    schemas: Schema = {"Refusal": REFUSAL}
    paths: Schema = {}
    for call in CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AppIDs",
            "version": __version__,
            "description": "Leases of metered AppIDs: each usable by one holder at a time, and at "
            "most once per clock hour. docs/contract.md says what the calls mean.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _operation(call: Call, schemas: Schema) -> Schema:
    found: Schema = {
        "summary": call.summary,
        "operationId": call.path.rpartition("/")[2].partition(".")[0],
        "responses": {
            str(status): _answer(schema, call.path) for status, schema in call.answers.items()
        },
    }
    statuses = [*_EVERY, *call.refusals]
    if call.role is None:
        found["security"] = []
    else:
        found["description"] = f"For tokens of the role {call.role.word}."
        statuses += [401, 403]
    refusal = {"schema": {"$ref": "#/components/schemas/Refusal"}}
    for status in sorted(set(statuses) - set(call.answers)):
        found["responses"][str(status)] = {
            "description": _WORDS[status],
            "content": {"application/json": refusal},
        }
    if call.sent is not None:
        schema = call.sent.model_json_schema(by_alias=True, ref_template=_REFERENCE)
        schemas.update(schema.pop("$defs", {}))
        _require(schema, call.required)
        if call.method == "post":
            content = {"application/json": {"schema": {**schema, "title": call.sent.__name__}}}
            found["requestBody"] = {"required": True, "content": content}
        else:
            found["parameters"] = _parameters(schema)
    return found


def _require(schema: Schema, names: Sequence[str]) -> None:
    """Say which fields must be there; `requests` itself tells more of what is missing."""
    fields = schema["properties"]
    for name in names:
        (kind,) = [one for one in fields[name]["anyOf"] if one != {"type": "null"}]
        least = {"string": {"minLength": 1}, "object": {"minProperties": 1}}
        fields[name] = {**kind, **least.get(kind["type"], {})}
    if names:
        schema["required"] = [*names]


def _parameters(schema: Schema) -> list[Schema]:
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": field}
        for name, field in schema["properties"].items()
    ]


def _answer(schema: Schema, path: str) -> Schema:
    kind = "text/plain" if path == "/metrics" else "application/json"
    return {"description": "It is done.", "content": {kind: {"schema": schema}}}
