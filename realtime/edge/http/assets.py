"""What the page is made of: read, stripped of comments and compressed once, and named by its
content, so that a browser asks for it once.

The page's files say each other's plain names. The document that `Assets.document` makes of
`index.html` maps them to the names with a digest: `client/app.js` to `client/app.1a2b3c4d5e.js`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import brotli

from ...package import PAGE, ROOT
from .brand import Brand

MODULES = ROOT / "node_modules"
PACKAGES = {
    "socket.io-client": "socket.io-client/dist/socket.io.esm.min.js",
    "@lezer/common": "@lezer/common/dist/index.js",
    "@lezer/highlight": "@lezer/highlight/dist/index.js",
    "@lezer/markdown": "@lezer/markdown/dist/index.js",
    "temml": "temml/dist/temml.min.js",
}
"""What modules import by name, which only a bundler understands, and the file of each."""
LANGUAGES = "@codemirror/legacy-modes/mode/"
"""A folder of modules, one for each family of languages."""
VENDOR = {name: f"vendor/{name.lstrip('@').replace('/', '-')}.js" for name in PACKAGES} | {
    LANGUAGES: "vendor/languages/"
}
"""Where they are served: `vendor/lezer-common.js`, `vendor/languages/python`."""
FILES = {VENDOR[name]: path for name, path in PACKAGES.items()}
SCRIPTS = {"temml.min.js": "temml"}
"""Files that are no modules, and what they define: minified they come only as scripts."""
KINDS = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".html": "text/html",
    ".txt": "text/plain",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
TEXTS = ("text/", "image/svg", "application/json")
PLAIN = Brand()
SLOW = 200_000  # bytes; the best compression of more takes seconds

COMMENT = re.compile(r"^[ \t]*(?:/\*.*?\*/[ \t]*$|//[^\n]*$)", re.M | re.S)
IMPORT = re.compile(r"""^(?:import|export)\b(?:[^'";]*?\bfrom)?\s*["']([^"']+)["']""", re.M)
WHOLE = "|".join(re.escape(name) for name in PACKAGES)
NAMED = re.compile(rf"""(\b(?:from|import)\s*\(?\s*["'])((?:{WHOLE})(?=["'])|{LANGUAGES})""")
MAP = re.compile(r'(<script type="importmap">)(.*?)(</script>)', re.S)
ENTRY = re.compile(r'(?=<script type="module" src="\./([^"]+)")')
LINKED = re.compile(r'(\b(?:href|src)=")\./((?:client|vendor)/[^"]+)"')
HASHED = re.compile(r"\.([0-9a-f]{10})(?=[./])")


@dataclass(frozen=True)
class Asset:
    """A file as it is sent."""

    kind: str
    body: bytes

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.body).hexdigest()[:10]

    def accepted(self, accept: str) -> str:
        """The best encoding among those of an `Accept-Encoding`; `""`: as it is."""
        if not self.kind.startswith(TEXTS):
            return ""
        offers = (offer.replace(" ", "").partition(";") for offer in accept.lower().split(","))
        taken = {name for name, _, weight in offers if not re.fullmatch(r"q=0(\.0*)?", weight)}
        return next((one for one in ("br", "gzip") if one in taken), "")

    def encoded(self, encoding: str) -> bytes:
        """The body in an encoding. The first call takes a while: make it in a thread."""
        return compressed(self.body, encoding) if encoding else self.body


@lru_cache(maxsize=512)  # for all servers of a process
def compressed(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.compress(body, 9, mtime=0)
    smaller: bytes = brotli.compress(body, brotli.MODE_TEXT, 11 if len(body) < SLOW else 9)
    return smaller


@dataclass(frozen=True)
class Document:
    """The page, and the hash by which its Content-Security-Policy allows the import map."""

    asset: Asset
    map_hash: str


class Assets:
    """The files of a page. One that is changed on disk is read again."""

    def __init__(self, *folders: Path, brand: Brand = PLAIN) -> None:
        """A file is the one of the first folder that has it; by default they are the page's."""
        own = [Path(brand.folder)] if brand.folder else []
        self._folders = (*own, *(folders or (PAGE,)))
        self._brand = brand
        self._texts = {name: Asset("text/css", text.encode()) for name, text in brand.texts.items()}
        self._known: dict[Path, tuple[tuple[int, int], Asset]] = {}
        self._documents: dict[str, tuple[tuple[str, ...], Document]] = {}

    def find(self, name: str) -> tuple[Asset, bool] | None:
        """The file of a name like `client/app.js`, with a digest or without, and whether the
        name stands for this content for ever. None: there is no such file."""
        plain = HASHED.sub("", name, count=1)
        if asset := self._asset(plain):
            return asset, name != plain and name == self._named(plain)
        other = self._asset(name)
        return (other, False) if other else None

    def document(self, up: str = "./") -> Document:
        """`index.html` with the names of its files, and what it needs at once named in its head.
        `up`: how the page's address leads to the server's root, like `../`."""
        names = sorted(
            {
                *(f"client/{name}" for name in (*self._brand.files, *self._texts)),
                *(
                    f"client/{path.relative_to(folder).as_posix()}"
                    for folder in self._folders
                    for path in folder.rglob("*")
                    if path.suffix in KINDS
                ),
            }
        )
        state = (
            *(self._named(name) for name in names),
            *(self._named(name) for name in VENDOR.values()),
        )
        made = self._documents.get(up)
        if made is None or made[0] != state:
            made = self._documents[up] = state, self._document(up, names)
        return made[1]

    def _document(self, up: str, names: list[str]) -> Document:
        index = self._asset("client/index.html")
        page = self._brand.applied(index.body.decode() if index else "")
        found = MAP.search(page)
        said: dict[str, str] = json.loads(found[2])["imports"] if found else {}
        imports = {key: up + self._named(value.removeprefix("./")) for key, value in said.items()}
        modules = (name for name in (*names, *VENDOR.values()) if name.endswith((".js", "/")))
        imports |= {up + name: up + self._named(name) for name in modules}
        table = json.dumps({"imports": imports}, separators=(",", ":"))
        entry = ENTRY.search(page)
        needed = self._needed(entry[1]) if entry else []
        links = "".join(f'<link rel="modulepreload" href="./{name}">\n  ' for name in needed)
        page = MAP.sub(lambda match: f"{match[1]}{table}{match[3]}", page, count=1)
        page = ENTRY.sub(lambda match: links, page, count=1)
        page = LINKED.sub(lambda match: f'{match[1]}{up}{self._named(match[2])}"', page)
        digest = hashlib.sha256(table.encode()).digest()
        return Document(Asset("text/html", page.encode()), base64.b64encode(digest).decode())

    def _needed(self, entry: str) -> list[str]:
        """What a module imports, and what that imports, without itself."""
        known = [entry]
        for name in known:
            asset = self._asset(name)
            for said in IMPORT.findall(asset.body.decode()) if asset else ():
                path = _joined(name, said)
                if path not in known:
                    known.append(path)
        return known[1:]

    def _named(self, name: str) -> str:
        """The name with its digest; what is no file keeps its name."""
        languages = VENDOR[LANGUAGES]
        if name == languages:
            package = self._read(MODULES / LANGUAGES / "../package.json")
            return f"{name[:-1]}.{package.digest}/" if package else name
        if name.startswith(languages):
            return self._named(languages) + name.removeprefix(languages)
        asset = self._asset(name)
        stem, dot, suffix = name.rpartition(".")
        return f"{stem}.{asset.digest}{dot}{suffix}" if asset and dot else name

    def _asset(self, name: str) -> Asset | None:
        up = "../" * name.count("/")
        if name.startswith("client/"):
            return self._own(name.removeprefix("client/"), up)
        if name.startswith(VENDOR[LANGUAGES]):
            file = name.removeprefix(VENDOR[LANGUAGES]).removesuffix(".js") + ".js"
            return self._read(MODULES / LANGUAGES / file, MODULES / LANGUAGES)
        return self._read(MODULES / FILES[name], up=up) if name in FILES else None

    def _own(self, name: str, up: str) -> Asset | None:
        if text := self._texts.get(name):
            return text
        if path := self._brand.files.get(name):
            return self._read(path)
        found = (self._read(folder / name, folder, up) for folder in self._folders)
        return next((asset for asset in found if asset), None)

    def _read(self, path: Path, within: Path | None = None, up: str = "") -> Asset | None:
        """`up`: how the file's address leads to the server's root."""
        try:
            if within and not path.resolve().is_relative_to(within.resolve()):
                return None
            status = path.stat()
            state = (status.st_mtime_ns, status.st_size)
            if (known := self._known.get(path)) and known[0] == state:
                return known[1]
            body = path.read_bytes()
        except (ValueError, OSError):  # no file, or no name that one can have
            return None
        kind = KINDS.get(path.suffix, "application/octet-stream")
        if kind == "text/javascript" and ".min." not in path.name:
            body = _addressed(_stripped(body.decode()), up).encode()
        if name := SCRIPTS.get(path.name):
            body += f"\nexport default {name};\n".encode()
        asset = Asset(kind, body)
        self._known[path] = state, asset
        return asset


def _joined(name: str, relative: str) -> str:
    parts = name.split("/")[:-1]
    for part in relative.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _stripped(script: str) -> str:
    """Without comments that have lines to themselves. The lines keep their numbers."""
    return COMMENT.sub(lambda match: "\n" * match[0].count("\n"), script)


def _addressed(script: str, up: str) -> str:
    """With the addresses of packages in place of their names."""
    return NAMED.sub(lambda match: f"{match[1]}{up}{VENDOR[match[2]]}", script)


def missing_modules() -> list[str]:
    """What the page needs and npm has not installed."""
    paths = [*PACKAGES.values(), f"{LANGUAGES}python.js"]
    return [path for path in paths if not (MODULES / path).is_file()]
