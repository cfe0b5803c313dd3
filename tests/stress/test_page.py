# SPDX-License-Identifier: GPL-2.0-only
"""A campaign as a page, as Markdown, as JUnit's XML."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mmsim.cli import main
from mmsim.stress.page import figures, html, plain
from mmsim.stress.page.facts import Facts, facts
from mmsim.stress.page.survival import Curve
from mmsim.stress.stored.file import Store
from tests.stress.fake import source
from tests.stress.store_driver import OFTEN, RIGHT, WRONG, begin, finish, work

VOID = {"meta", "link", "br", "img", "hr"}
EVIL = "<script>alert(1)</script> & \"quoted\" 'twice'"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two nights; in the second one the fix was gone, and somebody wrote markup into a title."""
    path = tmp_path_factory.mktemp("page") / "night.sqlite"
    broken = source(dataclasses.replace(RIGHT, chance=0.02, titles=(EVIL,)), WRONG, OFTEN)
    with Store(path, write=True) as written:
        for seed, of in ((11, None), (12, broken)):
            campaign = begin(written, seed)
            work(campaign, seed, **({} if of is None else {"of": of}))
            finish(campaign)
    return path


@pytest.fixture(scope="module")
def found(store: Path) -> Facts:
    with Store(store) as opened:
        return facts(opened)


@pytest.fixture(scope="module")
def page(found: Facts) -> str:
    return html.page(found, {found.kinds[0].fingerprint: "runs/a b.html"})


class Reader(HTMLParser):
    """Checks that elements nest, and keeps what is in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.seen: set[str] = set()
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        for name, value in attrs:
            if name in ("href", "src", "xlink:href", "action") and value is not None:
                self.links.append(value)
            if name == "id":
                self.ids.append(str(value))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_stands_alone(page: str) -> None:
    reader = Reader(page)
    assert reader.stack == []
    assert "script" not in reader.seen
    assert "img" not in reader.seen
    for link in reader.links:
        assert link.startswith(("#", "data:,")) or link == "runs/a b.html"
        if link.startswith("#"):
            assert link[1:] in reader.ids
    assert len(reader.ids) == len(set(reader.ids))
    assert not re.search(r"url\((?!#)", page)
    assert "default-src 'none'" in page


def test_what_comes_from_a_store_is_text(page: str) -> None:
    assert "<script>" not in page
    assert EVIL in "".join(Reader(page).text)


def test_everything_is_on_it(page: str, found: Facts) -> None:
    text = "".join(Reader(page).text)
    for line in found.lines:
        assert line.id in text
        assert line.shown_rate in text
    for kind in found.kinds:
        assert kind.title in text
        assert kind.report in text
        assert kind.command in text
    assert found.counted.row["code"] in text
    assert "900.right new" in text  # it was clean the night before
    assert "differs 900.right: declared Never, seen" in " ".join(text.split())


def test_figures_can_be_read_without_eyes(page: str) -> None:
    pictures = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    assert len(pictures) == 3  # rates, waits, nights
    for picture in pictures:
        assert 'role="img"' in picture
        assert re.search(r"<title [^>]*>[^<]{10,}</title><desc [^>]*>[^<]{10,}</desc>", picture)
        assert not re.search(r"#0[0-9a-f]0[0-9a-f]0[0-9a-f]", picture)  # no placeholder is left
    assert "900.wrong fails in " in pictures[0]


def test_same_store_same_page(store: Path, page: str, found: Facts) -> None:
    with Store(store) as opened:
        again = html.page(facts(opened), {found.kinds[0].fingerprint: "runs/a b.html"})
    assert again == page


def test_waits() -> None:
    curve = Curve("pct")
    for run in range(1, 11):
        curve.add(run in (2, 3, 7))
    assert (curve.waits, curve.rest, curve.runs) == ([2, 1, 4], 3, 10)
    # at risk 4, 3, 2 and, the one that was cut off gone, 1
    assert curve.steps() == [(0, 1.0), (1, 0.75), (2, 0.5), (4, 0.0)]
    never = Curve("pct")
    never.add(False)
    assert never.steps() == [(0, 1.0), (1, 1.0)]


def test_markdown(found: Facts) -> None:
    text = plain.markdown(found)
    assert text.startswith("## mmsim: DIFFERS, 1 of 3 verdicts differ")
    assert "- `900.right`: declared Never, seen" in text
    assert "\\<script\\>" in text
    assert "<script>" not in text
    rows = [line for line in text.splitlines() if line.startswith("| 900")]
    assert len(rows) == 1
    assert rows[0].count("|") == 8


def test_junit(found: Facts) -> None:
    root = ElementTree.fromstring(plain.junit(found))
    (suite,) = root
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("3", "1", "0")
    cases = {case.get("name"): case for case in suite}
    assert set(cases) == {"900.right", "900.wrong", "900.often"}
    failure = cases["900.right"].find("failure")
    assert failure is not None
    assert "declared Never" in str(failure.get("message"))
    assert EVIL in str(failure.text)
    assert cases["900.wrong"].find("failure") is None
    assert plain._clean("a\x00b\x1bc") == "a?b?c"


def test_the_command(
    store: Path, found: Facts, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = tmp_path / "runs"
    pages.mkdir()
    (pages / f"{found.kinds[0].fingerprint}.html").write_text("a run")
    argv = [*("report", str(store), "--html", str(tmp_path / "p.html")), "--pages", str(pages)]
    assert main([*argv, "--junit", str(tmp_path / "j.xml"), "--markdown", "-"]) == 0
    assert capsys.readouterr().out == plain.markdown(found)
    assert (tmp_path / "j.xml").read_text() == plain.junit(found)
    assert f'href="runs/{found.kinds[0].fingerprint}.html"' in (tmp_path / "p.html").read_text()
    assert main(["report", str(store), "--campaign", "1"]) == 0
    assert capsys.readouterr().out.startswith("## mmsim: ok, all 3 verdicts as declared")
    assert main(["report", str(store), "--html", str(tmp_path / "no" / "p.html")]) == 2
    assert "--html" in capsys.readouterr().err


def test_without_the_extra_one_line_says_what_to_install(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["report", str(store), "--html", "page.html"]) == 2
    assert capsys.readouterr().err == f"mmsim: {figures.INSTALL}\n"
    assert main(["report", str(store)]) == 0  # the summary needs nothing


BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium here")
def test_a_browser_without_a_network_shows_the_page(tmp_path: Path) -> None:
    """Of a real campaign. MMSIM_SCREENSHOT=docs/report.png keeps the picture for the documents."""
    night, page = tmp_path / "night.sqlite", tmp_path / "page.html"
    campaign = [sys.executable, "-m", "mmsim.stress", "--scenario", "002", "--store", str(night)]
    store = os.environ.get("MMSIM_STORE", str(night))
    if store == str(night):
        subprocess.run([*campaign, "--reports", "none"], check=True)
    assert main(["report", store, "--html", str(page)]) == 0
    assert page.stat().st_size < 3_000_000
    picture = Path(os.environ.get("MMSIM_SCREENSHOT", tmp_path / "page.png")).resolve()
    done = subprocess.run(
        [
            *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0"),
            *("--window-size=1200,1500", f"--screenshot={picture}", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000  # something is on it
