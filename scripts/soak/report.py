"""What the soak says: the live line, the report in the terminal, and the page with plots.

Owns presentation. Samples come from the director, one a second.
"""

from __future__ import annotations

import html
from typing import NamedTuple, Optional

from soak.links import bucket_ms


class Sample(NamedTuple):
    at_s: float
    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    resident_mb: float
    connected: int
    blocked: int
    errors: int


def percentile(latencies: dict, share: float) -> float:
    """Return a percentile in milliseconds from a histogram; 0 without any."""
    total = sum(latencies.values())
    seen = 0
    for index in sorted(latencies):
        seen += latencies[index]
        if seen >= total * share:
            return bucket_ms(index)
    return 0.0


def live_line(sample: Sample) -> str:
    return (
        f"{sample.at_s:6.0f} s  {sample.rate:8.0f}/s  p50 {sample.p50_ms:7.2f}  p99 {sample.p99_ms:8.2f}  "
        f"max {sample.max_ms:8.1f} ms  {sample.resident_mb:6.1f} MB  {sample.connected:5d} clients, "
        f"{sample.blocked:3d} blocked  {sample.errors:4d} lost"
    )


def steadiness(samples: list) -> Optional[float]:
    """Return by how many percent resident memory in the last third is above that in the middle one."""
    third = len(samples) // 3
    if third < 3:
        return None
    middle = [sample.resident_mb for sample in samples[third : 2 * third] if sample.resident_mb]
    last = [sample.resident_mb for sample in samples[2 * third :] if sample.resident_mb]
    if not middle or not last:
        return None
    return (sum(last) / len(last) / (sum(middle) / len(middle)) - 1) * 100


def plot(title: str, unit: str, at: list, curves: list) -> str:
    """Return one plot as inline SVG; `curves` are (name, colour, values)."""
    width, height, left, bottom = 860, 200, 60, 22
    top = max([value for _, _, values in curves for value in values] or [0]) * 1.05 or 1.0
    end = max(at or [0]) or 1.0
    parts = [f'<h2>{html.escape(title)}</h2><svg viewBox="0 0 {width} {height}" role="img">']
    for step in range(5):
        y = (height - bottom) * (1 - step / 4) + 2
        parts.append(f'<line x1="{left}" x2="{width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{top * step / 4:.4g}</text>')
    for step in range(6):
        x = left + (width - left - 20) * step / 5
        parts.append(f'<text x="{x:.1f}" y="{height - 4}" text-anchor="middle">{end * step / 5:.0f} s</text>')
    for name, colour, values in curves:
        points = " ".join(
            f"{left + (width - left - 20) * x / end:.1f},{(height - bottom) * (1 - y / top) + 2:.1f}"
            for x, y in zip(at, values)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5">'
                     f"<title>{html.escape(name)}</title></polyline>")  # fmt: skip
    legend = " ".join(f'<span style="color:{colour}">&#9632; {html.escape(name)}</span>' for name, colour, _ in curves)
    return "".join(parts) + f"</svg><p>{legend} ({html.escape(unit)})</p>"


def page(title: str, verdict: str, facts: list, rows: list, samples: list) -> str:
    """Return the report as one HTML page without dependencies."""
    at = [sample.at_s for sample in samples]

    def curve(name: str, colour: str, field: str) -> tuple:
        return name, colour, [getattr(sample, field) for sample in samples]

    plots = [
        plot("Rate", "commands a second", at, [curve("rate", "#1f77b4", "rate")]),
        plot("Latency", "milliseconds", at, [curve("p50", "#2ca02c", "p50_ms"), curve("p99", "#ff7f0e", "p99_ms")]),
        plot("Longest", "milliseconds", at, [curve("max", "#d62728", "max_ms")]),
        plot("Resident memory of the server", "MB", at, [curve("resident", "#9467bd", "resident_mb")]),
        plot("Clients", "connections", at, [curve("connected", "#8c564b", "connected"),
                                            curve("blocked", "#7f7f7f", "blocked")]),
    ]  # fmt: skip
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ROW_NAMES)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    listed = "".join(f"<li>{html.escape(fact)}</li>" for fact in facts)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title><style>{STYLE}</style>"
        f"<h1>{html.escape(title)}</h1><pre>{html.escape(verdict)}</pre><ul>{listed}</ul>"
        f"<table><tr>{head}</tr>{body}</table>{''.join(plots)}</html>\n"
    )


STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222}"
    "svg{width:100%;height:auto}svg text{font-size:11px;fill:#555}table{border-collapse:collapse}"
    "td,th{border:1px solid #ccc;padding:2px 10px;text-align:right}td:first-child{text-align:left}"
    "pre{background:#f4f4f4;padding:1em;overflow-x:auto;white-space:pre-wrap}h2{font-size:1.1em;margin:1.5em 0 0}"
)
ROW_NAMES = ("role", "clients", "commands", "p50 ms", "p99 ms", "max ms", "lost")


def table(rows: list) -> str:
    lines = [ROW_NAMES, *rows]
    widths = [max(len(str(row[column])) for row in lines) for column in range(len(ROW_NAMES))]
    return "\n".join(
        "  ".join(str(cell).ljust(width) if column == 0 else str(cell).rjust(width)
                  for column, (cell, width) in enumerate(zip(row, widths)))
        for row in lines
    )  # fmt: skip
