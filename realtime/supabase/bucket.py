"""Files in a bucket of Supabase Storage, each at `<session id>/<file id>`.

Nothing of a file stays on this machine, so it outlives the disk and other servers have it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.rows import Missing
from .errors import SupabaseError, checked_url, key_wrong, unreachable

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 20
PIECE = 256 * 1024
AT_ONCE = 100  # files that are listed and removed in one request
NOT_FOUND = "404"
TAKEN = "409"


class StorageBucket:
    """A private bucket, under the project's secret key. Every method raises `SupabaseError`."""

    def __init__(self, url: str, key: str, name: str) -> None:
        import httpx

        self.name = name
        self._http = httpx.AsyncClient(
            base_url=f"{checked_url(url)}/storage/v1/",
            headers={"apikey": key.strip(), "Authorization": f"Bearer {key.strip()}"},
            timeout=TIMEOUT_S,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def prepare(self) -> None:
        """See that the bucket is there, and make it where it is not. One that is public is
        refused: anybody could read every file."""
        found = await self._ask("GET", f"bucket/{self.name}", may_be=NOT_FOUND)
        if found is None:
            made = {"id": self.name, "name": self.name, "public": False}
            await self._ask("POST", "bucket", json=made, may_be=TAKEN)
        elif found.get("public"):
            raise SupabaseError(
                "refused",
                f"The bucket {self.name} is public, and anybody could read the files in it.",
                "Make it private in the dashboard (Storage), or name another in SUPABASE_BUCKET.",
                True,
            )

    async def put(self, session_id: str, file_id: str, content: Path, media_type: str) -> None:
        """Store a file. Sent again, it changes nothing."""
        size = await asyncio.to_thread(lambda: content.stat().st_size)
        headers = {"Content-Type": media_type, "Content-Length": str(size), "x-upsert": "true"}
        path = f"object/{self.name}/{session_id}/{file_id}"
        await self._ask("POST", path, content=_pieces(content), headers=headers)

    async def read(self, session_id: str, file_id: str) -> AsyncGenerator[bytes, None]:
        """The bytes of a file, in pieces. Raises `Missing` before the first of them."""
        import httpx

        path = f"object/{self.name}/{session_id}/{file_id}"
        try:
            async with self._http.stream("GET", path) as response:
                if not response.is_success:
                    await response.aread()
                    if _code(response) == NOT_FOUND:
                        raise Missing
                    raise _refused(response)
                async for piece in response.aiter_bytes(PIECE):
                    yield piece
        except httpx.HTTPError as error:
            raise unreachable(error) from error

    async def delete(self, session_ids: Sequence[str]) -> None:
        """Remove every file of these sessions."""
        for session_id in session_ids:
            wanted = {"prefix": f"{session_id}/", "limit": AT_ONCE, "offset": 0}
            while listed := await self._ask("POST", f"object/list/{self.name}", json=wanted):
                names = [str(item["name"]).rpartition("/")[2] for item in listed]
                paths = [f"{session_id}/{name}" for name in names]
                gone = {"prefixes": paths}
                if not await self._ask("DELETE", f"object/{self.name}", json=gone):
                    raise SupabaseError(
                        "unavailable", "Supabase Storage lists files that it does not remove.", ""
                    )

    async def _ask(self, method: str, path: str, *, may_be: str = "", **body: Any) -> Any:
        """The JSON of an answer; None where it is the refusal that it may be."""
        import httpx

        try:
            response = await self._http.request(method, path, **body)
        except (httpx.HTTPError, OSError) as error:
            raise unreachable(error) from error
        if response.is_success:
            return response.json()
        if may_be and _code(response) == may_be:
            return None
        raise _refused(response)


async def _pieces(content: Path) -> AsyncGenerator[bytes, None]:
    with await asyncio.to_thread(content.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


def _code(response: httpx.Response) -> str:
    """Of a refusal: Storage answers 400 and says in the body what it means."""
    try:
        return str(response.json()["statusCode"])
    except (ValueError, LookupError, TypeError):
        return str(response.status_code)


def _refused(response: httpx.Response) -> SupabaseError:
    code = _code(response)
    if code in ("401", "403"):
        return key_wrong(f"Storage, {code}")
    return SupabaseError(
        "unavailable",
        f"Supabase Storage answered {code}.",
        "If it lasts, look at the project's state and at the bucket in the dashboard (Storage).",
    )
