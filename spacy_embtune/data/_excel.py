"""Reader of spreadsheets: the first table of a workbook of Excel or LibreOffice."""

import io
import logging
from collections.abc import Iterator
from functools import partial
from operator import truediv
from typing import Any

from .._extras import import_extra
from .._texts import shorten
from ._rows import ReadSettings, Row, check_columns, check_header
from ._sources import Source

logger = logging.getLogger(__name__)

# The largest number up to which all whole numbers are exact in a spreadsheet.
LARGEST_EXACT = 2.0**53


def import_calamine() -> Any:
    """Import python-calamine, which is an optional dependency.

    RETURNS (Any): The module python_calamine.
    RAISES (ImportError): If it is not installed. The message names the extra that installs it.
    """
    return import_extra("python_calamine", "Spreadsheets need python-calamine", extra="excel")


def read_excel(source: Source, settings: ReadSettings) -> Iterator[Row]:
    """Read the first sheet of a workbook that has any cells. Its first row that is not empty names
    the columns. Empty rows, and columns without a name, are left out as far as they are empty. A
    number in the column of the texts is a text. The workbook is in memory as a whole."""
    calamine = import_calamine()
    with source.open() as file:
        data = io.BytesIO(file.read())
    try:
        workbook = calamine.CalamineWorkbook.from_filelike(data)
        sheets = [workbook.get_sheet_by_name(name) for name in workbook.sheet_names]
    except Exception as error:
        # The reader has exceptions of many kinds, and of no common class.
        raise ValueError(
            f"{source.name}: is not a whole spreadsheet ({shorten(str(error), 80)}), or it is "
            "locked by a password. Save it again as .xlsx, without a password."
        ) from error
    filled = [sheet for sheet in sheets if sheet.start is not None]
    if not filled:
        return
    sheet = filled[0]
    if len(filled) > 1:
        logger.warning(
            "%s: has %d sheets. Only the first, %r, is read. Save another one as a file of its own "
            "to read it.",
            source.name,
            len(filled),
            sheet.name,
        )
    columns: list[str] | None = None
    number, n = 0, sheet.total_height
    start = sheet.start[0]
    for line, cells in enumerate(sheet.to_python(skip_empty_area=True), start=start + 1):
        if not any(cell != "" for cell in cells):
            continue
        values = [_to_value(cell) for cell in cells]
        if columns is None:
            columns = ["" if value is None else str(value).strip() for value in values]
            check_header(f"{source.name}, row {line}", columns)
            check_columns(source.name, list(filter(None, columns)), settings)
            columns = settings.rename(columns)
            continue
        fields = {
            name or f"column {i}": value
            for i, (name, value) in enumerate(zip(columns, values, strict=True), start=1)
            if name or value is not None
        }
        text = fields.get(settings.text_field)
        if text is not None:
            fields[settings.text_field] = str(text)
        source.position.follow(partial(truediv, line, n))
        yield Row(fields, number, line, "row")
        number += 1
    source.position.follow(lambda: 1.0)


def _to_value(cell: Any) -> Any:
    """RETURNS (Any): The value of a cell. A spreadsheet has no whole numbers and no null."""
    if isinstance(cell, str) and cell == "":
        return None
    if isinstance(cell, float) and cell.is_integer() and abs(cell) <= LARGEST_EXACT:
        return int(cell)
    return cell
