"""Keys that want out of a tenant's part: traversal, encodings, look-alikes, control characters, lengths; always the same ones."""

import random
from collections.abc import Iterator

PARTS = [
    *("acme", "acme-2", "acme ", "globex", "shared", "root", "outside", "secret", "own", "etc", "passwd", "tmp"),
    *("..", ".", "", "...", "..;", ".. ", " ", "~", "-rf", "a", "x" * 250, "x" * 300, "con", "a:b", "*", "$HOME"),
    *(
        "%2e%2e",
        "%2f",
        "%5c",
        "%252e%252e",
        "%00",
        "..%2f..%2f",
        "\\",
        "..\\",
        "C:",
        "\0",
        "..\0",
        "\n",
        "\x7f",
        "\u2028",
    ),
    *("\u2025", "\u2024\u2024", "\uff0e\uff0e", "\uff0f", "\u2215", "\u2044", "\uff3c", "\u202e", "\u200b", ".\u200b."),
    *("\u00e9", "e\u0301", "\u2026", "\ud800", "\udcff", "file-link", "folder-link", "up-link"),
]


def hostile_keys(count: int) -> Iterator[str]:
    generator = random.Random(5)
    for _ in range(count):
        parts = [generator.choice(PARTS) for _ in range(generator.randint(1, 6))]
        if generator.random() < 0.3:
            at = generator.randrange(len(parts))
            parts[at] += chr(generator.randrange(0x3000))
        separator = "/" if generator.random() < 0.9 else generator.choice(["//", "\\", "\uff0f", "%2f", "\u2215"])
        key = separator.join(parts)
        yield key if generator.random() < 0.3 else f"acme/{key}"
