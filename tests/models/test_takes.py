"""Which files a model takes: as the settings say, or as is usual of its server."""

from __future__ import annotations

from realtime.build.providers import make_chain
from realtime.config import Settings

HERE, AZURE = "http://localhost:1234/v1", "https://me.openai.azure.com/openai/v1"


async def takes(**environ: str) -> dict[str, list[str]]:
    """The kinds of files of each model, the fallbacks last."""
    chain = await make_chain(Settings.load({"OPENAI_API_KEY": "sk-1", **environ}, None))
    found = {link.model.name: list(link.takes) for link in chain.links}
    await chain.close()
    return found


async def test_openai_takes_images_and_pdf_and_others_text_alone() -> None:
    named = f"there@{HERE}, azure@{AZURE} key=OPENAI_API_KEY"
    assert await takes(OPENAI_MODEL="here", MODELS="other", FALLBACKS=f"{named}, demo") == {
        "here": ["image", "pdf"],
        "other": ["image", "pdf"],
        "there": [],
        "azure": ["image", "pdf"],
        "demo": [],
    }


async def test_an_entry_says_what_its_model_takes() -> None:
    named = f"llava@{HERE} takes=image, both@{HERE} takes=image+pdf, none takes=text"
    assert await takes(OPENAI_MODEL="here", MODELS=named) == {
        "here": ["image", "pdf"],
        "llava": ["image"],
        "both": ["image", "pdf"],
        "none": [],
    }


async def test_an_entry_of_its_name_says_it_of_the_default_model() -> None:
    local = {"OPENAI_BASE_URL": HERE, "OPENAI_MODEL": "llava"}
    assert await takes(**local) == {"llava": []}
    assert await takes(**local, MODELS="llava takes=image") == {"llava": ["image"]}
