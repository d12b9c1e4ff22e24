"""Settings: read once from the environment and `.env`, checked, and then frozen."""

from .settings import DEFAULT_INSTRUCTIONS, ConfigError, Settings

__all__ = ["DEFAULT_INSTRUCTIONS", "ConfigError", "Settings"]
