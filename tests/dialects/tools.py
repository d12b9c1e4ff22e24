"""Tools of the conversations here, beside the one that the server comes with."""

import asyncio

from realtime.tools import tool


@tool
async def delete_files(folder: str = "") -> str:
    """Delete the files in a folder."""
    raise AssertionError(f"{folder} was to be deleted")


@tool(approval=True)
async def send_letter(to: str) -> str:
    """Send a letter."""
    return f"sent to {to}"


@tool
async def ponder() -> str:
    """Think for ever."""
    await asyncio.Event().wait()
    return "thought"
