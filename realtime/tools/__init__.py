"""Tools: Python functions that the model may call.

    from realtime.tools import tool, ToolContext

    @tool
    async def order_status(order_id: str, context: ToolContext) -> dict:
        "Where an order is now."

The schema comes from the signature and the docstring. A plain function runs in a
thread. Whatever a tool does wrong becomes an error value for the model; it never
reaches the server.
"""

from ..core.user import User
from .answers import Value, schema_problem, value_of
from .client import SessionTools, Tools
from .context import Figures, NewFile, ToolContext, ToolError, error_value
from .functions import FunctionTool, collect, load, tool
from .output import MAX_OUTPUT, Full, Output, written
from .progress import Reporter
from .threads import bounded, in_thread
from .tool import Approval, Tool, Toolbox

__all__ = [
    "MAX_OUTPUT",
    "Approval",
    "Figures",
    "Full",
    "FunctionTool",
    "NewFile",
    "Output",
    "Reporter",
    "SessionTools",
    "Tool",
    "ToolContext",
    "ToolError",
    "Toolbox",
    "Tools",
    "User",
    "Value",
    "bounded",
    "collect",
    "error_value",
    "in_thread",
    "load",
    "schema_problem",
    "tool",
    "value_of",
    "written",
]
