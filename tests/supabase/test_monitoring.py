"""The dashboard and the alerts that ship, before a server that has all there is."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.device import Device
from tests.support.engine import Engine
from tests.support.process import ROOT
from tests.support.prometheus import prometheus
from tests.support.scrape import samples
from tests.support.scripted import ScriptedModel, asks, says
from tests.support.serving import Running, Serve
from tests.support.supabase_lite import SupabaseLite

DASHBOARD = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text("utf-8"))
ALERTS = ROOT / "deploy/alerts.yml"
BY_PROMETHEUS = {"job", "instance", "le", "worker"}
"""Labels that come with a target, a histogram, or WORKERS."""


@pytest.fixture
async def busy(
    tmp_path: Path,
    serve: Serve,
    device: Callable[..., Device],
    project: SupabaseLite,
    aiohttp_server: Any,
) -> Any:
    """A server with all there is, once each part of it was used."""

    async def takes(request: web.Request) -> web.Response:
        return web.Response()

    hooks = web.Application()
    hooks.router.add_post("/", takes)
    calls = asks(("fetch_internal_user_analytics", "{}"))
    with Engine(tmp_path / "engine") as engine:
        running = await serve(
            ScriptedModel(calls, says("So", " many.")),
            valkey_url=engine.url,
            supabase_url=project.url,
            supabase_key=project.secret_key,
            webhook_secret="whsec_" + "c2Vj" * 8,
            webhook_url=str((await aiohttp_server(hooks)).make_url("/")),
            prices={"scripted": {"input": 1, "output": 1}},
        )
        one = device(running.url)
        await one.connect()
        await one.ask("How many?")
        passing = device(running.url)
        await passing.connect()
        await passing.drop()
        yield running
        await one.drop()
        await running.stop()


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def expressions() -> list[str]:
    """Of all panels and alerts."""
    rules = re.findall(r"expr: (?:\|\n)?(.*?)(?=\n        for:)", ALERTS.read_text("utf-8"), re.S)
    assert len(rules) == 11
    return [target["expr"] for panel in panels() for target in panel["targets"]] + rules


async def test_every_metric_and_label_that_they_name_is_there(busy: Running) -> None:
    found: dict[str, set[str]] = {}
    values: dict[tuple[str, str], set[str]] = {}
    for sample in await samples(busy.url):
        found.setdefault(sample.name, set()).update(sample.labels)
        for label, value in sample.labels.items():
            values.setdefault((sample.name, label), set()).add(value)
    for expression in expressions():
        known = set(BY_PROMETHEUS)
        for name, matchers in re.findall(r"(realtime_\w+)(?:\{(.*?)\})?", expression):
            assert name in found, name
            known |= found[name]
            for label, value in re.findall(r'(\w+)="(.*?)"', matchers):
                assert label in found[name] | BY_PROMETHEUS, f"{name} {label}"
                if label == "status" and name == "realtime_runs_total":
                    assert value in values[name, label]
        for listed in re.findall(r"(?:by|without) \((.*?)\)", expression):
            assert set(listed.split(", ")) <= known, expression


async def test_every_panel_shows_something(busy: Running, tmp_path: Path) -> None:
    target = busy.url.removeprefix("http://")
    async with prometheus(tmp_path, target, ALERTS) as running:
        for panel in panels():
            for given in panel["targets"]:
                query = given["expr"].replace("$job", "realtime")
                query = query.replace("$__rate_interval", "10s")
                async with asyncio.timeout(20):
                    while not (series := await running.query(query)):
                        await asyncio.sleep(0.2)
                legend = re.findall(r"\{\{(\w+)\}\}", given["legendFormat"])
                for one in series:
                    assert set(legend) <= set(one["metric"]), (panel["title"], legend)


def test_the_dashboard_fits_together() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    assert variables == {"datasource", "job"}
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all('job="$job"' in target["expr"] for target in panel["targets"]), panel["title"]
