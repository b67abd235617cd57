"""Two hundred names that people, cameras and programs give to files, and that break programs: all of them are legal."""

import unicodedata
from itertools import islice
from typing import Final

COUNT: Final = 200
_DIRECTIONS: Final = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_FORMS: Final = ("NFC", "NFD", "NFKC", "NFKD")
_WORDS: Final = (
    *(
        "caf\u00e9",
        "\u00c5ngstr\u00f6m",
        "\ufb01lm",
        "\uac01\ub3c4",
        "t\u1eefng",
        "\u0419\u043e\u0433",
        "\u00bd",
        "x\u00b2",
    ),
    *(
        "\u3392",
        "\u30ac\u30e9\u30b9",
        "\uff76\uff9e\uff97\uff7d",
        "\u0958\u0932\u092e",
        "\u1e9b\u0323",
        "\u2126",
        "\u212b",
    ),
)
_PERCENTS: Final = (
    *(
        "%2F",
        "%2f",
        "%5C",
        "%252F",
        "%20",
        "%25",
        "%41",
        "%",
        "%%",
        "%zz",
        "%2E",
        "%E2%80%AE",
        "%C3%A9",
        "%0A",
        "%ff",
        "%u2215",
    ),
)
_LOOK_ALIKES: Final = "\u2044\u2215\u2216\u29f8\u29f9\uff0f\uff3c\uff0e\u2100\u2025\u2026\u3002\ufe52\u00b7\uff05"
_ASCII: Final = "!\"#$&'()*+,-:;<=>?@[]^_`{|}~\\"
_SPACES: Final = (" a", "a ", "a  b", "a\u00a0b", "a\u3000b", "a\u2009b", "a\u200bb", "a\ufeffb", "\ufeffa", "a\u00adb")
_SCRIPTS: Final = (
    *(
        "\u0641\u064a\u062f\u064a\u0648",
        "\u05d5\u05d9\u05d3\u05d0\u05d5",
        "\u52d5\u753b",
        "\u0e27\u0e34\u0e14\u0e35\u0e42\u0e2d",
        "\u06cc\u200c\u062e",
    ),
    *(
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\U0001f1e9\U0001f1ea",
        "\U0001d54f",
        "\ue000",
        "\U000f0000",
        "\U0002070e",
    ),
)
_OF_SYSTEMS: Final = (
    *(
        "...",
        "..a",
        "a..",
        ".hidden",
        "a.",
        "con",
        "NUL",
        "aux.mp4",
        "-rf",
        "~",
        "$HOME",
        "`id`",
        "*",
        "a:b",
        "C:\\clips\\a",
    ),
    *(
        "index.html",
        "thumbs.db",
        ".DS_Store",
        "a;b",
        "a&b=c",
        "a?b#c",
        "a\\b\\c",
        "null",
        "0",
        "%s%d",
        "{0}",
        "<a>",
        "'; --",
    ),
)


def odd_names() -> list[str]:
    """Return them, always the same ones; each is another text, though some look alike."""
    found = [f"a{mark}b.mp4" for mark in (*_DIRECTIONS, *_LOOK_ALIKES, *_ASCII, *_PERCENTS)]
    found += [f"{mark}clip.mp4" for mark in _DIRECTIONS] + [f"clip{mark}.mp4" for mark in _DIRECTIONS]
    found += [f"{mark}{mark}.mp4" for mark in _ASCII.replace("\\", "")]
    found += [unicodedata.normalize(form, word) for word in _WORDS for form in _FORMS]
    found += [*_SPACES, *_SCRIPTS, *_OF_SYSTEMS]
    names = list(islice(dict.fromkeys(found), COUNT))
    assert len(names) == COUNT, len(dict.fromkeys(found))
    return names
