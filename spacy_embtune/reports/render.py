"""Write a report as text for terminals or as Markdown."""

import re
import textwrap
from collections.abc import Sequence

from .._texts import count, shorten
from .types import Comparison, LabelRow, Row, Verdict, subtract

WIDTH = 80
HEADER = ("metric", "base", "tuned", "difference", "95 % interval", "beyond chance")
# A row of the table in the 80 columns of a terminal.
_LINE = "{:<27} {:>6} {:>6} {:>10}  {:<16}  {}"
_COLORS = {
    "better": "green",
    "worse": "red",
    "helps": "green",
    "harms": "red",
    "overfitted": "red",
    "mixed": "yellow",
    "not held out": "yellow",
}


def sections(report: Comparison) -> list[tuple[str, list[Row]]]:
    """Group the rows of a report.

    report (Comparison): The report.
    RETURNS (list[tuple[str, list[Row]]]): Titles with their rows, without empty groups.
    """
    retrieval = [row for row in report.primary if row.key in ("p_at_1", "map_at_r")]
    learned = [row for row in report.primary if row not in retrieval]
    rows_are = "documents" if report.n_sources is None else "units"
    parts = [
        (f"Nearest neighbours among the {rows_are}", retrieval),
        (f"What learns from TRAIN, on the {rows_are}", learned),
        ("Secondary", report.secondary),
        ("Nearest neighbours within TRAIN", report.on_train),
        ("Shape of the space", report.space),
    ]
    return [(title, rows) for title, rows in parts if rows]


def summarize(report: Comparison) -> str:
    """Describe the documents of a report in one line.

    report (Comparison): The report.
    RETURNS (str): The numbers of documents and labels.
    """
    n_labels = report.n_occurring
    parts = [count(report.n_documents, "document")]
    if report.n_sources is not None:
        units = count(report.n_documents, "unit")
        parts = [f"{units} of {count(report.n_sources, 'document')}"]
    if report.n_labelled < report.n_documents:
        parts[0] += f", {report.n_labelled} of them labelled"
    if report.n_train:
        parts.append(f"{report.n_train} in TRAIN")
    kind = ", exclusive" if report.exclusive else ""
    parts.append(f"{count(n_labels, 'label')}{kind}")
    return "; ".join(parts)


def cells(row: Row) -> tuple[str, str, str, str, str]:
    """Write the cells of a row.

    row (Row): The row.
    RETURNS (tuple[str, ...]): Base, tuned, difference, interval and beyond chance. A cell without a
        value is empty.
    """
    if row.key == "effective_rank":
        form, signed = ".1f", "+.1f"
    elif row.key == "neighbour_overlap":
        form, signed = ".0%", ""
    else:
        form, signed = ".3f", "+.3f"
    base, tuned = ("-" if value is None else f"{value:{form}}" for value in (row.base, row.tuned))
    if row.key == "neighbour_overlap":
        return "", tuned, "", "", ""
    difference = "-" if row.difference is None else f"{_zero(row.difference, 3):{signed}}"
    interval = ""
    if row.interval is not None:
        low, high = (_zero(x, 3) for x in (row.interval.low, row.interval.high))
        interval = f"{low:+.3f} to {high:+.3f}"
    return base, tuned, difference, interval, row.beyond_chance or ""


def label_tables(report: Comparison) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
    """Write the scores of each label as tables. The label that lost most comes first, the one that
    gained most last.

    report (Comparison): The report.
    RETURNS (list[tuple[str, tuple[str, ...], list[list[str]]]]): Title, header and rows of each
        table; the first cell of a row is the label.
    """
    if not report.per_label:
        return []
    source = {
        "probe": "a linear probe that learns from TRAIN",
        "neighbour": "the nearest other document",
    }[report.classifier]
    rows = sorted(report.per_label, key=_gain)
    return [
        (
            "Nearest neighbours by label (base, tuned)",
            ("label", "n", "p@1", "", "diff", "MAP@R", "", "diff"),
            [
                [
                    row.label,
                    str(row.n),
                    *_three(row.base.p_at_1, row.tuned.p_at_1),
                    *_three(row.base.map_at_r, row.tuned.map_at_r),
                ]
                for row in rows
            ],
        ),
        (
            f"Predictions by label: {source} (base, tuned), and the component",
            ("label", "P", "", "R", "", "F1", "", "diff", "own P", "own R", "own F"),
            [
                [
                    row.label,
                    *_three(row.base.precision, row.tuned.precision)[:2],
                    *_three(row.base.recall, row.tuned.recall)[:2],
                    *_three(row.base.f1, row.tuned.f1),
                    *(_cell(value) for value in (row.precision, row.recall, row.f1)),
                ]
                for row in rows
            ],
        ),
    ]


