"""What makes the page an operator's own: its title, logo, colour, style and files. Pure, but for
paths of files that `assets` reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

TITLE = re.compile(r"<title>.*?</title>", re.S)
ICON = re.compile(r'<link rel="icon"[^>]*>')
LOGO = re.compile(r"<!-- the logo -->")
STYLES = re.compile(r'(?=<script type="importmap">)')

ACCENT = """:root {{
  --accent: light-dark(oklch(from {0} min(l, 0.48) min(c, 0.14) h), oklch(from {0} max(l, 0.75) min(c, 0.14) h));
}}
"""  # noqa: E501
"""The hue of a colour as dark, or as light, as text in it has to be on the page's grounds, and as
a text on it has to be."""


@dataclass(frozen=True)
class Brand:
    """As the settings say it; `""` is as the page comes. `logo` and `css` are a URL, or the path
    of a file. `folder` has files that take the place of the page's own."""

    title: str = ""
    logo: str = ""
    accent: str = ""
    css: str = ""
    folder: str = ""

    @property
    def files(self) -> dict[str, Path]:
        """Of each name below `client/` the file that it stands for."""
        named = {"brand/logo": self.logo, "brand/page": self.css}
        paths = {name: Path(path) for name, path in named.items() if path and "://" not in path}
        return {f"{name}{path.suffix}": path for name, path in paths.items()}

    @property
    def texts(self) -> dict[str, str]:
        """The same of what is no file."""
        return {"brand/accent.css": ACCENT.format(self.accent)} if self.accent else {}

    def applied(self, page: str) -> str:
        """The page with all of it."""
        sheets = [*self.texts, *([self._address(self.css, "brand/page")] if self.css else [])]
        if self.title:
            page = TITLE.sub(lambda match: f"<title>{escape(self.title)}</title>", page, count=1)
        if self.logo:
            logo = escape(_relative(self._address(self.logo, "brand/logo")))
            page = ICON.sub(lambda match: f'<link rel="icon" href="{logo}">', page, count=1)
            page = LOGO.sub(lambda match: f'<img class="logo" src="{logo}" alt="">', page, count=1)
        links = "".join(
            f'<link rel="stylesheet" href="{escape(_relative(sheet))}">\n  ' for sheet in sheets
        )
        return STYLES.sub(lambda match: links, page, count=1)

    def _address(self, given: str, name: str) -> str:
        return given if "://" in given else f"{name}{Path(given).suffix}"


def _relative(address: str) -> str:
    return address if "://" in address else f"./client/{address}"


def policy_origin(address: str) -> str:
    """How a Content-Security-Policy names the server of a URL, behind a space; `""` for a file."""
    parts = urlsplit(address)
    return f" {parts.scheme}://{parts.netloc}" if "://" in address else ""
