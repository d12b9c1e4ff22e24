"""The alerts that ship, before Prometheus' own checks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.process import ROOT
from tests.support.prometheus import promtool

RULES = ROOT / "deploy/alerts.yml"
MONITORING = (ROOT / "docs/monitoring.md").read_text("utf-8")
HERE = {"job": "realtime", "instance": "here"}
Series = dict[str, str]
"""Values by their series, one a minute, in Prometheus' short form."""


class Story(NamedTuple):
    """What fires an alert within the hour, what it says then, and what does not fire it."""

    bad: Series
    labels: dict[str, str]
    summary: str
    good: Sequence[Series]


def series(name: str, **labels: str) -> str:
    given = ",".join(f'{label}="{value}"' for label, value in {**HERE, **labels}.items())
    return f"{name}{{{given}}}" if name == "up" else f"realtime_{name}{{{given}}}"


def histogram(name: str, each: str, slow: str, *bounds: str, **labels: str) -> Series:
    """One that grows by `each` a minute; `slow` of them are above the first bound."""
    first, *rest = bounds
    quick = int(each) - int(slow)
    counts = {first: quick, **dict.fromkeys(rest, int(each)), "+Inf": int(each)}
    grown = {
        series(f"{name}_bucket", le=le, **labels): f"0+{count}x60" for le, count in counts.items()
    }
    return {**grown, series(f"{name}_count", **labels): f"0+{each}x60"}


def runs(failed: int, completed: int) -> Series:
    return {
        series("runs_total", status="failed"): f"0+{failed}x60",
        series("runs_total", status="completed"): f"0+{completed}x60",
    }


def calls(failed: str, completed: str) -> Series:
    return {
        series("tool_calls_total", tool="shop", status="failed"): failed,
        series("tool_calls_total", tool="shop", status="completed"): completed,
    }


STORIES = {
    "RealtimeDown": Story(
        {series("up"): "0x60"}, HERE, "here does not answer", [{series("up"): "1x59 0"}]
    ),
    "RealtimeCannotStore": Story(
        {
            series("journal_writable", worker="a"): "1x60",
            series("journal_writable", worker="b"): "0x60",
        },
        HERE,
        "here refuses messages: its events cannot be stored",
        [{series("journal_writable"): "1x60"}],
    ),
    "RealtimeSlowCommits": Story(
        histogram("commit_seconds", "100", "10", "0.25", "1.0"),
        {"instance": "here"},
        "one commit in a hundred takes 925ms on here",
        [histogram("commit_seconds", "1000", "5", "0.25", "1.0"), {}],
    ),
    "RealtimeAnswersFail": Story(
        runs(1, 4), {}, "20% of the answers fail", [runs(1, 20), runs(0, 9), runs(0, 0)]
    ),
    "RealtimeModelFailing": Story(
        {
            series("model_failing", model="large", worker="a"): "0x60",
            series("model_failing", model="large", worker="b"): "1x60",
            series("model_failing", model="small"): "0x60",
        },
        {"model": "large"},
        "large is not asked: it fails",
        [{series("model_failing", model="large"): "1x58 0x2"}],
    ),
    "RealtimeSlowFirstToken": Story(
        histogram("first_token_seconds", "10", "5", "8.0", "15.0", model="large"),
        {"model": "large"},
        "one answer in ten of large begins after 13.6s",
        [
            histogram("first_token_seconds", "20", "1", "8.0", "15.0", model="large"),
            {
                series("first_token_seconds_bucket", model="large", le="8.0"): "0x60",
                series("first_token_seconds_bucket", model="large", le="15.0"): "0x50 1x10",
                series("first_token_seconds_bucket", model="large", le="+Inf"): "0x50 1x10",
                series("first_token_seconds_count", model="large"): "0x50 1x10",
            },
        ],
    ),
    "RealtimeToolFails": Story(
        calls("0+3x60", "0+1x60"),
        {"tool": "shop"},
        "75% of the calls of shop fail",
        [calls("0+1x60", "0+3x60"), calls("0x55 1x5", "0x60")],
    ),
    "RealtimeSupabaseBehind": Story(
        {series("supabase_backlog_seconds", worker="a"): "0+60x60"},
        HERE,
        "Supabase lacks the last 1h 0m 0s of here",
        [{series("supabase_backlog_seconds"): "0 100 250 0 20 299x55"}],
    ),
    "RealtimeSupabaseRefuses": Story(
        {
            series("supabase_quarantined_rows", worker="a"): "0x30 2x30",
            series("supabase_quarantined_rows", worker="b"): "0x30 2x30",
        },
        HERE,
        "2 rows that Supabase refused wait for a decision",
        [{series("supabase_quarantined_rows"): "0x60"}],
    ),
    "RealtimeEventsBehind": Story(
        {series("events_behind_seconds", follower="WEBHOOK_URL"): "0+60x60"},
        {"follower": "WEBHOOK_URL"},
        "WEBHOOK_URL is 1h 0m 0s behind",
        [{series("events_behind_seconds", follower="WEBHOOK_URL"): "0 60 120 0x60"}],
    ),
    "RealtimeEngineAway": Story(
        {series("engine_away_seconds_total", worker="a"): "0x30 0+60x30"},
        HERE,
        "the engine does not answer here",
        [{series("engine_away_seconds_total", worker="a"): "0+20x60"}],
    ),
}


def played(values: Series, name: str, *alerts: dict[str, Any]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": one, "values": given} for one, given in values.items()],
        "alert_rule_test": [{"eval_time": "1h", "alertname": name, "exp_alerts": list(alerts)}],
    }


async def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    tests = []
    severities = dict(
        re.findall(r"alert: (\w+)\n.*?severity: (\w+)", RULES.read_text("utf-8"), re.S)
    )
    for name, (bad, labels, summary, good) in STORIES.items():
        fired = {
            "exp_labels": {**labels, "severity": severities[name]},
            "exp_annotations": {"summary": summary},
        }
        tests += [played(bad, name, fired), *(played(one, name) for one in good)]
    given = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "stories.yml").write_text(json.dumps(given))
    code, told = await promtool("test", "rules", "stories.yml", cwd=tmp_path)
    assert code == 0, told


async def test_the_alerts_are_rules_of_prometheus(tmp_path: Path) -> None:
    code, told = await promtool("check", "rules", str(RULES), cwd=tmp_path)
    assert code == 0, told
    assert f"{len(STORIES)} rules found" in told


def test_each_alert_has_a_story_and_its_place_in_the_docs() -> None:
    names = set(re.findall(r"alert: (\w+)", RULES.read_text("utf-8")))
    assert set(STORIES) == names
    assert set(re.findall(r"^\| `(Realtime\w+)`", MONITORING, re.M)) == names
