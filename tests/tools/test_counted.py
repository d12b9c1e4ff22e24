"""Tool calls are counted by the names that are configured."""

from __future__ import annotations

from realtime.live.count import MAX_TOOLS, RunCount
from realtime.models import ToolSpec
from realtime.tools import Toolbox
from realtime.tools.tool import Tool


def named(name: str) -> Tool:
    return Tool(ToolSpec(name, "", {"type": "object", "properties": {}}))


def test_a_server_whose_tools_have_new_names_each_day_takes_only_so_many_labels() -> None:
    box = Toolbox()
    count = RunCount(box)
    for day in range(MAX_TOOLS + 5):
        box.offer("a server", [named(f"day_{day}")])
        count.called(f"day_{day}", "completed", 1.0)
    assert count.calls["other", "completed"] == 5
    assert len(count.call_s) == MAX_TOOLS + 1
    assert count.calls["day_0", "completed"] == 1


def test_a_tool_counts_by_the_name_that_models_are_offered() -> None:
    count = RunCount(Toolbox([named("a tool/of.mine")]))
    count.called("a tool/of.mine", "completed", None)
    count.called("made_up", "failed", None)
    (own, other) = sorted(tool for tool, _ in count.calls)
    assert own.startswith("a_tool")
    assert other == "other"
    assert not count.call_s
