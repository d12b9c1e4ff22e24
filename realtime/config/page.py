"""Parsers of what makes the page an operator's own."""

from __future__ import annotations

import re
from pathlib import Path

from .origin import origin_of
from .parsers import is_url, parse_list

COLOUR = re.compile(
    r"#(?:[0-9a-f]{3}|[0-9a-f]{6})|(?:rgb|hsl|hwb|lab|lch|oklab|oklch)\([0-9a-z.,%/ +-]+\)", re.I
)


NAMES = """
    aliceblue antiquewhite aqua aquamarine azure beige bisque black blanchedalmond blue
    blueviolet brown burlywood cadetblue chartreuse chocolate coral cornflowerblue cornsilk
    crimson cyan darkblue darkcyan darkgoldenrod darkgray darkgreen darkgrey darkkhaki
    darkmagenta darkolivegreen darkorange darkorchid darkred darksalmon darkseagreen
    darkslateblue darkslategray darkslategrey darkturquoise darkviolet deeppink deepskyblue
    dimgray dimgrey dodgerblue firebrick floralwhite forestgreen fuchsia gainsboro ghostwhite
    gold goldenrod gray green greenyellow grey honeydew hotpink indianred indigo ivory khaki
    lavender lavenderblush lawngreen lemonchiffon lightblue lightcoral lightcyan
    lightgoldenrodyellow lightgray lightgreen lightgrey lightpink lightsalmon lightseagreen
    lightskyblue lightslategray lightslategrey lightsteelblue lightyellow lime limegreen linen
    magenta maroon mediumaquamarine mediumblue mediumorchid mediumpurple mediumseagreen
    mediumslateblue mediumspringgreen mediumturquoise mediumvioletred midnightblue mintcream
    mistyrose moccasin navajowhite navy oldlace olive olivedrab orange orangered orchid
    palegoldenrod palegreen paleturquoise palevioletred papayawhip peachpuff peru pink plum
    powderblue purple rebeccapurple red rosybrown royalblue saddlebrown salmon sandybrown
    seagreen seashell sienna silver skyblue slateblue slategray slategrey snow springgreen
    steelblue tan teal thistle tomato turquoise violet wheat white whitesmoke yellow
    yellowgreen
"""
"""The colours that CSS names."""


def parse_accent(raw: str) -> str:
    if not (COLOUR.fullmatch(raw) or raw.lower() in NAMES.split()):
        raise ValueError("must be a CSS colour such as #0b57d0, rgb(11 87 208) or teal")
    return raw


def parse_file_or_url(raw: str) -> str:
    """A URL as it is, and a file as its whole path."""
    if "://" in raw:
        if not is_url(raw) or set(raw) & set(" \"'<>;,"):
            raise ValueError("must be a file, or a URL that begins with http:// or https://")
        return raw
    if not Path(raw).is_file():
        raise ValueError("names no file: give a file that exists, or a URL")
    return str(Path(raw).resolve())


def parse_folder(raw: str) -> str:
    if not Path(raw).is_dir():
        raise ValueError("names no folder: give one that exists")
    return str(Path(raw).resolve())


def parse_ancestors(raw: str) -> tuple[str, ...]:
    """Sources of the policy's directive: `'self'`, and origins."""
    try:
        return tuple("'self'" if one == "self" else origin_of(one) for one in parse_list(raw))
    except ValueError as error:
        raise ValueError(f"must be origins of pages, or self: {error}") from None
