"""Tables on the terminal, drawn by rich."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ffmpeg_jobs.cli.words import printable

#: Cells that mean more than their text. All else is plain.
_STYLES: Final = {
    "running": "cyan",
    "paused": "yellow",
    "completed": "green",
    "failed": "red",
    "no": "red",
    "none": "red",
}
#: What is piped is read by programs: no line is broken or cut.
_ENDLESS: Final = 10_000


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their headings; on a terminal, cells that are too long are cut."""
    on_terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=True, min_width=12 if index == 0 else None)
    for row in rows:
        cells = [printable(cell).replace("\n", " ") for cell in row]
        table.add_row(*(Text(cell, style=_STYLES.get(cell.split(" ")[0], "")) for cell in cells))
    console = Console(
        width=None if on_terminal else _ENDLESS,
        color_system="auto" if on_terminal else None,
        no_color=bool(os.environ.get("NO_COLOR")) or None,
        highlight=False,
    )
    console.print(table)
