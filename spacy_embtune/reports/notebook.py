"""Write a report as HTML for notebooks: a table without external files, for light and dark
backgrounds. All texts are escaped, so that labels cannot run code."""

from collections.abc import Sequence
from html import escape

from ..metrics import Difference
from .render import HEADER, cells, sections, summarize
from .types import Comparison, Row, Verdict

# Colours of medium lightness are readable on white and on black.
_BETTER, _WORSE, _DOUBTFUL = "#1a9850", "#e0533d", "#c98a00"
_KINDS = {
    "helps": _BETTER,
    "harms": _WORSE,
    "overfitted": _WORSE,
    "mixed": _DOUBTFUL,
    "not held out": _DOUBTFUL,
}
_FAINT = "rgba(128,128,128,.35)"
# Only inline styles override the table styles of notebooks.
_TABLE = (
    "border-collapse:collapse;border:none;margin:.6em 0;color:inherit;background:none;"
    "font-size:13px;font-variant-numeric:tabular-nums"
)
_CELL = "padding:.2em .9em .2em 0;border:none;background:none;color:inherit;"
_NUMBER = _CELL + "text-align:right;white-space:nowrap"
_TEXT = _CELL + "text-align:left;white-space:nowrap"
_WIDTH, _HEIGHT = 150, 14


def to_html(report: Comparison) -> str:
    """Write a report as a piece of HTML.

    report (Comparison): The report.
    RETURNS (str): A <div> with the verdict, the table, warnings and notes.
    """
    return write_html(
        report.verdict,
        summarize(report),
        sections(report),
        # Differences within TRAIN are not drawn: beside them, the others would look like zero.
        drawn=[*report.primary, *report.secondary],
        warnings=report.warnings,
        notes=report.notes,
    )


def write_html(
    verdict: Verdict,
    summary: str,
    groups: Sequence[tuple[str, Sequence[Row]]],
    *,
    drawn: Sequence[Row],
    warnings: Sequence[str],
    notes: Sequence[str],
    header: Sequence[str] = HEADER,
) -> str:
    """Write the parts of a report as a piece of HTML.

    verdict (Verdict): The verdict.
    summary (str): What was measured, in one line.
    groups (Sequence[tuple[str, Sequence[Row]]]): Titles with their rows.
    drawn (Sequence[Row]): The rows whose intervals are drawn.
    warnings, notes (Sequence[str]): The warnings and notes.
    header (Sequence[str]): The titles of the columns; that of the last one is not shown.
    RETURNS (str): A <div> with the verdict, the table, warnings and notes.
    """
    kind, text = verdict
    color = _KINDS.get(kind, "inherit")
    parts = [
        '<div class="embtune-report tex2jax_ignore mathjax_ignore" '
        'style="max-width:56em;line-height:1.45;font-size:14px;color:inherit">',
        f'<p style="margin:.3em 0"><strong style="color:{color}">'
        f"{escape(kind[0].upper() + kind[1:])}</strong>: {escape(text)}</p>",
        f'<p style="margin:.3em 0;opacity:.75">{escape(summary)}</p>',
        f'<table style="{_TABLE}"><thead><tr style="border-bottom:1px solid {_FAINT}">',
    ]
    for title in (*header[:-1], ""):
        style = _TEXT if title in ("metric", "95 % interval", "") else _NUMBER
        span = 2 if title == "95 % interval" else 1
        parts.append(
            f'<th scope="col" colspan="{span}" style="{style};font-weight:600">{title}</th>'
        )
    parts.append("</tr></thead>")
    scale = _find_scale(drawn)
    for title, rows in groups:
        parts.append(
            f'<tbody><tr style="background:none"><th scope="rowgroup" colspan="7" style="{_TEXT};'
            f'padding-top:.7em;font-weight:600;opacity:.75">{escape(title)}</th></tr>'
        )
        parts += [_write_row(row, scale if row in drawn else None) for row in rows]
        parts.append("</tbody>")
    parts.append("</table>")
    for mark, color, texts in (("⚠ ", _DOUBTFUL, warnings), ("", "inherit", notes)):
        for line in texts:
            style = f"margin:.25em 0;color:{color};opacity:{1 if mark else 0.75}"
            parts.append(f'<p style="{style}">{mark}{escape(line)}</p>')
    parts.append("</div>")
    return "".join(parts)


def _write_row(row: Row, scale: tuple[float, float] | None) -> str:
    base, tuned, difference, interval, beyond = cells(row)
    color = {"better": _BETTER, "worse": _WORSE}.get(beyond, "inherit")
    emphasis = f"color:{color};font-weight:{600 if beyond else 400}"
    drawn = ""
    if row.interval is not None and scale is not None:
        drawn = _draw(row.interval, scale, color if beyond else "currentColor")
    return (
        f'<tr style="background:none"><th scope="row" style="{_TEXT};font-weight:400">'
        f'{escape(row.title)}</th><td style="{_NUMBER}">{base}</td>'
        f'<td style="{_NUMBER}">{tuned}</td><td style="{_NUMBER};{emphasis}">{difference}</td>'
        f'<td style="{_TEXT}">{drawn}</td><td style="{_TEXT}">{interval}</td>'
        f'<td style="{_TEXT};{emphasis}">{beyond}</td></tr>'
    )


def _find_scale(rows: Sequence[Row]) -> tuple[float, float]:
    """RETURNS (tuple[float, float]): The ends of an axis that holds zero and all intervals."""
    intervals = [row.interval for row in rows if row.interval is not None]
    low = min([0.0, *(min(i.low, i.value) for i in intervals)])
    high = max([0.0, *(max(i.high, i.value) for i in intervals)])
    margin = 0.06 * (high - low) or 0.05
    return low - margin, high + margin


def _draw(interval: Difference, scale: tuple[float, float], color: str) -> str:
    """RETURNS (str): The interval as a line with a dot, beside a line at zero, in SVG."""
    low, high = scale
    value, start, end, zero = ((x - low) / (high - low) * _WIDTH for x in (*interval, 0.0))
    y = _HEIGHT / 2
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'style="vertical-align:middle" aria-hidden="true">'
        f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{_HEIGHT}" stroke="currentColor" '
        f'stroke-opacity=".45" stroke-dasharray="2 2"/>'
        f'<line x1="{start:.1f}" x2="{end:.1f}" y1="{y}" y2="{y}" stroke="{color}" '
        f'stroke-width="2" stroke-linecap="round"/>'
        f'<circle cx="{value:.1f}" cy="{y}" r="3.5" fill="{color}"/></svg>'
    )
