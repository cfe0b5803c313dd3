# SPDX-License-Identifier: GPL-2.0-only
"""`python -m mmsim store`: what a store of campaigns has in it, and is it in order?"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from typing import Any

from rich.table import Table

from mmsim.errors import UsageError
from mmsim.stress import store as written
from mmsim.stress.output import console, show_rows
from mmsim.stress.parser import whole
from mmsim.stress.stored.file import Store
from mmsim.stress.stored.merge import merge
from mmsim.stress.stored.proposals import proposals
from mmsim.stress.stored.recount import Recount, complaints, recount
from mmsim.stress.verdict import verdict_of

HELP = "campaigns kept in a file: look, check, merge, export"
DESCRIPTION = """\
A store is the SQLite file that `python -m mmsim.stress --store FILE` writes, block by
block; docs/store.md describes its tables. It can be read while a campaign runs.

  info     the campaigns in it, and how far they are
  check    is the file whole, and do its blocks add up to its totals?
  merge    put what others computed into the first one; blocks of one plan and code
           become one campaign
  export   a campaign as the JSON that `--json` writes

exit code: 0 in order, 1 check has found something, 2 usage, or merge refuses
"""
OK, BAD, BROKEN = 0, 1, 3


def arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="what", title="what", required=True)

    info = commands.add_parser("info", help="the campaigns in it", allow_abbrev=False)
    info.set_defaults(store_run=_info)

    check = commands.add_parser("check", help="is it in order?", allow_abbrev=False)
    check.set_defaults(store_run=_check)

    merging = commands.add_parser(
        "merge", help="take over what other stores have", allow_abbrev=False
    )
    merging.set_defaults(store_run=_merge)

    export = commands.add_parser("export", help="a campaign as JSON", allow_abbrev=False)
    export.set_defaults(store_run=_export)
    export.add_argument("--campaign", type=whole(1), metavar="N", help="which one (the last)")
    export.add_argument("--json", metavar="FILE", help="write it there (to the screen)")

    for command in (info, check, merging, export):
        command.add_argument("store", metavar="STORE", help="the file")
    merging.add_argument("other", metavar="OTHER", nargs="+", help="stores to take from")
    merging.add_argument("--other-code", action="store_true", help="also what ran other code")
    merging.add_argument("--other-plan", action="store_true", help="also campaigns of other plans")


def run(options: argparse.Namespace) -> int:
    code: int = options.store_run(options)
    return code


def _info(options: argparse.Namespace) -> int:
    out = console(sys.stdout)
    with Store(options.store) as store:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for name in ("campaign", "began (UTC)", "profile", "seed", "runs", "findings", ""):
            right = name in ("campaign", "runs", "findings")
            table.add_column(name, justify="right" if right else "left", no_wrap=True)
        for row in store.campaigns():
            counted = recount(store, row["id"])
            table.add_row(
                str(row["id"]),
                row["began"][:16].replace("T", " "),
                row["profile"],
                row["seed"],
                f"{counted.campaign.runs:,}",
                f"{counted.campaign.findings:,}",
                _word(counted),
            )
        if not table.row_count:
            out.out(f"{options.store} has no campaign in it")
            return OK
        show_rows(out, table)
        last = store.campaign()
        out.out("")
        for line in _last(store, last["id"]):
            out.out(line, highlight=False)
    return OK


def _word(counted: Recount) -> str:
    if not counted.complete:
        return "not finished"
    words = [verdict_of(counted.campaign, tally).ok for tally in counted.campaign.tallies]
    if False in words:
        return f"{words.count(False)} of {len(words)} differ"
    if None in words:
        return f"{words.count(None)} of {len(words)} undecided"
    return "as declared"


def _last(store: Store, id: int) -> Iterator[str]:
    row = store.campaign(id)
    yield f"campaign {id} was started as"
    yield f"  {row['command']}"
    yield f"engine {row['engine']}, policy {row['policy']}, cpus {row['cpus']}, {row['python']}"
    yield f"code {row['code']}, plan {row['plan']}"
    for session in store.rows("SELECT * FROM session WHERE campaign = ? ORDER BY id", id):
        blocks, runs = store.rows(
            "SELECT count(*), coalesce(sum(runs), 0) FROM block WHERE session = ?", session["id"]
        )[0]
        outcome = session["outcome"] or "killed, or running now"
        yield (
            f"session {session['id']}: {session['began'][:16].replace('T', ' ')} on "
            f"{session['host']}, {session['workers']}: {blocks:,} blocks, {runs:,} runs; {outcome}"
        )
    again = store.rows("SELECT count(*) FROM block WHERE campaign = ? AND tries > 1", id)[0][0]
    if again:
        yield f"{again} blocks were run again after a worker had gone"
    if proposed := proposals(store):
        yield (
            f"{len(proposed)} kinds of findings are proposed for stress/corpus: "
            f"python -m mmsim corpus propose {shlex.quote(str(store.path))}"
        )


def _check(options: argparse.Namespace) -> int:
    out = console(sys.stdout)
    with Store(options.store) as store:
        found = list(complaints(store))
        blocks = store.rows("SELECT count(*) FROM block")[0][0]
        campaigns = len(store.campaigns())
    for complaint in found:
        out.out(f"BAD  {complaint}", highlight=False)
    if not found:
        out.out(f"{options.store} is in order: {campaigns} campaigns, {blocks:,} blocks")
    return BAD if found else OK


def _merge(options: argparse.Namespace) -> int:
    out = console(sys.stdout)
    with Store(options.store, write=True) as into:
        for path in options.other:
            with Store(path) as other:
                if other.path.resolve() == into.path.resolve():
                    raise UsageError(f"{path} cannot be merged into itself")
                done = merge(
                    into, other, other_code=options.other_code, other_plan=options.other_plan
                )
            line = f"{path}: {done.runs:,} runs in {done.blocks:,} blocks taken over"
            parts = [
                f"{done.campaigns} new campaigns" if done.campaigns else "",
                f"{done.equal:,} runs were there, and equal" if done.equal else "",
            ]
            out.out("; ".join([line, *(part for part in parts if part)]), highlight=False)
    return OK


def _export(options: argparse.Namespace) -> int:
    if options.json is not None:
        written.check_writable(options.json)
    with Store(options.store) as store:
        data = exported(recount(store, options.campaign))
    if options.json is not None:
        return OK if written.keep(options.json, data) else BROKEN
    print(json.dumps(data, indent=2, ensure_ascii=False))
    return OK


def exported(counted: Recount) -> dict[str, Any]:
    """The document of a campaign; its versions are those of the process that ran it."""
    data = written.document(
        counted.campaign, counted.settings, complete=counted.complete, wall=counted.wall
    )
    data["mmsim"] = counted.row["mmsim"]
    if counted.sessions:
        data["python"] = counted.sessions[-1]["python"]
        data["gil"] = bool(counted.sessions[-1]["gil"])
    return data
