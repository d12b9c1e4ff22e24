"""Settings: defaults, what is derived, and that bad ones say what to do."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import get_args

import jwt
import pytest

from realtime.config import ConfigError, Settings
from realtime.config.models import EFFORTS
from realtime.protocol import Create, Effort, decode


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


def test_an_address_has_one_spelling() -> None:
    for given, host in {
        "[::]": "::",
        "0:0::0": "::",
        "[::1]": "::1",
        "LocalHost": "LocalHost",
    }.items():
        assert load(HOST=given).host == host


def test_a_key_chooses_the_model_and_a_base_url_the_api() -> None:
    assert load(OPENAI_API_KEY="sk-1").model == "openai"
    assert load(OPENAI_API_KEY="sk-1").openai_api == "responses"
    compatible = load(OPENAI_API_KEY="sk-1", OPENAI_BASE_URL="http://localhost:1234/v1/")
    assert (compatible.openai_api, compatible.openai_base_url) == (
        "chat",
        "http://localhost:1234/v1",
    )
    assert load(OPENAI_API_KEY="sk-1", MODEL="demo").model == "demo"


def test_effort_and_tier_are_passed_on_as_they_are() -> None:
    settings = load(**KEY, REASONING_EFFORT="max", SERVICE_TIER="Flex")
    assert (settings.reasoning_effort, settings.service_tier) == ("max", "flex")
    assert (load(**KEY).reasoning_effort, load(**KEY).service_tier) == (None, None)
    assert decode(Create, {"options": {"reasoning_effort": "max"}}).options
    assert set(EFFORTS) == set(get_args(Effort))


def test_a_base_url_alone_chooses_the_model_too() -> None:
    ollama = load(OPENAI_BASE_URL="http://localhost:11434/v1", OPENAI_MODEL="small")
    assert (ollama.model, ollama.openai_api, ollama.openai_model) == ("openai", "chat", "small")
    assert load(OPENAI_BASE_URL="http://localhost:11434/v1", MODEL="demo").model == "demo"


@pytest.mark.parametrize(
    ("url", "api"),
    [
        ("", "responses"),
        ("https://api.openai.com/v1", "responses"),
        ("https://eu.api.openai.com/v1", "responses"),
        ("https://own.openai.azure.com/openai/v1", "responses"),
        ("https://OWN.cognitiveservices.azure.com/openai/v1/", "responses"),
        ("https://own.services.ai.azure.com/openai/v1", "responses"),
        ("https://own.services.ai.azure.com/models", "chat"),
        ("https://own.openai.azure.com/openai/deployments/large", "chat"),
        ("https://api.openai.com.example/v1", "chat"),
        ("https://notopenai.azure.com/v1", "chat"),
        ("http://localhost:8080/v1", "chat"),
    ],
)
def test_who_made_the_models_is_asked_by_the_newer_api(url: str, api: str) -> None:
    asked = load(OPENAI_API_KEY="sk-1", OPENAI_BASE_URL=url, OPENAI_MODEL="large")
    assert asked.openai_api == api
    for more, expected in (("", api), (" api=chat", "chat"), (" api=responses", "responses")):
        spare = load(FALLBACKS=f"large@{url or 'https://api.openai.com/v1'}{more}")
        assert spare.api_of(spare.fallbacks[0]) == expected
    here = load(OPENAI_API_KEY="sk-1", OPENAI_BASE_URL=url, OPENAI_MODEL="large", MODELS="small")
    assert here.api_of(here.models[0]) == api


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("GRACE_SECONDS=5\nOPENAI_MODEL=small\nOPENAI_API_KEY=\n")
    settings = Settings.load({"GRACE_SECONDS": "7"}, env_file=str(file))
    assert (settings.grace_seconds, settings.openai_model, settings.model) == (7, "small", "demo")


def test_env_file_names_another_file_that_must_be_there(tmp_path: Path) -> None:
    usual, staging = tmp_path / ".env", tmp_path / "staging.env"
    usual.write_text("GRACE_SECONDS=5\nOPENAI_MODEL=small\n")
    staging.write_text("GRACE_SECONDS=6\nDRAIN_SECONDS=3\n")
    environ = {"ENV_FILE": f" {staging} ", "DRAIN_SECONDS": "4"}
    settings = Settings.load(environ, str(usual))
    assert (settings.grace_seconds, settings.drain_seconds) == (6, 4)
    assert settings.openai_model == Settings().openai_model, "the usual file is not read"
    assert not settings.notes()
    assert Settings.load({"ENV_FILE": " "}, str(usual)).grace_seconds == 5
    assert Settings.load(environ, None).grace_seconds == 30, "no file is read at all"
    for wrong in (tmp_path / "none.env", tmp_path):
        with pytest.raises(ConfigError) as caught:
            Settings.load({"ENV_FILE": str(wrong)}, str(usual))
        assert f"ENV_FILE={wrong} is no file" in str(caught.value)
    staging.write_text("ENV_FILE=.env\n")
    with pytest.raises(ConfigError, match="set it in the environment"):
        Settings.load(environ, str(usual))


@pytest.mark.parametrize("wrong", ['AUTH_SECRET="not closed', "AUTH supabase", "AUTH: supabase"])
def test_a_line_that_is_none_is_refused_and_not_shown(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"# settings\n\nexport GRACE_SECONDS='5'\nTITLES\n{wrong}\nDRAIN_SECONDS=3\n")
    for environ in ({}, {"ENV_FILE": str(file)}):
        with pytest.raises(ConfigError) as caught:
            Settings.load(environ, str(file))
        (problem,) = caught.value.problems
        assert f"{file} cannot be read in line 5: " in problem
        assert wrong not in problem


def test_a_value_that_is_not_utf_8_is_refused() -> None:
    assert problems(PAGE_TITLE="Gr\udcfc\udcdfe") == "PAGE_TITLE is not UTF-8"


def test_white_space_is_no_value(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text('GRACE_SECONDS=" "\nOPENAI_API_KEY="  "\n')
    settings = Settings.load({"ANSWER_SECONDS": "\t", "SUPABASE_KEY": " "}, env_file=str(file))
    assert (settings.grace_seconds, settings.answer_seconds, settings.model) == (30, 600, "demo")
    assert not settings.given


def test_supabase_takes_both_names_of_the_key() -> None:
    url = "https://x.supabase.co"
    assert load(SUPABASE_URL=url, SUPABASE_SECRET_KEY="sb_secret_1").supabase_key == "sb_secret_1"
    assert load(SUPABASE_URL=url, SUPABASE_KEY="sb_secret_2").supabase_key == "sb_secret_2"


def test_a_schema_is_a_plain_name_of_the_users_own() -> None:
    assert load(**PROJECT, SUPABASE_SCHEMA="chat_2").supabase_schema == "chat_2"
    for name in ("Chat", "2chat", 'chat"', "chat.sessions", "pg_chat", "c" * 64, "münchen"):
        assert "must be a schema's name" in problems(**PROJECT, SUPABASE_SCHEMA=name)
    for name in ("auth", "realtime", "storage"):
        assert "Supabase's own" in problems(**PROJECT, SUPABASE_SCHEMA=name)
    assert "SUPABASE_SCHEMA has no effect" in noted(SUPABASE_SCHEMA="chat")
    wrong = {"SUPABASE_SCHEMA": "chat", "MODEL": "openai"}
    assert Settings.schema_of(wrong, None) == "chat", "whatever else is wrong"


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("https://App.Example/", ["https://app.example"]),
        ("https://app.example:443", ["https://app.example"]),
        ("http://app.example:80, http://app.example:8080",
         ["http://app.example", "http://app.example:8080"]),
        ("http://[::1]:3000", ["http://[::1]:3000"]),
        ("https://bücher.example", ["https://xn--bcher-kva.example"]),
        ("capacitor://localhost,ionic://localhost/,tauri://localhost",
         ["capacitor://localhost", "ionic://localhost", "tauri://localhost"]),
        ("app://-,app://.,app://obsidian.md", ["app://-", "app://.", "app://obsidian.md"]),
        ("chrome-extension://abcdefghijklmnop", ["chrome-extension://abcdefghijklmnop"]),
        ("file://", ["file://"]),
    ],
)  # fmt: skip
def test_origins_are_as_browsers_write_them(given: str, origins: list[str]) -> None:
    assert load(ALLOWED_ORIGINS=given).allowed_origins == tuple(origins)


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        ("utf-16", "is UTF-16, as Windows PowerShell writes it: save it as UTF-8"),
        ("utf-16-le", "is UTF-16"),
        ("utf-16-be", "is UTF-16"),
        ("utf-32", "is UTF-16"),
        ("latin-1", "is not UTF-8, in line 2: save it as UTF-8"),
        ("cp1252", "is not UTF-8, in line 2"),
        ("utf-8", ""),
        ("utf-8-sig", ""),
    ],
)
def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path, encoding: str, says: str) -> None:
    file = tmp_path / "settings"
    file.write_bytes("GRACE_SECONDS=5\nINSTRUCTIONS=Sei höflich\n".encode(encoding))
    prompt = {"INSTRUCTIONS": f"@{file}"}
    if not says:
        settings = Settings.load({}, str(file))
        assert (settings.grace_seconds, settings.instructions) == (5, "Sei höflich")
        assert Settings.load(prompt, None).instructions.startswith("GRACE_SECONDS=5")
        return
    with pytest.raises(ConfigError) as caught:
        Settings.load({}, str(file))
    assert f"{file} {says}" in str(caught.value)
    assert says in problems(**prompt)


def test_a_folder_or_nothing_in_place_of_the_file_is_no_settings(tmp_path: Path) -> None:
    assert Settings.load({}, str(tmp_path)) == Settings.load({}, str(tmp_path / "none"))


# ------------------------------------------------------------------ without effect


def noted(file: str = "", /, **environ: str) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".env") as env:
        env.write(file)
        env.flush()
        return "\n".join(Settings.load(environ, env.name).notes())


PROJECT = {"SUPABASE_URL": "https://x.supabase.co", "SUPABASE_KEY": "sb_secret_1"}
KEY = {"OPENAI_API_KEY": "sk-1"}
OLLAMA = {"OPENAI_BASE_URL": "http://localhost:11434/v1", "OPENAI_MODEL": "small"}


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        (KEY | {"MODEL": "demo"}, "OPENAI_API_KEY has no effect with MODEL=demo"),
        (OLLAMA | {"MODEL": "local"},
         "OPENAI_BASE_URL, OPENAI_MODEL have no effect with MODEL=local"),
        ({"OPENAI_MODEL": "large"}, "OPENAI_MODEL has no effect with MODEL=demo; set OPENAI_API_K"),
        ({"OPENAI_API": "chat"}, "OPENAI_API has no effect with MODEL=demo"),
        (KEY | {"MODEL": "demo", "FALLBACKS": "large", "OPENAI_MODEL": "huge"},
         "OPENAI_MODEL has no effect with MODEL=demo"),
        ({"TEMPERATURE": "1", "SERVICE_TIER": "flex"},
         "SERVICE_TIER, TEMPERATURE have no effect with MODEL=demo"),
        (OLLAMA | {"OPENAI_BACKGROUND": "true"}, "OPENAI_BACKGROUND has no effect"),
        (KEY | {"OPENAI_API": "chat", "OPENAI_BACKGROUND": "true"}, "OPENAI_BACKGROUND has no"),
        (KEY | {"OPENAI_BASE_URL": "http://gateway.example/v1"}, "OPENAI_MODEL is not set"),
        ({"SUPABASE_PUBLISHABLE_KEY": "sb_publishable_1"},
         "SUPABASE_PUBLISHABLE_KEY has no effect with AUTH=guest; AUTH=supabase"),
        (PROJECT | {"AUTH": "own.sign_in", "SUPABASE_JWT_SECRET": "x" * 32},
         "SUPABASE_JWT_SECRET has no effect with AUTH=own.sign_in"),
        ({"FIRST_BYTE_SECONDS": "60", "ANSWER_SECONDS": "30"}, "FIRST_BYTE_SECONDS=60 has no"),
        (PROJECT | {"SUPABASE_SECRET_KEY": "sb_secret_2"}, "SUPABASE_SECRET_KEY has no effect"),
        (KEY | {"PRICES": '{"lrge": {"input": 1, "output": 1}}'}, "PRICES has lrge"),
        ({"ALLOWED_ORIGIN": "https://x"}, "did you mean ALLOWED_ORIGINS?"),
        ({"OPENAI_API_BASE": "http://x"}, "did you mean OPENAI_BASE_URL?"),
    ],
)  # fmt: skip
def test_what_has_no_effect_is_named(environ: dict[str, str], says: str) -> None:
    told = noted(**environ)
    assert says in told
    assert not {"sk-1", "sb_secret_1", "sb_secret_2", "sb_publishable_1"} & set(told.split())


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("OPENAI_APIKEY=sk-1", "OPENAI_API_KEY"),
        ("OPENAI_KEY=sk-1", "OPENAI_API_KEY"),
        ("openai_api_key=sk-1", "OPENAI_API_KEY"),
        ("LOGLEVEL=debug", "LOG_LEVEL"),
        ("TRUSTED_PROXY=1", "TRUSTED_PROXIES"),
        ("CORS_ALLOWED_ORIGINS=https://x.example", "ALLOWED_ORIGINS"),
        ("SUPABASE_ANON_KEY=eyJ", "SUPABASE_PUBLISHABLE_KEY"),
        ("SUPABASE_SERVICE_ROLE_KEY=eyJ", "SUPABASE_KEY"),
    ],
)
def test_a_name_in_the_file_that_looks_like_a_setting_is_named(line: str, meant: str) -> None:
    name = line.partition("=")[0]
    assert noted(line) == (
        f"{name} is not a setting of this server and is ignored: did you mean {meant}?"
    )


def test_what_has_its_effect_is_not_named() -> None:
    assert noted() == ""
    everything = KEY | PROJECT | {"AUTH": "supabase", "SUPABASE_PUBLISHABLE_KEY": "sb_pub"}
    assert noted(**everything, OPENAI_BACKGROUND="true", SERVICE_TIER="flex") == ""
    assert noted(**OLLAMA, TEMPERATURE="0.5", PRICES='{"small": {"input": 0, "output": 0}}') == ""
    assert noted(**KEY, MODEL="demo", FALLBACKS="large", TEMPERATURE="1") == ""
    keys = "XAI_API_KEY=1\nAZURE_OPENAI_API_KEY=2\n"
    fallbacks = "a@https://api.x.ai/v1 key=XAI_API_KEY, b@https://b/v1 key=AZURE_OPENAI_API_KEY"
    assert noted(keys, FALLBACKS=fallbacks) == ""
    assert noted("NODE_ENV=production\nDATABASE_URL=postgres://x\nVITE_NAME=1") == ""
    assert (
        noted("SUPABASE_PUBLISHABLE_KEY=p\nSUPABASE_ANON_KEY=a", **PROJECT, AUTH="supabase") == ""
    )


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
        ({"PORT": "²"}, "PORT=² must be a port"),
        ({"PORT": "1" * 5000}, "must be a port"),
        ({"TEXT_KB": "1" * 5000}, "must be a whole number from 1 to 60"),
        ({"HISTORY_TOKENS": "²"}, "HISTORY_TOKENS=² must be a number of tokens"),
        ({"FALLBACKS": "a@https://a/v1 history=²"}, "history"),
        ({"HOST": "http://0.0.0.0"}, "HOST=http://0.0.0.0 must be one address or host name"),
        ({"HOST": "localhost:8000"}, "must be one address or host name"),
        ({"HOST": "127.0.0.1,::1"}, "must be one address or host name"),
        ({"HOST": "chat..example"}, "must be one address or host name"),
        ({"HOST": "x" * 64}, "must be one address or host name"),
        ({"HOST": "*"}, "must be one address or host name"),
        ({"HOST": "0"}, "must be one address or host name"),
        ({"PRICES": "[" * 100_000}, "must be JSON"),
        ({"HISTORY_TOKENS": "²²²"}, "HISTORY_TOKENS=²²² must be a number of tokens"),
        ({"FALLBACKS": "a@https://a/v1 history=²²²"}, "has history=²²² after a@https://a/v1"),
        ({"SUMMARY_MODEL": "demo,local"}, "must be one model"),
        ({"SUMMARY_MODEL": "a@https://a/v1 key=A"}, "A is missing: SUMMARY_MODEL uses it"),
        ({"MODELS": "demo takes=sound"}, "has takes=sound after demo; it is image, pdf"),
        ({"FALLBACKS": "a@http://[x/v1"}, "has an entry whose URL cannot be read: a@http://[x/v1"),
        ({"OPENAI_BASE_URL": "http://[x/v1"}, "OPENAI_BASE_URL=http://[x/v1 must be a URL"),
        ({"OPENAI_BASE_URL": "http://x:port/v1"}, "OPENAI_BASE_URL=http://x:port/v1 must be a URL"),
        ({"SUPABASE_URL": "https://:443", "SUPABASE_KEY": "k"}, "SUPABASE_URL=https://:443 must"),
        ({"GRACE_SECONDS": "-1"}, "GRACE_SECONDS=-1 must be from 0"),
        ({"ALLOWED_ORIGINS": "*"}, "must name the origins"),
        ({"PAGE_SUGGESTIONS": "a;b;c;d;e"}, "takes four suggestions at most"),
        ({"PAGE_ACCENT": "red; }"}, "must be a CSS colour such as #0b57d0"),
        ({"PAGE_ACCENT": "currentcolor"}, "must be a CSS colour such as #0b57d0"),
        ({"PAGE_LOGO": "/nowhere.svg"}, "names no file: give a file that exists, or a URL"),
        ({"PAGE_CSS": "https://a.example/a.css; x"}, "must be a file, or a URL"),
        ({"CLIENT_DIR": "/nowhere"}, "names no folder"),
        ({"FRAME_ANCESTORS": "a.example"}, "must be origins of pages, or self"),
        ({"TRANSPORTS": "polling"}, "TRANSPORTS=polling must be"),
        ({"INSTRUCTIONS": "@/nowhere"}, "INSTRUCTIONS=@/nowhere names a file"),
        ({"AUTH": "magic"}, "AUTH=magic must be one of"),
        ({"DYNO": "web.1"}, "AUTH_SECRET is missing"),
        ({"AUTH_SECRET": "hush"}, "AUTH_SECRET is short"),
        ({"AUTH_SECRET_PREVIOUS": "x" * 31}, "AUTH_SECRET_PREVIOUS is short"),
        ({"TRUSTED_PROXIES": "all"}, "TRUSTED_PROXIES=all must be a whole number from 0 to 10"),
        ({"TEXT_KB": "64"}, "TEXT_KB=64 must be a whole number from 1 to 60"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL=loud must be"),
        ({"OPENAI_BASE_URL": "http://localhost:11434/v1"}, "OPENAI_MODEL is missing"),
        ({"OPENAI_BASE_URL": "https://api.openai.com/v1"}, "OPENAI_API_KEY is missing"),
        ({"OPENAI_BASE_URL": "http://x/v1/chat/completions"}, "without /chat/completions"),
        ({"OPENAI_API_KEY": "“sk-1”"}, "OPENAI_API_KEY contains a character that keys cannot have"),
        (
            {"OPENAI_API_KEY": "sk-1 # mine"},
            "OPENAI_API_KEY contains a character that keys cannot have",
        ),
        ({"FALLBACKS": "a@https://a/v1 key=A_KEY", "A_KEY": "k\nk"}, "A_KEY contains a character"),
        ({"MODELS": "a@https://a/v1, a@https://b/v1"}, "MODELS offers a twice"),
        ({"MODELS": "demo@https://a/v1"}, "MODELS offers demo twice"),
        ({"REASONING_EFFORT": "most"}, "REASONING_EFFORT=most must be one of"),
        ({"SERVICE_TIER": "fast"}, "SERVICE_TIER=fast must be one of"),
        ({"DATABASE_PATH": ":memory:"}, "DATABASE_PATH=:memory: must be a file"),
        ({"DATABASE_PATH": "file::memory:?cache=shared"}, "must be a file"),
        ({"DATABASE_PATH": "sqlite:///data/x.db"}, "must be the path of a file, not a URL"),
        ({"DATABASE_PATH": "/"}, "DATABASE_PATH=/ is a folder: name a file in it"),
        ({"DATABASE_PATH": "/nowhere/at/all.db"}, "needs the folder /nowhere/at"),
        ({"DATABASE_PATH": "x" * 300}, "cannot be used: File name too long"),
        ({"DATABASE_PATH": "/proc/1/root/x/y.db"}, "DATABASE_PATH=/proc/1/root/x/y.db "),
        ({"ALLOWED_ORIGINS": "null"}, "null, which is the origin of every sandboxed frame"),
        ({"ALLOWED_ORIGINS": "https://*.example"}, "must name the origins"),
        ({"ALLOWED_ORIGINS": "app.example"}, "'app.example' is not of the form scheme://host"),
        ({"ALLOWED_ORIGINS": "localhost:3000"}, "is not of the form scheme://host"),
        ({"ALLOWED_ORIGINS": "https://a.example/chat"}, "write https://a.example"),
        ({"ALLOWED_ORIGINS": "https://a.example https://b.example"}, "is not an origin"),
        ({"ALLOWED_ORIGINS": "https://a.example:99999"}, "is not of the form"),
    ],
)
def test_a_bad_setting_is_named_with_what_to_do(environ: dict[str, str], says: str) -> None:
    assert says in problems(**environ)


def test_all_problems_are_told_at_once_and_no_secret() -> None:
    told = problems(PORT="x", MODEL="y", SUPABASE_KEY="sb_secret_hidden")
    assert len(told.splitlines()) == 3
    assert "hidden" not in told


def test_a_budget_in_dollars_needs_the_price_of_every_model() -> None:
    prices = '{"large": {"input": 0.25, "output": 2}}'
    given = {"OPENAI_API_KEY": "k", "OPENAI_MODEL": "large", "BUDGET_USER_DOLLARS": "1.5"}
    assert load(**given, PRICES=prices).budget_user_dollars == 1.5
    assert "PRICES lacks large" in problems(**given)
    assert "PRICES lacks local" in problems(**given, PRICES=prices, FALLBACKS="local")
    assert "PRICES lacks local" in problems(**given, PRICES=prices, SUMMARY_MODEL="local")


def test_the_engine_has_two_names() -> None:
    url = "rediss://user:hidden@engine.example:6380"
    secret = {"AUTH_SECRET": "x" * 32}
    for name in ("VALKEY_URL", "REDIS_URL"):
        assert Settings.load({name: url, **secret}, None).engine_url == url
    assert Settings.load({"VALKEY_URL": url, "REDIS_URL": url, **secret}, None).engine_url == url
    with pytest.raises(ConfigError, match="VALKEY_URL and REDIS_URL differ"):
        Settings.load({"VALKEY_URL": url, "REDIS_URL": "redis://other"}, None)
    for wrong in ("http://hidden", "redis://", "redis://hidden:port", "redis://host/hidden"):
        with pytest.raises(ConfigError, match="must be redis://") as refused:
            Settings.load({"REDIS_URL": wrong}, None)
        assert "hidden" not in str(refused.value)


def test_servers_that_share_an_engine_need_one_secret_and_a_name() -> None:
    url = "rediss://engine.example"
    with pytest.raises(ConfigError, match=r"AUTH_SECRET is missing: .*openssl rand -hex 32"):
        Settings.load({"REDIS_URL": url}, None)
    given = {"REDIS_URL": url, "AUTH_SECRET": "x" * 32}
    assert Settings.load(given, None).engine_prefix == "{rt1}:"
    assert Settings.load({**given, "CLUSTER_NAME": "my-2"}, None).engine_prefix == "{my-21}:"
    for wrong in ("My", "a_b", "x" * 33):
        with pytest.raises(ConfigError, match="small letters, digits and dashes"):
            Settings.load({**given, "CLUSTER_NAME": wrong}, None)
    with pytest.raises(ConfigError, match="VALKEY_TLS=off must be one of: verify, insecure"):
        Settings.load({**given, "VALKEY_TLS": "off"}, None)


def test_polling_is_off_where_servers_share_an_engine_unless_somebody_asks_for_it() -> None:
    given = {"REDIS_URL": "redis://h", "AUTH_SECRET": "x" * 32}
    assert load().transports == ("websocket", "polling")
    assert load(**given).transports == ("websocket",)
    chosen = load(**given, TRANSPORTS="websocket,polling")
    assert chosen.transports == ("websocket", "polling")


def test_polling_over_several_processes_of_one_machine_is_refused() -> None:
    given = {"REDIS_URL": "redis://h", "AUTH_SECRET": "x" * 32, "WORKERS": "2"}
    assert load(**given).transports == ("websocket",)
    with pytest.raises(ConfigError, match="polling, which cannot work with WORKERS=2"):
        load(**given, TRANSPORTS="websocket,polling")


def test_a_journal_that_an_engine_takes_the_place_of_is_told(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    given = {"REDIS_URL": "redis://h", "AUTH_SECRET": "x" * 32, "DATABASE_PATH": str(path)}
    assert not any("is not read" in note for note in load(**given).notes())
    path.touch()
    assert any(f"the journal at {path} is not read" in note for note in load(**given).notes())


def test_what_an_engine_alone_keeps_is_told() -> None:
    given = {"REDIS_URL": "redis://h", "AUTH_SECRET": "x" * 32}
    alone = "conversations live in the engine alone"
    assert any(alone in note for note in load(**given).notes())
    supabase = {"SUPABASE_URL": "https://x.supabase.co", "SUPABASE_KEY": "k"}
    assert not any(alone in note for note in load(**given, **supabase).notes())


def test_settings_of_an_engine_that_is_not_there_have_no_effect() -> None:
    notes = Settings.load({"CLUSTER_NAME": "a", "VALKEY_TLS": "insecure"}, None).notes()
    assert "CLUSTER_NAME, VALKEY_TLS have no effect with no VALKEY_URL" in notes
    given = {"REDIS_URL": "redis://h", "VALKEY_TLS": "insecure", "AUTH_SECRET": "x" * 32}
    assert [note for note in Settings.load(given, None).notes() if "VALKEY_TLS has no" in note]
