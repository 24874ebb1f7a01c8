"""What scripts/bench.py has measured, for people: a picture (SVG, no dependency) and the README's table.

Takes the results as they are stored by `--json`; must not know how they were measured.
"""

from __future__ import annotations

import html
from pathlib import Path
from textwrap import fill

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Result = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PICTURE = ROOT / "scripts" / "bench.svg"
BEGIN = "<!-- speed: made by scripts/bench.py -->"
END = "<!-- /speed -->"

PAGE_WIDTH = 120  # of a line of the README
WIDTH, MARGIN, PANEL_GAP = 800, 16, 28
NAME_WIDTH, VALUE_WIDTH = 58, 44
BAR, BAR_STEP, GROUP_GAP = 9, 11, 10
HEAD, FOOT = 62, 40
# In an <img> the page's colours are unknown: these can be read on white and on black.
STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#57606a}.h{font-size:13px;font-weight:600}.f{font-size:10px}"
    ".redis{fill:#9aa4ae}.own{fill:#2f7fc1}.other{fill:#d99a1c}"
    "@media(prefers-color-scheme:dark){text{fill:#a0a8b0}}"
)


def classes(names: list[str]) -> dict[str, str]:
    """The colour of each server."""
    return {name: name if name in ("own", "redis") else "other" for name in names}


def measured(result: Result, depth: int) -> list[Result]:
    return [entry for entry in result["results"] if entry["depth"] == depth and "medians" in entry]


def draw(result: Result) -> str:
    """The picture: requests/s, a panel for each depth of pipelines, a group of bars for each test."""
    all_depths = dict.fromkeys(entry["depth"] for entry in result["results"])
    depths = [depth for depth in all_depths if measured(result, depth)]
    names = order(result)
    labels = result["labels"]
    groups = max(len(measured(result, depth)) for depth in depths)
    height = HEAD + groups * (len(names) * BAR_STEP + GROUP_GAP) + FOOT
    panel = (WIDTH - 2 * MARGIN - PANEL_GAP * (len(depths) - 1)) / len(depths)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>Requests per second: {html.escape(' and '.join(labels[name] for name in names))}</title>",
        f"<style>{STYLE}</style>",
    ]
    at = MARGIN
    for name in names:
        parts.append(f'<rect x="{at}" y="12" width="10" height="10" rx="2" class="{classes(names)[name]}"/>')
        parts.append(text(at + 15, 21, labels[name]))
        at += 30 + int(6.2 * len(labels[name]))
    for place, depth in enumerate(depths):
        left = MARGIN + place * (panel + PANEL_GAP)
        parts.append(text(left, 50, "requests/s, " + depth_text(depth), "h"))
        parts += draw_panel(measured(result, depth), names, left, panel)
    for number, line in enumerate(setting(result)):
        parts.append(text(MARGIN, height - FOOT + 20 + 13 * number, line, "f"))
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def draw_panel(entries: list[Result], names: list[str], left: float, width: float) -> list[str]:
    parts = []
    most = max(entry["medians"][name]["rps"] for entry in entries for name in names if name in entry["medians"])
    room = width - NAME_WIDTH - VALUE_WIDTH
    y = HEAD
    for entry in entries:
        middle = y + len(names) * BAR_STEP / 2 + 3
        parts.append(text(left + NAME_WIDTH - 6, middle, entry["test"].upper(), anchor="end"))
        for name in names:
            if name in entry["medians"]:
                rate = entry["medians"][name]["rps"]
                end = max(1.0, room * rate / most)
                box = f'x="{left + NAME_WIDTH:.1f}" y="{y}" width="{end:.1f}" height="{BAR}" rx="1"'
                parts.append(f'<rect {box} class="{classes(names)[name]}"/>')
                parts.append(text(left + NAME_WIDTH + end + 4, y + 8, f"{rate / 1000:.0f} k", "f"))
            y += BAR_STEP
        y += GROUP_GAP
    return parts


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "") -> str:
    more = (f' class="{kind}"' if kind else "") + (f' text-anchor="{anchor}"' if anchor else "")
    return f'<text x="{x:.1f}" y="{y:.1f}"{more}>{html.escape(words)}</text>'


def order(result: Result) -> list[str]:
    """Redis first, then this server on each interpreter."""
    names = list(result["labels"])
    return sorted(names, key=lambda name: (name != "redis", names.index(name)))


def depth_text(depth: int) -> str:
    return "one at a time" if depth == 1 else f"pipelines of {depth}"


def setting(result: Result) -> list[str]:
    """How it was measured, exactly."""
    machine = result["machine"]
    return [
        f"{result['driver']}; one core for the server, another for the client; medians of {result['rounds']} "
        "alternating rounds in one run",
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; {result['at'][:10]}",
    ]


def table(result: Result) -> str:
    """This server's ratios to Redis, as Markdown: a row for each test, a column for each depth."""
    ratios = {
        (entry["test"], entry["depth"]): "%s (%s)" % (shown(entry["ratio_rps"]), shown(entry["ratio_cpu"]))
        for entry in result["results"]
        if "medians" in entry
    }
    depths = list(dict.fromkeys(depth for _, depth in ratios))
    rows = ["| | " + " | ".join(map(depth_text, depths)) + " |", "|---|" + "---|" * len(depths)]
    for test in dict.fromkeys(test for test, _ in ratios):
        rows.append("| %s | %s |" % (test.upper(), " | ".join(ratios.get((test, depth), "") for depth in depths)))
    return "\n".join(rows)


def shown(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def publish(result: Result) -> None:
    """Put the picture beside this file, and picture, table and setting into the README."""
    PICTURE.write_text(draw(result), encoding="utf-8")
    head, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, tail = rest.partition(END)
    if not tail:
        raise SystemExit(f"{README.name} has no place for the figures: {BEGIN} ... {END}")
    labels = result["labels"]
    words = (
        f"{labels['own']}, as parts of what {labels.get('redis', 'Redis')} did in requests/s (in brackets: by the "
        "server's processor time for a request):"
    )
    picture = f"![Requests per second beside Redis]({PICTURE.relative_to(ROOT).as_posix()})"
    how = f"Setting: {'; '.join(setting(result))}."
    block = "\n\n".join((BEGIN, picture, fill(words, PAGE_WIDTH), table(result), fill(how, PAGE_WIDTH), END))
    README.write_text(head + block + tail, encoding="utf-8")
