from tests.supabase.conftest import postgres, project

__all__ = ["postgres", "project"]
