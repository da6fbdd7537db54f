"""Checks OpenAPI documents with the official validator, and each of their examples against its own schema.

Arguments: the directory of the validator's packages, then documents. Prints one JSON object per document.
"""

import copy
import json
import sys

sys.path.insert(0, sys.argv[1])

from jsonschema import Draft202012Validator  # noqa: E402
from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: E402
from referencing import Registry, Resource  # noqa: E402
from referencing.jsonschema import DRAFT202012  # noqa: E402

BASE = "urn:document"
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


def escaped(name):
    return str(name).replace("~", "~0").replace("/", "~1").replace("%", "%25")


def examples(value, pointer=""):
    """Pointer to the schema and value of each example."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from examples(item, f"{pointer}/{index}")
    if not isinstance(value, dict):
        return
    shown = value.get("examples")
    is_schema_map = pointer.endswith(("/properties", "/schemas"))
    if isinstance(shown, list) and not is_schema_map:
        for example in shown:
            yield pointer, example
    elif isinstance(shown, dict) and not is_schema_map:
        for example in shown.values():
            yield f"{pointer}/schema", example["value"]
    for name, item in value.items():
        if name != "examples" or is_schema_map:
            yield from examples(item, f"{pointer}/{escaped(name)}")


def errors_of_examples(document):
    resource = Resource.from_contents(document, default_specification=DRAFT202012)
    registry = Registry().with_resource(BASE, resource)
    count, failures = 0, []
    for pointer, example in examples(document):
        count += 1
        validator = Draft202012Validator(
            {"$ref": f"{BASE}#{pointer}"},
            registry=registry,
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        failures += [f"example at {pointer}: {error.message}" for error in validator.iter_errors(example)]
    return count, failures


def errors_of_document(document):
    return [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]


def is_blind(document):
    """Whether faults that are put in on purpose go unnoticed."""
    untitled = copy.deepcopy(document)
    del untitled["info"]["title"]
    dangling = copy.deepcopy(document)
    dangling["components"]["schemas"]["Dangling"] = {"type": "no such type"}
    wrong = copy.deepcopy(document)
    wrong["components"]["schemas"]["Wrong"] = {"type": "string", "examples": [1]}
    return not (errors_of_document(untitled) and errors_of_document(dangling) and errors_of_examples(wrong)[1])


def report(path):
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    count, failures = errors_of_examples(document)
    failures += errors_of_document(document)
    if is_blind(document):
        failures.append("the validator takes documents that are broken on purpose")
    items = document["paths"].values()
    return {
        "operations": sum(len(METHODS & item.keys()) + len(item.get("x-methods", {})) for item in items),
        "schemas": len(document["components"]["schemas"]),
        "examples": count,
        "failures": failures,
    }


for argument in sys.argv[2:]:
    print(json.dumps(report(argument)))
