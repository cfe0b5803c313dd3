# SPDX-License-Identifier: GPL-2.0-only
"""The `---[ mmsim ]---` block: what a simulator knows and a kernel cannot.

It follows the kernel's part, so that the part above can be pasted into a mail or fed to a script.
Its last line before the end mark is the command that brings the failure back, alone on its line so
that a triple click takes all of it.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mmsim import __version__
from mmsim.detect.finding import Finding, PageSnapshot
from mmsim.report.dump_page import flag_list
from mmsim.report.symbols import at_rest, frames_of, symbol
from mmsim.report.voice import I386, Voice

_LABEL = 10


class ScenarioLike(Protocol):
    @property
    def name(self) -> str: ...


class VariantLike(Protocol):
    """As much of a variant as a report needs (see mmsim.scenarios.api.Variant)."""

    @property
    def id(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def expect(self) -> Any: ...
    @property
    def gates(self) -> tuple[str, ...]: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def scenario(self) -> Any: ...


def seen(count: int, runs: int) -> str:
    """`seen 17 times in 1000 runs`. No rate: that depends on how counting stopped."""
    return f"seen {count} time{'s' * (count != 1)} in {runs} run{'s' * (runs != 1)}"


def mmsim_block(
    finding: Finding,
    variant: VariantLike,
    voice: Voice,
    *,
    reproduce: str,
    count: int,
    runs: int,
    lanes: str,
    details: Sequence[str],
    run: Mapping[str, object],
    show_page: bool,
) -> list[str]:
    """The block, line by line."""
    where = f"{symbol(finding.where)}, {_who(finding)}, step {finding.step}"
    page = finding.page
    pfn = f" pfn:{page.pfn:05x}" if page else ""
    lines = [
        "---[ mmsim ]---",
        _labelled("scenario", _scenario(finding, variant)),
        _labelled("variant", f"{variant.id}   {variant.summary}".rstrip()),
        _labelled(
            "finding",
            f"{finding.kind}{pfn}   fingerprint {finding.fingerprint}   ({seen(count, runs)})",
        ),
        _labelled("where", where),
    ]
    if page is not None and show_page:
        lines.append(_labelled("page", _page(page, voice)))
    if page is not None:
        lines += _column("history", page.history)
    if voice.arch == I386:  # no name stands in the kernel's part
        stack = " < ".join(symbol(frame.func) for frame in frames_of(finding))
        lines += [_labelled("stack", stack)] if stack else []
    lines += _column("detail", details)
    lines += lanes.rstrip("\n").splitlines() if lanes.strip() else []
    if finding.locks or not at_rest(finding):
        held = f"held by {finding.comm}/{finding.pid}: {_locks(finding)}"
        lines.append(_labelled("locks", held))
    lines.append(_labelled("run", _run(finding, run)))
    if reproduce:
        lines.append(f"Reproduce: {reproduce.strip().removeprefix('Reproduce: ')}")
    return [*lines, f"---[ end mmsim {finding.fingerprint} ]---"]


def _who(finding: Finding) -> str:
    if at_rest(finding):
        return "when all had come to rest"
    context = "" if finding.context == "task" else f" ({finding.context})"
    return f"CPU{finding.cpu} {finding.comm}/{finding.pid}{context}"


def _labelled(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}"


def _column(label: str, texts: Sequence[str]) -> list[str]:
    return [_labelled(label if i == 0 else "", text) for i, text in enumerate(texts)]


def _scenario(finding: Finding, variant: VariantLike) -> str:
    name = getattr(variant.scenario, "name", "") or variant.id
    gates = " ".join(variant.gates) or "none"
    expected = getattr(variant.expect, "value", variant.expect)
    return f"{name}   era {finding.era}   gates {gates}   verdict expected {expected}"


def _page(page: PageSnapshot, voice: Voice) -> str:
    mapped = "" if page.mapcount is None else f" mapcount:{page.mapcount}"
    text = f"pfn:{page.pfn:05x} count:{page.ref}{mapped} flags:{flag_list(page)}"
    if page.mapping:
        text += f" mapping:{page.mapping}"
    return f"{text} lru:{voice.hexword(page.lru_next)}/{voice.hexword(page.lru_prev)}"


def _locks(finding: Finding) -> str:
    return "{" + ", ".join(finding.locks) + "}" if finding.locks else "none"


def _run(finding: Finding, run: Mapping[str, object]) -> str:
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    facts = {
        **run,
        "cpus": finding.cpus,
        "preempt": "y" if finding.preempt else "n",
        "gil": "on" if gil else "off",
        "python": platform.python_version(),
        "mmsim": __version__,
    }
    return " ".join(f"{key}={value}" for key, value in facts.items())
