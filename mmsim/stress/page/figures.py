# SPDX-License-Identifier: GPL-2.0-only
"""The figures: values in, SVG out, ready to stand inside a page.

Text stays text, so it can be searched and is small. Colours are names that the page gives a value
to (`var(--bad)`), so that one figure suits a light and a dark screen. Every figure carries a title
and a description for those who do not see it; the page has the same numbers as a table.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmsim.errors import UsageError
from mmsim.stress.page.facts import RIGHT, Group, Line, Night, Thread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mmsim.stress.page.survival import Curve

INSTALL = "the page needs matplotlib and jinja2: pip install 'mmsim[report]'"

# Placeholders, one for each colour of the page: no figure uses them for themselves.
INK, FAINT, GRID = "#010101", "#020202", "#030303"
GOOD, BAD, OPEN = "#040404", "#050505", "#060606"
ONE, TWO, THREE, FOUR = "#070707", "#080808", "#090909", "#0a0a0a"
NAMES = dict(
    zip(
        (INK, FAINT, GRID, GOOD, BAD, OPEN, ONE, TWO, THREE, FOUR),
        ("ink", "faint", "grid", "good", "bad", "open", "one", "two", "three", "four"),
        strict=True,
    )
)
POLICY_COLOURS = {"random-walk": ONE, "geometric": TWO, "pct": THREE, "pos": FOUR, "os": ONE}
WIDTH = 10.6
ROW = 0.205
"""Inches."""
SMALL, NORMAL = 7.5, 8.5


def available() -> None:
    """Raises UsageError, with what to install, if the figures cannot be drawn."""
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError(INSTALL) from None


def forest(thread: Thread) -> str:
    """Rates of a thread's pairs with their intervals: each wrong variant, and below it the right
    ones with its cast.
    """
    rows: list[tuple[float, Line]] = []
    y = 0.0
    for group in (*(g.lines for g in thread.groups), thread.alone):
        for line in group:
            rows.append((y, line))
            y += 1.0
        y += GAP if group else 0.0
    last = rows[-1][0]
    figure, ax = _figure(WIDTH, ROW * (last + 1) + 0.62)
    height = figure.get_figheight()
    ax.set_position((LEFT, 0.36 / height, ACROSS, 1 - 0.62 / height))
    floor = min([line.rate.low for _, line in rows if line.findings] + [1e-3])
    floor = min([floor, *(line.rate.high / 3 for _, line in rows if line.runs)])
    ax.set_xscale("log")
    ax.set_xlim(10.0 ** _floor(floor), 1.12)
    ax.set_ylim(last + 0.6, -0.6)
    _percent_axis(ax)
    for y, line in rows:
        _forest_row(ax, y, line)
    _at(ax, NAME, -1.15, "variant", FAINT, "left")
    for x, text, side in COLUMNS:
        _at(ax, x, -1.15, text, FAINT, side)
    return _svg(figure, f"forest-{thread.id}", f"Rates of thread {thread.id}", _told(thread))


LEFT, ACROSS = 0.315, 0.36
"""Where the axis begins, and how wide it is, in widths of the figure."""
GAP = 0.55
"""Between a pair and the next, in rows."""
NAME = -LEFT / ACROSS
COLUMNS = (
    (1.05, "rate, 95 %", "left"),
    (1.57, "runs", "right"),
    (1.73, "p", "right"),
    (1.76, "verdict", "left"),
)
"""Right of the axis, in widths of it."""


def _forest_row(ax: Axes, y: float, line: Line) -> None:
    right = line.side == RIGHT
    colour = {True: GOOD if right else INK, False: BAD, None: OPEN}[line.ok]
    if not right and line.ok:
        colour = ONE
    name, indent = line.id.partition("@")[0], 0.025 if right else 0.0
    _at(ax, NAME + indent, y, name, FAINT if right else INK, "left", mono=True)
    if line.runs:
        low = line.rate.low if line.findings else ax.get_xlim()[0]
        style: dict[str, Any] = {"lw": 1.3, "color": colour, "solid_capstyle": "butt"}
        if line.findings:
            ax.plot([low, min(line.rate.high, 1.0)], [y, y], **style)
            ax.plot([line.rate.value], [y], "o", ms=4.2, color=colour, markeredgewidth=0, zorder=3)
        else:
            ax.plot([low, line.rate.high], [y, y], **{**style, "lw": 0.9, "alpha": 0.55})
            ax.plot([line.rate.high], [y], marker="|", ms=5, color=colour, markeredgewidth=1.3)
    _at(ax, COLUMNS[0][0], y, line.shown_rate, INK, "left")
    _at(ax, COLUMNS[1][0], y, f"{line.runs:,}", FAINT, "right")
    _at(ax, COLUMNS[2][0], y, line.shown_p, FAINT, "right")
    word = "proved" if line.proved else line.word
    _at(ax, COLUMNS[3][0], y, word, {True: FAINT, False: BAD, None: OPEN}[line.ok], "left")


def survival(thread: Thread, variants: Sequence[tuple[str, tuple[Curve, ...]]]) -> str:
    """One small panel for each wrong variant: the chance that n runs show nothing."""
    across = 5
    down = -(-len(variants) // across)
    figure, first = _figure(WIDTH, 1.28 * down + 0.34)
    first.remove()
    height = figure.get_figheight()
    longest = max(curve.steps()[-1][0] for _, curves in variants for curve in curves)
    for place, (name, curves) in enumerate(variants):
        column, row = place % across, place // across
        ax = figure.add_axes(
            (
                0.035 + column * 0.195,
                1 - (1.28 * (row + 1) - 0.12) / height,
                0.172,
                0.86 / height,
            )
        )
        _bare(ax)
        ax.set_xscale("symlog", linthresh=1, linscale=0.25)
        ax.set_xlim(0, longest * 1.1)
        ax.set_ylim(-0.03, 1.05)
        ax.set_yticks([0, 0.5, 1], labels=["0", "", "1"] if column == 0 else [])
        ticks = [n for n in (1, 10, 100, 1000, 10_000, 100_000, 10**6) if n <= longest]
        bottom = row == down - 1 or place + across >= len(variants)
        ax.set_xticks(ticks, labels=[_short(n) for n in ticks] if bottom else [], minor=False)
        ax.set_xticks([], minor=True)
        ax.grid(True, color=GRID, lw=0.5)
        for curve in curves:
            xs, ys = zip(*curve.steps(), strict=True)
            colour = POLICY_COLOURS.get(curve.policy, FOUR)
            ax.step(xs, ys, where="post", color=colour, lw=1.15)
            if curve.rest and ys[-1] > 0:
                ax.plot([xs[-1]], [ys[-1]], "|", ms=4, color=colour)
        ax.text(
            *(0.0, 1.1, _end(name, 27)),
            transform=ax.transAxes,
            fontsize=SMALL,
            color=INK,
            family="monospace",
        )
    told = "; ".join(
        f"{name}: " + ", ".join(f"{c.policy} {len(c.waits)} findings in {c.runs} runs" for c in cs)
        for name, cs in variants
    )
    title = f"Thread {thread.id}: runs until a finding, by policy"
    return _svg(figure, f"survival-{thread.id}", title, told)


def nights(campaigns: Sequence[Night], thread: Thread, changed: set[str]) -> str:
    """Rates of a thread's wrong variants from campaign to campaign; ``changed`` ones stand out."""
    names = sorted({name for night in campaigns for name in night.rates if _of(name, thread)})
    figure, ax = _figure(WIDTH / 2.06, 2.3)
    ax.set_position((0.12, 0.17, 0.85, 0.7))
    _bare(ax)
    ax.set_yscale("log")
    ax.grid(True, axis="y", color=GRID, lw=0.5)
    xs = range(len(campaigns))
    for name in sorted(names, key=lambda name: name in changed):
        points = [
            (x, *night.rates[name])
            for x, night in zip(xs, campaigns, strict=True)
            if name in night.rates and night.rates[name][0]
        ]
        colour, width = (BAD, 1.5) if name in changed else (ONE, 0.7)
        alpha = 1.0 if name in changed else 0.45
        ax.plot(
            [p[0] for p in points],
            [p[3].value for p in points],
            "-o",
            ms=2.4,
            lw=width,
            color=colour,
            alpha=alpha,
            markeredgewidth=0,
        )
        if name in changed and points:
            last = points[-1]
            ax.plot([last[0]] * 2, [last[3].low, last[3].high], lw=1.0, color=BAD)
            ax.annotate(
                _end(name, 30),
                (last[0], last[3].value),
                (-4, 5),
                textcoords="offset points",
                fontsize=SMALL,
                color=BAD,
                ha="right",
            )
    ax.set_xlim(-0.3, len(campaigns) - 0.7)
    ax.set_xticks(list(xs), labels=[str(night.id) for night in campaigns])
    ticks = [10.0**e for e in range(-6, 1)]
    low, high = ax.get_ylim()
    ax.set_ylim(low, min(high, 1.6))
    kept = [t for t in ticks if low <= t <= 1.0]
    ax.set_yticks(kept, labels=[f"{t * 100:g} %" for t in kept])
    ax.set_yticks([], minor=True)
    ax.set_title(f"{thread.id} {thread.name}", fontsize=NORMAL, color=INK, loc="left", pad=6)
    told = f"{len(names)} variants in {len(campaigns)} campaigns"
    told += f"; changed: {', '.join(sorted(changed))}" if changed else "; none changed"
    return _svg(figure, f"nights-{thread.id}", f"Thread {thread.id}: rates over time", told)


