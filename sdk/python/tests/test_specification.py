"""The examples in docs/handler-protocol.md and the forms in sdk/conformance agree with the JSON Schema."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rules import FORMS

DOCS = Path(__file__).parents[3] / "docs"
SCHEMA = json.loads((DOCS / "handler-protocol.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_the_examples_are_messages() -> None:
    text = re.sub(r',\n +"', ',"', (DOCS / "handler-protocol.md").read_text())
    examples = re.findall(r"^[<>] (\{.*\})$", text, re.MULTILINE)
    assert len(examples) == 8
    for example in examples:
        VALIDATOR.validate(json.loads(example))


def test_the_conformance_program_has_the_same_fields() -> None:
    for kind, fields in FORMS.items():
        schema = SCHEMA["$defs"][kind]
        known = set(schema["properties"]) - {"result"}
        assert known == set(fields), kind
        assert set(schema.get("required", [])) == {name for name, (required, _) in fields.items() if required}


@pytest.mark.parametrize(
    "message",
    [
        {"hello": {"types": ["a"]}},
        {"hello": {"protocol": 1, "types": []}},
        {"hello": {"protocol": 1, "types": ["a", "a"]}},
        {"hello": {"protocol": 1, "types": ["a\n"]}},
        {"done": {"result": 1}},
        {"failed": {"id": "x"}},
        {"alive": {}, "done": {"id": "x"}},
        {"other": {}},
        {},
    ],
)
def test_wrong_messages_are_refused(message: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(message)