def _gain(row: LabelRow) -> float:
    """RETURNS (float): The gain that labels are sorted by."""
    for name in ("map_at_r", "f1"):
        gain = subtract(getattr(row.tuned, name), getattr(row.base, name))
        if gain is not None:
            return gain
    return 0.0


def _three(base: float | None, tuned: float | None) -> list[str]:
    difference = subtract(tuned, base)
    signed = "-" if difference is None else f"{_zero(difference, 2):+.2f}"
    return [_cell(base), _cell(tuned), signed]


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _label_lines(report: Comparison, *, colors: bool) -> list[str]:
    lines = []
    for title, header, rows in label_tables(report):
        # The numbers need 6 columns each, and the label gets the rest.
        width = WIDTH - 6 * (len(header) - 1)
        lines += ["", _paint(_wrap(title), bold=colors)]
        for cells_of_row in (list(header), *rows):
            label = shorten(" ".join(cells_of_row[0].split()), width - 4)
            numbers = "".join(f"{cell:>6}" for cell in cells_of_row[1:])
            lines.append(f"{label:<{width}}{numbers}".rstrip())
    return lines


def calibration_table(report: Comparison) -> tuple[str, tuple[str, ...], list[list[str]]] | None:
    """Write how well the component's probabilities agree with the labels as a table.

    report (Comparison): The report.
    RETURNS (tuple[str, tuple[str, ...], list[list[str]]] | None): Title, header and rows. None if
        the component predicts none of the labels.
    """
    found = report.calibration
    if found is None:
        return None
    kind = "documents" if report.exclusive else "labels of documents"
    title = (
        f"Probabilities of the component against {found.after.n} {kind}, without its temperature "
        f"and with it ({found.temperature:.2f}); lower is better"
    )
    rows = []
    for name, values in (
        ("expected calibration error", (found.before.error, found.after.error)),
        ("log loss", (found.before.log_loss, found.after.log_loss)),
    ):
        written = ["-" if value is None else f"{value:.3f}" for value in values]
        change = subtract(values[1], values[0])
        rows.append([name, *written, "-" if change is None else f"{_zero(change, 3):+.3f}"])
    return title, ("", "without", "with", "diff"), rows


def to_text(
    report: Comparison,
    *,
    colors: bool = False,
    per_label: bool = False,
    calibration: bool = False,
) -> str:
    """Write a report for a terminal of 80 columns.

    report (Comparison): The report.
    colors (bool): Whether to use colours.
    per_label (bool): Whether to add the scores of each label.
    calibration (bool): Whether to add how well the component's probabilities agree with the labels.
    RETURNS (str): The lines.
    """
    lines = [summarize(report), "", *table_lines(sections(report), colors=colors)]
    if per_label:
        lines += _label_lines(report, colors=colors)
    table = calibration_table(report) if calibration else None
    if table is not None:
        lines += ["", _paint(_wrap(table[0]), bold=colors)]
        for name, *numbers in (list(table[1]), *table[2]):
            lines.append(f"{name:<27}{''.join(f'{cell:>10}' for cell in numbers)}")
    lines += closing_lines(report.verdict, report.warnings, report.notes, colors=colors)
    return "\n".join(lines)


def table_lines(
    groups: Sequence[tuple[str, Sequence[Row]]],
    *,
    colors: bool,
    header: Sequence[str] = HEADER,
) -> list[str]:
    """Write rows as a table for a terminal of 80 columns.

    groups (Sequence[tuple[str, Sequence[Row]]]): Titles with their rows.
    colors (bool): Whether to use colours.
    header (Sequence[str]): The titles of the columns; the last one has no room.
    RETURNS (list[str]): The lines.
    """
    lines = [_LINE.format(*header[:-1], "").rstrip(), "-" * WIDTH]
    for i, (title, rows) in enumerate(groups):
        lines += [*([""] if i else []), _paint(title, bold=colors)]
        for row in rows:
            line = _LINE.format(row.title, *cells(row)).rstrip()
            lines.append(_paint(line, _COLORS.get(row.beyond_chance or "") if colors else None))
    return lines


