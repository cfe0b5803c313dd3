# SPDX-License-Identifier: GPL-2.0-only
"""Variants and findings as JSON, and back.

A store is read by other versions of mmsim than the one that wrote it: a variant may be gone, a
finding may have got a field more. So a variant is read back as much as counting, verdicts and
reports need of it, and a field that is not known here is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from mmsim.detect.finding import Finding, Frame, PageSnapshot
from mmsim.engine.policy.portfolio import MEMBERS, Portfolio
from mmsim.scenarios.api import Verdict
from mmsim.stress.profile import Budget

if TYPE_CHECKING:
    from mmsim.scenarios.api import Variant


@dataclass(frozen=True)
class StoredScenario:
    """A mail thread, as it was when the campaign ran."""

    id: str
    name: str
    title: str = ""
    thread: str = ""


@dataclass(frozen=True)
class StoredVariant:
    """As much of a variant as counting, verdicts and reports need."""

    id: str
    summary: str
    expect: Verdict
    scenario: StoredScenario
    findings: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    twins: tuple[str, ...] = ()


def of_variant(variant: Variant, budget: Budget) -> dict[str, Any]:
    """What is declared and planned, as JSON; the rest stands in columns."""
    scenario = variant.scenario
    return {
        "name": getattr(scenario, "name", ""),
        "title": getattr(scenario, "title", ""),
        "findings": list(variant.findings),
        "gates": list(variant.gates),
        "config": {k: v for k, v in variant.config.items() if isinstance(v, str | int | float)},
        "metrics": {name: str(expect) for name, expect in variant.metrics.items()},
        "twins": list(variant.twins),
        "shares": of_shares(budget),
    }


def of_shares(budget: Budget) -> list[float]:
    """The shares of a portfolio's policies, and a 1 behind them if they are learnt on the way.

    Nothing without a portfolio.
    """
    if budget.portfolio is None:
        return []
    return [*budget.portfolio.shares, *([1.0] if budget.learns else [])]


def to_budget(row: Mapping[str, Any], declared: Mapping[str, Any]) -> Budget:
    """The budget in a row of the table `variant`, with its column `declared`."""
    budget = Budget(row["budget"], row["stop_after"], row["most"])
    shares = declared.get("shares")
    if not shares:
        return budget
    members = len(MEMBERS)
    learns = len(shares) > members
    return replace(budget, portfolio=Portfolio(tuple(shares[:members])), learns=learns)


def scenario_id(variant: Variant) -> str:
    """The number of its mail thread."""
    scenario = variant.scenario
    return variant.id.partition(".")[0] if scenario is None else str(scenario.id)


def to_variant(row: Mapping[str, Any], declared: Mapping[str, Any]) -> StoredVariant:
    """A row of the table `variant`, with its column `declared`."""
    number = row["scenario"]
    scenario = StoredScenario(
        number, declared.get("name") or number, declared.get("title", ""), row["thread"]
    )
    return StoredVariant(
        id=row["id"],
        summary=row["summary"],
        expect=Verdict(row["expected"]),
        scenario=scenario,
        findings=tuple(declared.get("findings", ())),
        gates=tuple(declared.get("gates", ())),
        config=declared.get("config", {}),
        metrics=declared.get("metrics", {}),
        twins=tuple(declared.get("twins", ())),
    )


def of_finding(finding: Finding) -> dict[str, Any]:
    return asdict(finding)


def to_finding(data: Mapping[str, Any]) -> Finding:
    """A finding again; raises TypeError if a field that is needed is not there."""
    values = _known(Finding, data)
    values["frames"] = tuple(Frame(**_known(Frame, frame)) for frame in data.get("frames", ()))
    if data.get("page") is not None:
        values["page"] = PageSnapshot(**_known(PageSnapshot, data["page"]))
    return Finding(**values)


def _known(of: type, data: Mapping[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(of)}
    return {name: _frozen(value) for name, value in data.items() if name in names}


def _frozen(value: Any) -> Any:
    return (
        tuple(map(_frozen, value))
        if isinstance(value, Sequence) and not isinstance(value, str)
        else value
    )
