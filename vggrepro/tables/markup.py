"""Text for LaTeX and HTML: what a format would take for a command is escaped, and our marks become its own. No torch."""

from __future__ import annotations

import re
import textwrap

from markupsafe import Markup, escape

from vggrepro.core.printable import visible

MINUS = "\u2212"

TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "[": "{[}", "]": "{]}", "*": "{*}",
    MINUS: "$-$", "\u2009": r"\,", "\u00b1": r"$\pm$", "\u0394": r"$\Delta$", "\u2013": "--", "\u00d7": r"$\times$",
    "<": r"\textless{}", ">": r"\textgreater{}", "+-": r"$\pm$",
    "\u2260": r"$\neq$",
}  # fmt: skip
_TEX = re.compile("|".join(re.escape(key) for key in sorted(TEX, key=len, reverse=True)))


def escape_markdown(text: str) -> str:
    """Text for a cell of a Markdown table: nothing in it ends the cell or the line, or becomes HTML."""
    return re.sub(r"([|<\\`])", r"\\\1", visible(text)).strip()


def escape_tex(text: str) -> str:
    """Text with all that LaTeX would take for a command escaped."""
    return _TEX.sub(lambda match: TEX[match[0]], visible(str(text)))


def marked_bold(text: str, *, markup: str) -> str:
    """`**text**` as `markup`, in which `{}` stands for the text."""
    return re.sub(r"\*\*(.+?)\*\*", lambda match: markup.replace("{}", match[1]), text)


def choice_links(html: str) -> Markup:
    """HTML of the report in which each `choice 7` leads to the entry of that number in the report's list of choices."""
    return Markup(re.sub(r"\bchoice (\d+)", r'<a href="#choice-\1">choice \1</a>', html))


def single_layers(text: str) -> list[str]:
    """The layers of a cell of Table 1, each by itself as the paper prints them: `conv3-64 x2, **LRN**` are three."""
    layers = []
    for layer in text.split(", "):
        _name, _, count = layer.strip("*").partition(" x")
        layers += [layer.replace(f" x{count}", "")] * int(count or 1)
    return layers


def tex_layers(text: str) -> str:
    """A cell of Table 1 for LaTeX: a layer a line."""
    return r" \\ ".join(tex_bold(layer) for layer in single_layers(text))


def tex_bold(text: str) -> str:
    """Escaped text for LaTeX in which `**text**` is bold."""
    return marked_bold(escape_tex(text).replace("{*}{*}", "**"), markup=r"\textbf{{}}")


def tex_label(text: str) -> str:
    """Letters, digits, points and dashes of a name: a label of LaTeX takes no other."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", text)


def tex_breaks(text: str) -> str:
    """Escaped text for LaTeX whose lines may break after a slash, as in a system's name."""
    return escape_tex(text).replace("/", r"/\allowbreak{}")


def tex_lines(text: str, width: int = 13) -> str:
    """A heading for LaTeX in lines of at most `width` letters where its words allow it."""
    return r"\\".join(escape_tex(line) for line in textwrap.wrap(text, width, break_long_words=False))


def html_layers(text: str) -> Markup:
    """A cell of Table 1 for HTML: a layer a line."""
    return Markup("<br>").join(html_bold(layer) for layer in single_layers(text))


def html_bold(text: str) -> Markup:
    """Escaped text for HTML in which `**text**` is bold."""
    return Markup(marked_bold(str(escape(text)), markup="<b>{}</b>"))