def closing_lines(
    verdict: Verdict, warnings: Sequence[str], notes: Sequence[str], *, colors: bool
) -> list[str]:
    """Write the verdict, the warnings and the notes for a terminal of 80 columns.

    verdict (Verdict): The verdict.
    warnings, notes (Sequence[str]): The warnings and notes.
    colors (bool): Whether to use colours.
    RETURNS (list[str]): The lines.
    """
    kind = verdict.kind
    text = _wrap(str(verdict))
    head = kind[0].upper() + kind[1:]
    painted = _paint(head, _COLORS.get(kind) if colors else None, bold=colors)
    lines = ["", text.replace(head, painted, 1)]
    for sign, texts in (("!", warnings), ("-", notes)):
        if texts:
            lines.append("")
        for remark in texts:
            color = "yellow" if colors and sign == "!" else None
            lines.append(_paint(_wrap(f"{sign} {remark}", indent=2), color))
    return lines


def to_markdown(report: Comparison, *, per_label: bool = False, calibration: bool = False) -> str:
    """Write a report in Markdown: the verdict, one table, then warnings and notes.

    report (Comparison): The report.
    per_label (bool): Whether to add tables with the scores of each label.
    calibration (bool): Whether to add how well the component's probabilities agree with the labels.
    RETURNS (str): The text, with a line break at the end.
    """
    lines = markdown_lines(report.verdict, summarize(report), sections(report))
    for title, header, rows_of_labels in label_tables(report) if per_label else []:
        lines += ["", f"{title}:", "", f"| {' | '.join(_pair_titles(header))} |"]
        lines.append("| --- |" + " ---: |" * (len(header) - 1))
        for label, *numbers in rows_of_labels:
            lines.append(f"| {' | '.join([_escape(label), *numbers])} |")
    table = calibration_table(report) if calibration else None
    if table is not None:
        lines += [
            "",
            f"{table[0]}:",
            "",
            f"| {' | '.join(table[1])} |",
            "| --- | ---: | ---: | ---: |",
        ]
        lines += [f"| {' | '.join(row)} |" for row in table[2]]
    lines += markdown_remarks(report.warnings, report.notes)
    return "\n".join(lines) + "\n"


def markdown_lines(
    verdict: Verdict,
    summary: str,
    groups: Sequence[tuple[str, Sequence[Row]]],
    *,
    header: Sequence[str] = HEADER,
) -> list[str]:
    """Write the verdict and a table in Markdown.

    verdict (Verdict): The verdict.
    summary (str): What was measured, in one line.
    groups (Sequence[tuple[str, Sequence[Row]]]): Titles with their rows.
    header (Sequence[str]): The titles of the columns.
    RETURNS (list[str]): The lines.
    """
    kind, text = verdict
    lines = [
        f"**{kind[0].upper()}{kind[1:]}**: {_escape(text)}",
        "",
        f"{summary}.",
        "",
        f"| {' | '.join(header)} |",
        "| --- | ---: | ---: | ---: | :---: | --- |",
    ]
    for title, rows in groups:
        lines.append(f"| **{_escape(title)}** | | | | | |")
        for row in rows:
            lines.append(f"| {' | '.join([row.title, *cells(row)])} |")
    return lines


def markdown_remarks(warnings: Sequence[str], notes: Sequence[str]) -> list[str]:
    """Write warnings and notes in Markdown.

    warnings, notes (Sequence[str]): The warnings and notes.
    RETURNS (list[str]): The lines.
    """
    lines = []
    for title, texts in (("Warnings", warnings), ("Notes", notes)):
        if texts:
            lines += ["", f"{title}:", ""]
            lines += [f"- {_escape(text)}" for text in texts]
    return lines


def _pair_titles(header: Sequence[str]) -> list[str]:
    """RETURNS (list[str]): The header of a table of labels; a metric has two columns, base and
    tuned."""
    titles: list[str] = []
    for i, title in enumerate(header):
        if not title:
            titles.append(f"{header[i - 1]} tuned")
        elif i + 1 < len(header) and not header[i + 1]:
            titles.append(f"{title} base")
        else:
            titles.append(title)
    return titles


def _escape(text: str) -> str:
    """RETURNS (str): The text with all special characters of Markdown and HTML escaped, because
    labels can contain anything."""
    return re.sub(r"([\\`*_{}\[\]<>|#~&$])", r"\\\1", " ".join(text.split()))


def _wrap(text: str, indent: int = 0) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)


def _paint(text: str, color: str | None = None, *, bold: bool = False) -> str:
    from wasabi.util import color as paint

    return paint(text, fg=color, bold=bold) if color or bold else text


def _zero(value: float, digits: int) -> float:
    """RETURNS (float): The value, or 0.0 if it would be rounded to minus zero."""
    return 0.0 if round(value, digits) == 0 else value
