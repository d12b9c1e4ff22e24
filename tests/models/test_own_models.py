"""Models of the operator's own, by their path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from realtime.build.providers import make_chain
from realtime.config import ConfigError, Settings
from realtime.config.models import ModelEntry, parse_models
from realtime.models import ModelError

CODE = """
from realtime.models import Finished, Model, TextDelta


class Own(Model):
    label = "own"

    def __init__(self, environ):
        self.name = environ.get("OWN_NAME", "own")

    async def stream(self, request):
        yield [TextDelta("hello"), Finished("stop")]


class Plain(Own):
    def __init__(self):
        super().__init__({"OWN_NAME": "plain"})


class Broken(Own):
    def __init__(self):
        raise OSError("no weights")


class Nameless(Model):
    pass


def make(environ):
    return Own(environ)


one = Plain()
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_models_of_tests.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_models_of_tests"


def load(tmp_path: Path, **environ: str) -> Settings:
    return Settings.load({"DATABASE_PATH": str(tmp_path / "journal.db"), **environ}, None)


async def test_a_path_stands_wherever_a_model_may(tmp_path: Path, own: str) -> None:
    settings = load(
        tmp_path,
        MODEL=f"{own}:Own",
        MODELS=f"{own}:Plain history=500 takes=image",
        FALLBACKS=f"{own}:Plain, demo",
        OWN_NAME="renamed",
    )
    chain = await make_chain(settings)
    assert [model.name for model in chain.default] == ["renamed", "plain", "demo"]
    assert list(chain.choices) == ["renamed", "plain"]
    assert chain.choices["plain"].history_tokens == 500
    assert chain.takes("plain") == ["image"]
    assert await chain.models[0].check() is None
    await chain.close()


@pytest.mark.parametrize(("name", "called"), [("make", "own"), ("one", "plain")])
async def test_a_function_is_called_and_a_model_is_taken(
    tmp_path: Path, own: str, name: str, called: str
) -> None:
    (tmp_path / "package_of_tests").mkdir()
    (tmp_path / f"{own}.py").rename(tmp_path / "package_of_tests" / f"{own}.py")
    chain = await make_chain(load(tmp_path, MODEL=f"package_of_tests.{own}:{name}"))
    assert chain.name == called
    await chain.close()


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"MODEL": "no.such:Model"}, "the model no.such:Model cannot be imported"),
        ({"MODEL": "OWN:Missing"}, "has no Missing"),
        ({"MODEL": "OWN:Broken"}, "cannot be made: OSError: no weights"),
        ({"MODEL": "OWN:Nameless"}, r"lacks name, label; see docs/extend.md"),
        ({"MODEL": "OWN:Own", "MODELS": "OWN:Plain", "OWN_NAME": "plain"}, "offers a name twice"),
        (
            {"MODEL": "OWN:Own", "PRICES": "{}", "BUDGET_USER_DOLLARS": "1"},
            "PRICES lacks own: a budget",
        ),
    ],
)
async def test_one_that_cannot_be_used_is_told_at_the_start(
    tmp_path: Path, own: str, environ: dict[str, str], says: str
) -> None:
    given = {name: value.replace("OWN:", f"{own}:") for name, value in environ.items()}
    with pytest.raises(ConfigError, match=says):
        await make_chain(load(tmp_path, **given))


def test_a_name_with_a_tag_is_no_path() -> None:
    assert parse_models("qwen3:latest, llama3.2:latest") == (
        ModelEntry(name="qwen3:latest"),
        ModelEntry(name="llama3.2:latest"),
    )
    with pytest.raises(ConfigError, match="neither OPENAI_API_KEY nor"):
        Settings.load({"MODELS": "qwen3:latest"}, None)


@pytest.mark.parametrize("bad", ["gpt", "my models:Own", "models:own"])
def test_what_is_neither_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match=f"MODEL={bad} must be one of: openai, local, demo; or"):
        Settings.load({"MODEL": bad}, None)


def test_its_own_variables_are_not_said_to_be_idle() -> None:
    environ: dict[str, Any] = {
        "MODEL": "a.b:C",
        "OPENAI_API_KEY": "sk",
        "PRICES": '{"own": {"input": 1, "output": 1}}',
    }
    assert Settings.load(environ, None).notes() == []


def test_a_failure_of_no_kind_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="no kind 'nonsense': it is one of quota, rate_limited"):
        ModelError("nonsense", "x")  # type: ignore[arg-type]
