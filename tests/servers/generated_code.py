"""Code that generators make of the exported schemas, compiled, and fed with the contract's examples: `make generated-code`.

It fetches the generators from PyPI and npm, and takes minutes: so no test runs it.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

EXPORTED: Final = Path(__file__).parents[2] / "schemas" / "exported"
PYTHON_PACKAGES: Final = ("datamodel-code-generator==0.89.0", "pydantic>=2,<3")
NODE_PACKAGES: Final = ("quicktype@26.0.0", "typescript@7.0.2")
_PYDANTIC: Final = """
import importlib, json, sys
from pydantic import ValidationError
for name, values in json.load(open("examples.json")).items():
    module = importlib.import_module(name.replace(".", "_"))
    model = getattr(module, values["model"])
    for value in values["examples"]:
        read = model.model_validate(value)
        assert model.model_validate_json(read.model_dump_json()) == read
    try:
        model.model_validate(value | {values["spoilt"]: {}})
    except ValidationError:
        continue
    sys.exit(f"{name} takes an object as {values['spoilt']}")
"""
_TYPESCRIPT: Final = """
const { readFileSync } = require("node:fs");
const { Convert } = require("./events.js");
for (const [name, values] of Object.entries(JSON.parse(readFileSync("examples.json")))) {
  const read = (value) => Convert[`to${values.model}`](JSON.stringify(value));
  for (const example of values.examples) read(example);
  let refused = false;
  try { read({ ...values.examples[0], [values.spoilt]: {} }); } catch { refused = true; }
  if (!refused) throw new Error(`${name} takes an object as ${values.spoilt}`);
}
"""


def examples() -> dict[str, dict[str, Any]]:
    """Return of each schema the name of its model, its examples, and a field that must be text."""
    document = json.loads((EXPORTED / "asyncapi.json").read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = {}
    for message in document["components"]["messages"].values():
        name = str(message["name"]).removeprefix("vertexar.")
        file = EXPORTED / f"{name}.schema.json"
        payloads = [example["payload"] for example in message.get("examples", ()) if example.get("payload")]
        if file.is_file() and payloads:
            title = json.loads(file.read_text(encoding="utf-8"))["title"]
            found[name] = {"model": title, "examples": payloads, "spoilt": "event_id"}
    return found


def check_pydantic(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Generate a module of pydantic models for each schema, import it, and read the examples. Raises CalledProcessError."""
    tools = folder / "python"
    venv.create(tools, with_pip=True)
    _run([str(tools / "bin/pip"), "install", "--quiet", *PYTHON_PACKAGES], folder)
    for name in wanted:
        schema = str(EXPORTED / f"{name}.schema.json")
        options = ["--input-file-type", "jsonschema", "--output-model-type", "pydantic_v2.BaseModel"]
        target = f"{name.replace('.', '_')}.py"
        _run([str(tools / "bin/datamodel-codegen"), "--input", schema, *options, "--output", target], folder)
    _run([str(tools / "bin/python"), "-c", _PYDANTIC], folder)


def check_quicktype(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Generate TypeScript for all schemas, compile it, and read the examples. Raises CalledProcessError."""
    _run(["npm", "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", *NODE_PACKAGES], folder)
    tools, sources = folder / "node_modules/.bin", folder / "sources"
    sources.mkdir()
    for name, values in wanted.items():  # quicktype names a type after its file
        (sources / f"{values['model']}.schema").write_bytes((EXPORTED / f"{name}.schema.json").read_bytes())
    files = [str(path) for path in sorted(sources.iterdir())]
    _run([str(tools / "quicktype"), "--src-lang", "schema", "--lang", "typescript", "-o", "events.ts", *files], folder)
    compiler = ["--strict", "--target", "es2022", "--module", "commonjs", "--types", ""]
    _run([str(tools / "tsc"), *compiler, "events.ts"], folder)
    _run(["node", "-e", _TYPESCRIPT], folder)


def _run(command: Sequence[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONWARNINGS": "ignore"}, check=True)


def main() -> int:
    """Exit code 0 when the code of both generators reads every example, and refuses what is none."""
    wanted = examples()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "examples.json").write_text(json.dumps(wanted), encoding="utf-8")
        for check, name in ((check_pydantic, PYTHON_PACKAGES[0]), (check_quicktype, NODE_PACKAGES[0])):
            try:
                check(folder, wanted)
            except (subprocess.CalledProcessError, OSError) as exc:
                sys.stderr.write(f"{name}: {exc}\n")
                return 1
            total = sum(len(values["examples"]) for values in wanted.values())
            sys.stdout.write(f"{name}: {len(wanted)} schemas, {total} examples are read\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
