"""What anybody may know of a server."""

from __future__ import annotations

from typing import Any

from ..config import Settings
from ..core.bounds import Bounds
from ..edge.transport import MAX_FRAME
from ..protocol import MAX_FILES
from ..runs.chain import Chain
from .parts import store_kind


def public_info(settings: Settings, chain: Chain, bounds: Bounds) -> dict[str, Any]:
    """What `/api/info` tells anybody."""
    return {
        "model": {"name": chain.name, "label": public_label(settings, chain)},
        "models": list(chain.choices),
        "session_options": list(settings.session_options),
        "suggestions": list(settings.page_suggestions),
        "store": store_kind(settings),
        "limits": {
            "text_bytes": bounds.text_bytes,
            "frame_bytes": MAX_FRAME,
            "file_bytes": settings.file_bytes,
            "message_files": MAX_FILES if settings.file_bytes else 0,
        },
        **({"sign_in": settings.sign_in} if settings.sign_in else {}),
    }


def public_label(settings: Settings, chain: Chain) -> str:
    """What everybody may know of the model: of a provider not where it is."""
    return chain.label if settings.model in ("local", "demo") else chain.name
