"""Reads the plain values of options and arguments without Pydantic, by which Typer reads all: that takes 0.3 s to load.

It stands in for a part of Typer that is not public, so that pyproject.toml names one release of Typer.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from typer._coercion import RuntimeParam, TypeDescriptor, build_runtime_param
from typer._param_types import coerce_cli_path
from typer.core import _TyperParameter


def read_plain_values() -> None:
    """Have the plain values of every command of this process read so."""
    _TyperParameter.get_runtime_param = _value_of  # type: ignore[assignment,method-assign] # Typer has no other place for it


def _value_of(parameter: _TyperParameter) -> RuntimeParam:
    found = parameter.type_descriptor
    return _Value(found.parameter_info, found.annotation, found)


@dataclass(frozen=True)
class _Value(RuntimeParam):
    """The value of one option: missing ones, defaults, texts and paths are read here, and the others by Typer."""

    descriptor: TypeDescriptor

    def _coerce_value(self, value: Any, param: Any, ctx: Any) -> Any:
        annotation: Any = self.annotation
        is_list = get_origin(annotation) is list
        kind = get_args(annotation)[0] if is_list else annotation
        if self.parameter_info.parser is None:
            if is_list and all(_is_plain(part, kind) for part in value):
                return [self._plain(part, kind, param, ctx) for part in value]
            if not is_list and _is_plain(value, kind):
                return self._plain(value, kind, param, ctx)
        return build_runtime_param(self.descriptor).coerce(value, param=param, ctx=ctx)

    def _plain(self, value: Any, kind: Any, param: Any, ctx: Any) -> Any:
        if kind is not Path:
            return value
        coerce_cli_path(
            value, self.parameter_info, path_type=str, param=param, ctx=ctx
        )  # it must be, or be a folder, …
        return Path(value)


def _is_plain(value: Any, kind: Any) -> bool:
    """Return whether the value is a text or a path, or, as a default of ours, of its kind already."""
    return isinstance(value, str) if kind in (str, Path) else type(value) is kind
