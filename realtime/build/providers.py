"""The models that the settings name: their clients, and the chain of who answers."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Collection, Iterator
from typing import Any

from ..config import ConfigError, Settings
from ..config.models import ModelEntry, is_path
from ..extensions import BadExtension, named
from ..models import Model
from ..protocol import Kind, Options
from ..runs.chain import Chain, Link
from ..runs.patience import Patience

LOCAL_HISTORY = 2_500  # of the 4,096 tokens that the local model reads and writes in all


def default_options(settings: Settings) -> Options:
    """What holds where a session has no options of its own."""
    return Options(
        temperature=settings.temperature,
        max_output_tokens=settings.max_output_tokens,
        reasoning_effort=settings.reasoning_effort,  # type: ignore[arg-type]
    )


async def make_chain(settings: Settings) -> Chain:
    """Raises `ConfigError`."""
    name = settings.openai_model if settings.model == "openai" else settings.model
    said = next((one for one in settings.models if one.name == name), None)
    default = ModelEntry(
        name=name,
        api=settings.openai_api if settings.model == "openai" else "",
        takes=said.takes if said else None,
    )
    choices = [entry for entry in settings.models if entry.name != name]
    made: dict[ModelEntry, Link] = {}
    try:
        for entry in (default, *choices, *settings.fallbacks, *settings.summary_model):
            if entry not in made:
                made[entry] = await _link(settings, entry)
    except ConfigError:
        for link in made.values():
            await link.model.close()
        raise
    chain = Chain(
        [made[default], *(made[entry] for entry in choices)],
        [made[entry] for entry in settings.fallbacks],
        aside=next((made[entry] for entry in settings.summary_model), None),
    )
    own = {link.model.name for entry, link in made.items() if is_path(entry.name)}
    if problems := list(_problems(settings, own, twice=len(chain.choices) <= len(choices))):
        await chain.close()
        raise ConfigError(problems)
    return chain


def _problems(settings: Settings, own: set[str], *, twice: bool) -> Iterator[str]:
    """What is wrong, once the names of the operator's own models are known."""
    if twice:
        yield "MODELS offers a name twice: a session chooses a model by its name alone"
    unpriced = own - set(settings.prices or {})
    if unpriced and (settings.budget_user_dollars or settings.budget_server_dollars):
        yield f"PRICES lacks {', '.join(sorted(unpriced))}: a budget in dollars needs every price"


async def _link(settings: Settings, entry: ModelEntry) -> Link:
    history = entry.history or settings.history_tokens
    if entry.name == "demo" and not entry.url:
        from ..models.demo import DemoModel

        return Link(DemoModel(), "demo", history)
    if entry.name == "local" and not entry.url:
        return Link(await _local(), "local", min(history, LOCAL_HISTORY))
    if is_path(entry.name) and not entry.url:
        takes: Collection[Kind] = entry.takes or ()  # type: ignore[assignment]
        return Link(_own(settings, entry.name), entry.name, history, takes, patience(settings))
    url = entry.url or settings.openai_base_url
    model = _openai(settings, entry, url)
    return Link(model, f"{url} {entry.key}", history, taken(entry, url))


def taken(entry: ModelEntry, url: str) -> Collection[Kind]:
    """The kinds of files that a model takes: as its entry says, else by its server."""
    from ..models.openai import OPENAI_URL, is_openai

    if entry.takes is not None:
        return entry.takes  # type: ignore[return-value]
    return ("image", "pdf") if is_openai(url or OPENAI_URL) else ()


def patience(settings: Settings) -> Patience:
    """How long a model may take that does not look at the time itself."""
    return Patience(first_s=settings.first_byte_seconds, total_s=settings.answer_seconds)


def _own(settings: Settings, path: str) -> Model:
    """The object of this path; a class, or a function, is called, with the environment where it
    needs an argument."""
    try:
        made: Any = named(path)
        if inspect.isclass(made) or inspect.isroutine(made):
            environ = settings.environ or os.environ
            make: Callable[..., Any] = made
            given = [environ] if _needs_one(make) else []
            made = make(*given)
    except BadExtension as error:
        raise ConfigError([f"the model {path} {error}"]) from error
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise ConfigError([f"the model {path} cannot be made: {why}"]) from error
    lacks = [f"{name}()" for name in ("stream", "check", "close") if not hasattr(made, name)]
    lacks += [name for name in ("name", "label") if not isinstance(getattr(made, name, None), str)]
    if lacks:
        raise ConfigError([f"the model {path} lacks {', '.join(lacks)}; see docs/extend.md"])
    model: Model = made
    return model


def _needs_one(make: Callable[..., Any]) -> bool:
    """Whether it cannot be called without an argument."""
    positional = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = inspect.signature(make).parameters.values()
    return any(one.kind in positional and one.default is one.empty for one in parameters)


async def _local() -> Model:
    from ..models.local import LocalModel

    try:
        return await LocalModel.start()
    except RuntimeError as error:
        raise ConfigError([f"MODEL=local {error}"]) from None


def _openai(settings: Settings, entry: ModelEntry, url: str) -> Model:
    from ..models.errors import connection_failure
    from ..models.openai import NO_KEY, OpenAIModel, is_openai

    key = settings.model_keys.get(entry.key, "") if entry.url else settings.openai_api_key
    api = settings.api_of(entry)
    tiered = settings.service_tier and (not entry.url or is_openai(url))
    try:
        return OpenAIModel(
            api_key=key or NO_KEY,
            base_url=url or None,
            model=entry.name,
            api=api,  # type: ignore[arg-type]
            options={"service_tier": settings.service_tier} if tiered else None,
            background=settings.openai_background and api == "responses",
            hosted=[dict(tool) for tool in settings.hosted_tools],
            show_reasoning=settings.show_reasoning,
            first_byte_s=settings.first_byte_seconds,
            total_s=settings.answer_seconds,
        )
    except (ValueError, OSError) as error:  # a proxy or a certificate of the environment
        raise ConfigError([f"{entry.name}: {connection_failure(error).detail}"]) from None
