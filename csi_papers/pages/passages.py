"""Markdown as far as the notebooks use it: its blocks and sentences, and how to say them in fewer words."""

import re

CHARS = 88  # in a line of a slide
ITEM = 170  # characters of an item of a list
WIDE = 72  # characters of an equation that a line of a slide holds
KINDS = {"heading": r"#{1,6} ", "equation": r"\$\$", "image": r"!\[", "table": r"\|", "list": r"(?:[-*]|\d+\.) ",
         "html": "<"}


def blocks(source):
    """Paragraphs, headings, equations, lists, tables and pictures of a cell: [(kind, text)]."""
    found = []
    outside = re.sub(r"<details.*?</details>|^(```|~~~).*?^\1", "", source, flags=re.M | re.S)
    for text in re.split(r"\n\s*\n", outside):
        text = text.strip()
        if not text:
            continue
        kind = next((kind for kind, pattern in KINDS.items() if re.match(pattern, text)), "text")
        head = text.split("\n", 1)[0]
        if kind == "heading" and "\n" in text:
            found += [(kind, head), *blocks(text.split("\n", 1)[1])]
        else:
            found.append((kind, text))
    return found


def sentences(text):
    """The sentences of a paragraph; none ends within emphasis, code, a formula or brackets."""
    found, start = [], 0
    for gap in re.finditer(r"(?<=[.?!:])[*\"”)]*\s+(?=[^a-z\s])", text):
        piece = text[start:gap.end()].strip()
        if piece.endswith(":") and len(piece) < 80 or re.search(r"(\b(Eqs?|Fig|al|vs|e\.g|i\.e)|\b[A-Z])\.$", piece):
            continue
        if re.fullmatch(r"\*\*[^*]{1,40}\*\*", piece):  # the name of what follows
            continue
        if any(piece.count(mark) % 2 for mark in ("**", "$", "`", '"')) or piece.count("(") != piece.count(")"):
            continue
        found.append(piece)
        start = gap.end()
    return [*found, text[start:].strip()] if text[start:].strip() else found


def length(text):
    """How many characters a reader sees, about."""
    text = re.sub(r"\]\([^)]*\)", "", text)
    text = re.sub(r"\\(?:[a-zA-Z]+|.)", "x", text)
    return len(re.sub(r"[*`$\[\]{}^_]", "", text))


def first(text, most):
    """The first sentences of a paragraph that together have at most so many characters; at least one."""
    parts = sentences(" ".join(text.split()))
    while len(parts) > 1 and length(" ".join(parts)) > most:
        parts.pop()
    return re.sub(":$", ".", " ".join(parts))


def ends(text, most, opens=True):
    """How a paragraph leads to an equation: its first sentence (if it opens a section), and the last that have room."""
    parts = sentences(" ".join(text.split()))
    head, tail = (parts[:1], parts[1:]) if opens and length(parts[0] + parts[-1]) <= most else ([], parts)
    while len(tail) > 1 and length(" ".join(head + tail)) > most:
        tail.pop(0)
    return " ".join(head + tail)


def stacked(tex):
    """An equation that is too wide for a slide, on two lines where it has a gap; every other one as it is."""
    found = re.fullmatch(r"\$\$\s*(.*?)\s*(\\tag\s*\{.*?\})?\s*\$\$", tex, flags=re.S)
    if not found or length(tex) < WIDE:
        return tex
    body, number = found.groups(default="")
    gaps = [gap for gap in re.finditer(r"\\qquad|(?<=,)\s*\\quad|\\quad(?=\s*\\text)", body)
            if all(body[:gap.start()].count(a) == body[:gap.start()].count(b)
                   for a, b in (("{", "}"), (r"\begin", r"\end"), (r"\left", r"\right"), ("(", ")")))]
    if not gaps:
        return tex
    cut = min(gaps, key=lambda gap: abs(length(body[:gap.start()]) - length(body[gap.end():])))
    return rf"$$\begin{{gathered}}{body[:cut.start()]}\\[.4em]{body[cut.end():]}\end{{gathered}}{number}$$"


def lines(block):
    """About how many lines a block takes on a slide."""
    kind, text = block
    if kind == "equation":
        inner = re.findall(r"\\begin\{(?!gathered)(\w+)\}(.*?)\\end\{\1\}", text, flags=re.S)
        high = max((rows.count(r"\\") for _, rows in inner), default=0)  # matrices beside each other
        return 2.6 + 1.1 * high + 2.2 * text.count("gathered}") / 2
    if kind == "image":
        return 6.5
    if kind == "list":
        return sum(0.4 + -(-length(item) // (CHARS - 6)) for item in items(text))
    if kind == "table":
        return 1.4 * (text.count("\n") + 1)
    return 0.6 + -(-length(text) // CHARS)


def items(text):
    """The items of a list, each with its mark."""
    return [item.strip() for item in re.split(r"\n(?=(?:[-*]|\d+\.) )", text)]


def short_item(item):
    """An item with its mark and its first sentences."""
    mark, text = re.match(r"([-*]|\d+\.) +(.*)", item, flags=re.S).groups()
    return f"{mark} {first(text, ITEM)}"


def sections(source):
    """[(title or "", blocks)] of a cell; text before its first heading comes first."""
    found = [("", [])]
    for kind, text in blocks(source):
        if kind == "heading":
            found.append((re.sub(r"^#+ +", "", text), []))
        else:
            found[-1][1].append((kind, text))
    return [(title, content) for title, content in found if title or content]
