"""The commands on the session that is open, as methods. PROTOCOL.md says what each does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any
from uuid import uuid4

from .message import Json
from .reply import Reply


class SessionCommands(ABC):
    """All of them raise `CommandError` where they are refused or not answered."""

    @abstractmethod
    async def request(self, name: str, payload: Json | None = None) -> Json:
        """Any command on the open session; its ack."""

    @abstractmethod
    def _reply(self, ack: Json) -> Reply: ...

    async def stop(self, run_id: str | None = None) -> Json:
        """Cancel a run, by default the active one."""
        return await self.request("stop", {"run_id": run_id} if run_id else {})

    async def continue_answer(self, run_id: str) -> Reply:
        """Go on with an interrupted or incomplete answer."""
        return self._reply(await self.request("continue", {"run_id": run_id}))

    async def regenerate(self, run_id: str, **choice: Any) -> Reply:
        """Have a question answered once more, on a branch of its own, with `model` or `options`."""
        payload = {"run_id": run_id, "client_msg_id": str(uuid4()), **choice}
        return self._reply(await self.request("regenerate", payload))

    async def approve(
        self,
        tool_call_id: str,
        decision: str = "approve",
        reason: str | None = None,
        arguments: Json | None = None,
    ) -> Json:
        """Decide, by "approve" or "deny", whether a call that waits for approval is made. The model
        is told the `reason` of a denial; `arguments` take the place of those asked for."""
        payload = {"tool_call_id": tool_call_id, "decision": decision}
        more = {"reason": reason, "arguments": arguments}
        given = {name: value for name, value in more.items() if value is not None}
        return await self.request("approve", {**payload, **given})

    async def queue(self, **change: Json) -> Json:
        """Change what waits, by one of `edit`, `move` and `drop`."""
        return await self.request("queue", change)

    async def select(self, message_id: str) -> Json:
        """Go over to the branch of a message, on all devices."""
        return await self.request("select", {"message_id": message_id})

    async def rate(self, message_id: str, value: str | None, comment: str | None = None) -> Json:
        """Say what one thinks of an answer: "up", "down", or None to take it back."""
        more = {"comment": comment} if comment else {}
        return await self.request("feedback", {"message_id": message_id, "value": value, **more})

    async def set_title(self, title: str) -> Json:
        return await self.request("rename", {"title": title})

    async def pin(self, pinned: bool = True) -> Json:
        return await self.request("pin", {"pinned": pinned})

    async def archive(self, archived: bool = True) -> Json:
        return await self.request("archive", {"archived": archived})

    async def share(self, access: str = "full") -> str:
        """A token with which another identity can `join` this session; "full" or "read"."""
        return str((await self.request("share", {"access": access}))["share"])

    async def unshare(self) -> Json:
        """Make every token from `share` void."""
        return await self.request("unshare")

    async def fork(self, message_id: str) -> str:
        """Copy the conversation up to a message and its answer; the new session's id."""
        return str((await self.request("fork", {"message_id": message_id}))["session_id"])

    async def delete(self, session_id: str) -> Json:
        """Delete a session for good."""
        return await self.request("delete", {"session_id": session_id})

    async def end(self) -> Json:
        """End the session, for every device."""
        return await self.request("end")