def _of(name: str, thread: Thread) -> bool:
    return name.partition(".")[0] == thread.id


def _floor(value: float) -> int:
    exponent = 0
    while 10.0**exponent > value:
        exponent -= 1
    return exponent


def _told(thread: Thread) -> str:
    """The figure in words, as somebody would read it out."""

    def pair(group: Group) -> str:
        wrong, *rights = group.lines
        clean = sum(not line.findings for line in rights)
        return (
            f"{wrong.id} fails in {wrong.shown_rate} of runs; of {len(rights)} right variants "
            f"beside it {clean} did not fail"
        )

    return "; ".join(pair(group) for group in thread.groups)


def _short(n: int) -> str:
    if n >= 10**6:
        return f"{n // 10**6}M"
    return f"{n // 1000}k" if n >= 1000 else str(n)


def _end(name: str, most: int) -> str:
    name = name.partition(".")[2] or name
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.patch.set_alpha(0.0)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.patch.set_alpha(0.0)
    return figure, ax


def _bare(ax: Axes) -> None:
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(GRID)
    ax.patch.set_alpha(0.0)
    ax.tick_params(length=0, labelsize=SMALL, colors=FAINT, pad=2)


def _percent_axis(ax: Axes) -> None:
    _bare(ax)
    low = ax.get_xlim()[0]
    ticks = [10.0**e for e in range(-8, 1) if 10.0**e >= low * 0.999]
    ax.set_xticks(ticks, labels=[f"{t * 100:g} %" for t in ticks])
    ax.tick_params(axis="x", labeltop=True)
    ax.set_xticks([], minor=True)
    ax.set_yticks([])
    ax.grid(True, axis="x", color=GRID, lw=0.5)
    ax.set_axisbelow(True)


