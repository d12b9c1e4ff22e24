"""A tool that a provider may refuse; nobody calls it."""

from realtime.tools import tool


@tool
async def delete_files(folder: str = "") -> str:
    """Delete the files in a folder."""
    raise AssertionError(f"{folder} was to be deleted")
