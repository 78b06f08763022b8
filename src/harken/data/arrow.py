"""Rows as Arrow: the schema, derived from the dataclasses of `harken.data.rows`, and the way there and back.

`X | None` may be null and nothing else may; a tuple of any length is a list, a pair (label, probability) a
struct of `name` and `value`, a dataclass a struct with its fields. Files are left to `harken.data.shards`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import harken
from harken.data.rows import ADDED, SCHEMA_VERSION, Row
from harken.errors import DataError, MissingExtra

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    raise MissingExtra("building and reading data sets", "data") from None

__all__ = ["HARKEN_KEY", "SCHEMA", "SCHEMAS", "SCHEMA_KEY", "pa", "pq", "to_batch", "to_rows"]

SCHEMA_KEY, HARKEN_KEY = b"harken.schema_version", b"harken.version"
"""Where a file's metadata says what wrote it."""

_PAIR = ("name", "value")
_SCALARS = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


def _field(name: str, hint: Any) -> pa.Field:
    inner, nullable = _without_none(hint)
    return pa.field(name, _type(inner), nullable=nullable)


def _type(hint: Any) -> pa.DataType:
    if is_dataclass(hint):
        return pa.struct([_field(name, inner) for name, inner in _members(hint)])
    if get_origin(hint) is tuple:
        items = get_args(hint)
        if items[-1] is Ellipsis:
            return pa.list_(_field("element", items[0]))
        return pa.struct([_field(name, inner) for name, inner in zip(_PAIR, items, strict=True)])
    return pa.string() if get_origin(hint) is Literal else _SCALARS[hint]


def _reader(hint: Any) -> Callable[[Any], Any]:
    """What makes a hint's value from Arrow's plain one."""
    inner, nullable = _without_none(hint)
    if nullable:
        read = _reader(inner)
        return lambda plain: None if plain is None else read(plain)
    if is_dataclass(hint):
        kind: Any = hint
        parts = [(name, _reader(part)) for name, part in _members(hint)]
        return lambda plain: kind(**{name: part(plain[name]) for name, part in parts if name in plain})
    if get_origin(hint) is tuple:
        readers = [_reader(item) for item in get_args(hint) if item is not Ellipsis]
        if len(readers) == 1:
            return lambda plain: tuple([readers[0](item) for item in plain])
        return lambda plain: tuple([r(plain[name]) for r, name in zip(readers, _PAIR, strict=True)])
    return lambda plain: plain


def _members(kind: Any) -> list[tuple[str, Any]]:
    hints = get_type_hints(kind)
    return [(field.name, hints[field.name]) for field in fields(kind)]


def _without_none(hint: Any) -> tuple[Any, bool]:
    """`X | None` -> (X, True), any other hint -> (hint, False)."""
    if not isinstance(hint, UnionType):
        return hint, False
    (inner,) = [option for option in get_args(hint) if option is not NoneType]
    return inner, True


SCHEMA = pa.schema(
    [_field(name, hint) for name, hint in _members(Row)],
    metadata={SCHEMA_KEY: str(SCHEMA_VERSION), HARKEN_KEY: harken.__version__},
)
SCHEMAS = {
    version: pa.schema(
        [
            field
            for field in SCHEMA
            if not any(field.name in of for since, of in ADDED.items() if since > version)
        ]
    )
    for version in range(1, SCHEMA_VERSION + 1)
}
"""What rows of each schema version that is still read look like."""
_read_row: Callable[[Any], Row] = _reader(Row)


def to_batch(rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows -> a record batch of SCHEMA. Raises DataError naming a row that cannot be stored."""
    try:
        return pa.RecordBatch.from_pylist([_plain(row) for row in rows], schema=SCHEMA)
    except (pa.ArrowException, UnicodeError) as error:  # a value of another type; half a surrogate pair
        if len(rows) == 1:
            raise DataError(f"row {rows[0].id!a}: cannot be stored: {error}") from None
        for row in rows:
            to_batch([row])  # raises for the one
        raise


def _plain(value: Any) -> Any:
    """A row, or a part of one, as Arrow takes it: what `asdict` does, in a sixth of its time."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple):
        return [_plain(item) for item in value] if value and is_dataclass(value[0]) else value
    return {name: _plain(part) for name, part in vars(value).items()} if is_dataclass(value) else value


def to_rows(batch: pa.RecordBatch) -> Iterator[Row]:
    """A record batch of one of SCHEMAS -> its rows."""
    return map(_read_row, batch.to_pylist())
