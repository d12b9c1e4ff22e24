"""Settings: read once from the environment and `.env`, checked, and then frozen."""

from .environment import ConfigError
from .fields import DEFAULT_INSTRUCTIONS
from .settings import Settings

__all__ = ["DEFAULT_INSTRUCTIONS", "ConfigError", "Settings"]
