"""Reads rows of several tables by one statement, a UNION ALL: each statement costs a round trip to the database, however little it reads."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import sqlalchemy as sa
from sqlalchemy.engine.default import DefaultDialect

Row = Dict[str, Any]
Parse = Callable[[str], Any]


class Part(NamedTuple):
    """One table of a statement."""

    name: str
    table: Any
    #: The columns that are read. Each costs the database and this process time, even where few rows have it.
    columns: Sequence[str]
    #: Which of its rows are read.
    condition: Any
    #: The columns by which the rows are sorted.
    order: Sequence[str]


class Statement:
    """Reads rows of several tables. Their values are read as texts, because a UNION's tables must have columns of the same types."""

    def __init__(self, parts: Sequence[Part]) -> None:
        width = max(len(part.columns) for part in parts)
        self._parts = parts
        self._columns = [[(name, _parser(part.table.c[name])) for name in part.columns] for part in parts]
        self._union = sa.union_all(*(_select(number, part, width) for number, part in enumerate(parts)))

    def read(self, tuples: Callable[[Any, Mapping[str, Any]], Sequence[Tuple[Any, ...]]], parameters: Mapping[str, Any]) -> Dict[str, List[Row]]:
        """The rows of each part by the part's name, in its order. `tuples` reads what a query with parameters selects."""
        found: List[List[Row]] = [[] for _ in self._parts]
        for number, *texts in tuples(self._union, parameters):
            found[number].append({name: None if text is None else parse(text) for (name, parse), text in zip(self._columns[number], texts)})
        return {part.name: sorted(rows, key=_by(part.order)) for part, rows in zip(self._parts, found)}


def _select(number: int, part: Part, width: int) -> Any:
    """The part's number and the texts of its columns, filled up with NULL to this number of columns."""
    texts = [sa.cast(part.table.c[name], sa.Text()) for name in part.columns]
    texts += [sa.cast(sa.null(), sa.Text())] * (width - len(texts))
    labelled = [text.label(f"text_{place}") for place, text in enumerate(texts)]
    return sa.select(sa.literal_column(str(number)).label("part"), *labelled).where(part.condition)


#: The texts of Booleans: MariaDB, MySQL and SQLite have digits, PostgreSQL has words.
_BOOLEANS = {"0": False, "1": True, "false": False, "true": True}


def _boolean(text: str) -> bool:
    """Raises KeyError for any other text: the value may say whether a port is protected."""
    return _BOOLEANS[text]


def _parser(column: Any) -> Parse:
    """What makes a column's value of its text."""
    # SQLAlchemy 1.4 wraps a type that is not the same in all databases.
    kind = column.type.load_dialect_impl(DefaultDialect()) if isinstance(column.type, sa.types.TypeDecorator) else column.type
    if isinstance(kind, sa.Boolean):
        return _boolean
    return int if isinstance(kind, sa.Integer) else str


def _by(columns: Sequence[str]) -> Callable[[Row], Any]:
    return lambda row: [(row[name] is not None, row[name]) for name in columns]