def _at(
    ax: Axes, x: float, y: float, text: str, colour: str, side: str, *, mono: bool = False
) -> None:
    """Text beside the axis: x in widths of it, y in rows."""
    ax.text(
        x,
        y,
        text,
        transform=ax.get_yaxis_transform(),
        ha=side,
        va="center",
        fontsize=SMALL if mono else NORMAL,
        color=colour,
        family="monospace" if mono else "sans-serif",
        clip_on=False,
    )


def _svg(figure: Figure, name: str, title: str, told: str) -> str:
    """The figure as an element of a page. One name, one seed: the same bytes every time."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(
        r' id="[a-z]+(?:2d)?(?:\.[a-z]+)?_\d+"', "", text
    )  # groups that nothing refers to
    text = re.sub(r' (?:d|x|y|transform)="[^"]*"', _shorter, text)
    for colour, var in NAMES.items():
        text = text.replace(colour, f"var(--{var})")
    text = re.sub(r"font: ([\d.]+)px [^;\"]*(?:mono)[^;\"]*", r"font: \1px var(--mono)", text)
    text = re.sub(r"font: ([\d.]+)px (?!var)[^;\"]*", r"font: \1px var(--sans)", text)
    width, height = (figure.get_figwidth() * 72, figure.get_figheight() * 72)
    head = (
        f'<svg class="figure" role="img" aria-labelledby="{name}-t {name}-d" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-t">{html.escape(title)}</title>'
        f'<desc id="{name}-d">{html.escape(told)}</desc>'
    )
    return head + text[text.index(">") + 1 :]


def _shorter(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point."""
    return re.sub(r"(\d+\.\d{2})\d+", r"\1", attribute[0])
