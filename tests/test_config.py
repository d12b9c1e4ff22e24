"""Settings: defaults, what is derived, and that bad ones say what to do."""

from __future__ import annotations

from pathlib import Path

import jwt
import pytest

from realtime.config import ConfigError, Settings


def load(**environ: str) -> Settings:
    return Settings.load(environ, env_file=None)


def problems(**environ: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(**environ)
    return str(caught.value)


def test_nothing_is_needed() -> None:
    settings = load()
    assert (settings.model, settings.host, settings.port) == ("demo", "127.0.0.1", 8000)
    assert settings.tools == ("realtime.example",)


def test_a_platform_that_gives_a_port_is_served_on_every_address() -> None:
    assert (load(PORT="5000").host, load(PORT="5000").port) == ("0.0.0.0", 5000)
    assert load(PORT="5000", HOST="127.0.0.1").host == "127.0.0.1"


def test_a_key_chooses_the_model_and_a_base_url_the_api() -> None:
    assert load(OPENAI_API_KEY="sk-1").model == "openai"
    assert load(OPENAI_API_KEY="sk-1").openai_api == "responses"
    compatible = load(OPENAI_API_KEY="sk-1", OPENAI_BASE_URL="http://localhost:1234/v1/")
    assert (compatible.openai_api, compatible.openai_base_url) == (
        "chat",
        "http://localhost:1234/v1",
    )
    assert load(OPENAI_API_KEY="sk-1", MODEL="demo").model == "demo"


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("GRACE_SECONDS=5\nOPENAI_MODEL=small\nOPENAI_API_KEY=\n")
    settings = Settings.load({"GRACE_SECONDS": "7"}, env_file=str(file))
    assert (settings.grace_seconds, settings.openai_model, settings.model) == (7, "small", "demo")


def test_supabase_takes_both_names_of_the_key() -> None:
    url = "https://x.supabase.co"
    assert load(SUPABASE_URL=url, SUPABASE_SECRET_KEY="sb_secret_1").supabase_key == "sb_secret_1"
    assert load(SUPABASE_URL=url, SUPABASE_KEY="sb_secret_2").supabase_key == "sb_secret_2"


def test_the_address_of_the_data_api_is_taken_for_the_project_s() -> None:
    for pasted in ("https://x.supabase.co", "https://x.supabase.co/rest/v1/"):
        settings = load(SUPABASE_URL=pasted, SUPABASE_KEY="s", SUPABASE_JWT_ISSUER=" mine ")
        assert settings.supabase_url == "https://x.supabase.co"
        assert settings.supabase_jwt_issuer == "mine"


def test_a_platform_with_a_router_is_one_trusted_proxy() -> None:
    assert load().trusted_proxies == 0
    assert load(DYNO="web.1", AUTH_SECRET="x" * 32).trusted_proxies == 1
    assert load(DYNO="web.1", AUTH_SECRET="x" * 32, TRUSTED_PROXIES="2").trusted_proxies == 2


def test_this_machine_itself_may_connect_freely_unless_somebody_says_how_often() -> None:
    assert load().spare_loopback
    assert not load(CONNECTS_PER_MINUTE="600").spare_loopback


def test_the_page_gets_no_secret_key() -> None:
    project = {"AUTH": "supabase", "SUPABASE_URL": "https://x.supabase.co", "SUPABASE_KEY": "s"}

    def legacy(role: str) -> str:
        return jwt.encode({"role": role, "iss": "supabase"}, "x" * 32)

    for key in ("sb_publishable_1", legacy("anon")):
        settings = load(**project, SUPABASE_PUBLISHABLE_KEY=key)
        assert settings.sign_in == {"url": "https://x.supabase.co", "key": key}
    for key in ("sb_secret_1", legacy("service_role")):
        said = problems(**project, SUPABASE_PUBLISHABLE_KEY=key)
        assert "SUPABASE_PUBLISHABLE_KEY is a secret key" in said
        assert key not in said
    assert load(**project).sign_in is None
    assert load(SUPABASE_PUBLISHABLE_KEY="sb_publishable_1").sign_in is None


def test_instructions_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "prompt.md").write_text("Be kind.")
    assert load(INSTRUCTIONS=f"@{tmp_path}/prompt.md").instructions == "Be kind."


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"SUPABASE_URL": "https://x.supabase.co"}, "SUPABASE_KEY is missing"),
        ({"SUPABASE_KEY": "sb_secret_1"}, "SUPABASE_URL is missing"),
        ({"SUPABASE_URL": "x.supabase.co", "SUPABASE_KEY": "k"}, "SUPABASE_URL=x.supabase.co must"),
        ({"MODEL": "openai"}, "OPENAI_API_KEY is missing"),
        ({"MODEL": "gpt"}, "MODEL=gpt must be one of"),
        ({"PORT": "http"}, "PORT=http must be a port"),
        ({"GRACE_SECONDS": "-1"}, "GRACE_SECONDS=-1 must be from 0"),
        ({"ALLOWED_ORIGINS": "*"}, "must name the origins"),
        ({"TRANSPORTS": "polling"}, "TRANSPORTS=polling must be"),
        ({"INSTRUCTIONS": "@/nowhere"}, "INSTRUCTIONS=@/nowhere names a file"),
        ({"AUTH": "magic"}, "AUTH=magic must be one of"),
        ({"DYNO": "web.1"}, "AUTH_SECRET is missing"),
        ({"TRUSTED_PROXIES": "all"}, "TRUSTED_PROXIES=all must be a whole number from 0 to 10"),
        ({"TEXT_KB": "64"}, "TEXT_KB=64 must be a whole number from 1 to 60"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL=loud must be"),
    ],
)
def test_a_bad_setting_is_named_with_what_to_do(environ: dict[str, str], says: str) -> None:
    assert says in problems(**environ)


def test_all_problems_are_told_at_once_and_no_secret() -> None:
    told = problems(PORT="x", MODEL="y", SUPABASE_KEY="sb_secret_hidden")
    assert len(told.splitlines()) == 3
    assert "hidden" not in told


def test_a_budget_in_dollars_needs_the_price_of_every_model() -> None:
    prices = '{"gpt-5-mini": {"input": 0.25, "output": 2}}'
    given = {"OPENAI_API_KEY": "k", "BUDGET_USER_DOLLARS": "1.5"}
    assert load(**given, PRICES=prices).budget_user_dollars == 1.5
    assert "PRICES lacks gpt-5-mini" in problems(**given)
    assert "PRICES lacks local" in problems(**given, PRICES=prices, FALLBACKS="local")
