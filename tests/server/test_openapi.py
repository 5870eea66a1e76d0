"""The OpenAPI document says what the server reads and answers, no more and no less."""

from __future__ import annotations

import re
from collections import defaultdict

import jsonschema
import pytest

from hivellm_lite.server.application import create_server
from hivellm_lite.server.fields import Fields
from hivellm_lite.server.openapi.document import openapi_document
from hivellm_lite.server.options import ServerOptions

from .test_tools import TOOLS

MESSAGES = [{"role": "user", "content": "Hello"}]
CALL = {"id": "1", "type": "function", "function": {"name": "now", "arguments": "{}"}}
SHORT = {"model": "sql", "max_tokens": 2}
FULL = {
    "/v1/chat/completions": {
        **SHORT,
        "messages": [
            *MESSAGES,
            {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "x"},
            {"role": "tool", "content": [{"type": "text", "text": "noon"}]},
        ],
        "tools": TOOLS,
        "logprobs": True,
        "top_logprobs": 2,
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "auto",
                "tools": [{"type": "function", "function": {"name": "now"}}],
            },
        },
        "n": 2,
        "stream_options": {"include_usage": True},
        "response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": [1]}}},
    },
    "/v1/completions": {**SHORT, "prompt": "Once", "logprobs": 1, "stream_options": {}},
    "/v1/responses": {
        **SHORT,
        "input": [
            *MESSAGES,
            {"type": "function_call", "name": "now", "arguments": "{}"},
            {"type": "function_call_output", "output": "noon"},
        ],
        "text": {"format": {"type": "json_schema", "schema": {"enum": [1]}}},
        "tools": [{"type": "function", **TOOLS[1]["function"]}],
        "tool_choice": {"type": "function", "name": "now"},
    },
    "/v1/score": {"model": "sql", "prompt": "Hello", "completion": "x"},
    "/v1/route": {"prompt": "Hello"},
}
REFUSED = {
    "/v1/chat/completions": {"audio", "functions", "function_call", "web_search_options"},
    "/v1/completions": {"echo", "suffix"},
    "/v1/responses": {"background", "prompt", "previous_response_id", "conversation"},
}
"""Fields of OpenAI's API that are read only to be refused."""


@pytest.fixture(scope="module")
def document():
    return openapi_document()


def schema_of(document, path, method="post"):
    """The schemas of a path's body and of its answer, each with the components that it names."""
    operation = document["paths"][path][method]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    answer = operation["responses"]["200"]["content"]["application/json"]
    components = {"components": document["components"]}
    return [{**one.get("schema", {}), **components} for one in (body, answer)]


def properties(known, schema, *path) -> set[str]:
    """The names of the fields at a path, in all alternatives of the schema."""
    if "$ref" in schema:
        return properties(known, known[schema["$ref"].rpartition("/")[2]], *path)
    found = [properties(known, one, *path) for one in schema.get("anyOf", ())]
    if "items" in schema:
        found.append(properties(known, schema["items"], *path))
    own = schema.get("properties", {})
    if not path:
        found.append(set(own))
    elif path[0] in own:
        found.append(properties(known, own[path[0]], *path[1:]))
    return set().union(*found)


def test_every_schema_is_a_schema(document):
    for name, schema in document["components"]["schemas"].items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert re.fullmatch("[A-Z][A-Za-z]+", name)


def test_every_reference_leads_somewhere(document):
    names = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert names == set(document["components"]["schemas"])


def test_paths_are_those_of_the_application(document, manager):
    app = create_server(manager, ServerOptions())
    routes = {
        (route.path.replace(":path", ""), method.lower())
        for route in app.routes
        for method in route.methods - {"HEAD"}
    }
    written = {(path, method) for path, item in document["paths"].items() for method in item}
    assert written == routes - {("/", "get"), ("/metrics", "get")}  # neither is JSON


@pytest.mark.parametrize("path", FULL)
def test_fields_are_those_that_are_read(document, post, path, monkeypatch):
    asked = defaultdict(set)
    value = Fields.value

    def noted(self, name):
        asked[re.sub(r"\[\d+\]", "", self.at)].add(name)
        return value(self, name)

    monkeypatch.setattr(Fields, "value", noted)
    post(path, **FULL[path])
    refused = REFUSED.get(path, set())
    name = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    known = document["components"]["schemas"]
    assert asked.pop("") - refused == properties(known, name)
    for place, names in asked.items():
        if "schema" not in place and "parameters" not in place:  # a client's own schema
            assert names - {"function_call", "audio"} <= properties(known, name, *place.split("."))


@pytest.mark.parametrize("path", FULL)
def test_full_bodies_and_their_answers_are_as_it_says(document, post, path):
    body, answer = schema_of(document, path)
    jsonschema.validate(FULL[path], body)
    jsonschema.validate(post(path, **FULL[path]), answer)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/sql"])
def test_models_are_as_it_says(document, call, path):
    written = path.replace("/sql", "/{model}")
    jsonschema.validate(call("GET", path).json(), schema_of(document, written, "get")[1])


def test_errors_are_as_it_says(document, post, call):
    schema = {**document["components"]["schemas"]["Error"]}
    jsonschema.validate(post("/v1/route", status=400), schema)
    jsonschema.validate(call("GET", "/nothing").json(), schema)
    assert call("GET", "/openapi.json").json() == document
