"""PostgreSQL understands a statement that runs often once per connection, as SQLite does.

psycopg2 sends each as a text of its own, which takes PostgreSQL longer to parse and plan than to
carry out. Here it is PREPAREd on its first use and EXECUTEd from then on (PostgreSQL, "PREPARE").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import event

from ffmpeg_master.store.psycopg import UNREAD

Statement = TypeVar("Statement", bound=Any)
Value = TypeVar("Value")

_OPTION: Final = "planned_once"
#: psycopg2's placeholder of a parameter (PEP 249, pyformat).
_PARAMETER: Final = re.compile(r"%\((\w+)\)s|%%")
#: feature_not_supported (PostgreSQL, appendix A): a newer master made a table anew, and the result
#: of a statement would have other types than when it was planned.
OUTDATED: Final = "0A000"


def planned_once(statement: Statement) -> Statement:
    """``statement``, which runs often, and whose best plan is the same for all parameters."""
    planned: Statement = statement.execution_options(**{_OPTION: True})
    return planned


def padded(values: Sequence[Value]) -> list[Value]:
    """``values``, the last one repeated: of IN with so many parameters there are few plans."""
    more = (1 << (len(values) - 1).bit_length()) - len(values)
    return [*values, *[values[-1]] * more]


def keep_plans(engine: Any) -> None:
    """Have an engine of psycopg2's keep the plans of such statements."""
    event.listen(engine, "before_cursor_execute", _execute, retval=True)
    event.listen(engine, "handle_error", _forget)


def _execute(
    _connection: Any, cursor: Any, text: str, parameters: Any, context: Any, many: bool
) -> tuple[str, Any]:
    options = context.execution_options if context else {}
    # Many rows are inserted by one statement, whose text grows with them.
    if not options.get(_OPTION) or (many and context.isinsert and not options.get(UNREAD)):
        return text, parameters
    # Kept with the driver's connection, and gone with it.
    plans: dict[str, str] = context.root_connection.info.setdefault(_OPTION, {})
    if text not in plans:
        name = f"ffmpeg_master_{len(plans)}"
        names, numbered = _numbered(text)
        cursor.execute(f"PREPARE {name} AS {numbered}")
        values = ", ".join(f"%({one})s" for one in names)
        plans[text] = f"EXECUTE {name} ({values})" if names else f"EXECUTE {name}"
    return plans[text], parameters


def _numbered(text: str) -> tuple[list[str], str]:
    """The names of the parameters, and the statement with their numbers in their places."""
    numbers: dict[str, int] = {}

    def place(found: re.Match[str]) -> str:
        name = found[1]
        return "%" if name is None else f"${numbers.setdefault(name, len(numbers) + 1)}"

    numbered = _PARAMETER.sub(place, text)
    return list(numbers), numbered


def _forget(context: Any) -> None:
    """The connection is of no more use: the next one plans anew."""
    if getattr(context.original_exception, "pgcode", None) == OUTDATED:
        context.is_disconnect = True
