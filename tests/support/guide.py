"""
The commands of a page of documentation. Its fenced blocks are read in order:

    ```ldif file=NAME     what the reader writes to a file (relative to root's home folder); anew:
                          on another site, which has nothing of this page
    ```sh                 what is typed; exit=N: how it ends, on=ADDRESS: the host it is typed on
    ```text               right behind sh: what it shows. A line "..." is any lines, "..." in a
                          line any text

A block without any of that is to be read only, unless it is sh. Indented fences belong to lists.
"""

import re
import textwrap
from dataclasses import dataclass

# They only look: asked again until the answer is as shown, since it may be on its way.
LOOKING = ("coexistctl ", "journalctl ", "ldapsearch ", "postmap -q ")
LANGUAGES = {"ldif": {"file", "anew"}, "text": {"file"}, "sh": {"exit", "on"}}


@dataclass
class Block:
    language: str
    options: dict
    text: str
    line: int
    output: str = None
    heading: str = ""

    @property
    def only_looks(self):
        lines = self.text.replace("\\\n", " ").splitlines()
        return all(line.startswith(LOOKING) for line in lines)


FENCE = re.compile(r"(?ms)^(?P<heading>#+ [^\n]*)$|^(?P<indent> *)```(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$")


def blocks(path):
    """Those of a page, each sh with the output that is shown for it."""
    with open(path, encoding="utf-8") as file:
        page = file.read()
    found, heading, end, fences = [], "", 0, 0
    for match in FENCE.finditer(page):
        if match["heading"]:
            heading = match["heading"].lstrip("# ")
            continue
        fences += 2
        language, *words = match["info"].split()
        options = dict(word.partition("=")[::2] for word in words)
        assert language in LANGUAGES and LANGUAGES[language].issuperset(options), match[0]
        block = Block(language, options, textwrap.dedent(match["text"]),
                      page.count("\n", 0, match.start()) + 1, heading=heading)
        is_next = not page[end:match.start()].strip()
        if language == "text" and not options and found and found[-1].language == "sh" and is_next:
            found[-1].output = block.text
        else:
            found.append(block)
        end = match.end()
    assert found and fences == len(re.findall("(?m)^ *```", page)), path
    return found


def shows(expected, output):
    """Whether the output is as the page shows it."""
    parts = []
    for line in expected.rstrip("\n").split("\n"):
        if line.strip() == "...":
            parts.append(r"(?:[^\n]*\n)*?")
        else:
            parts.append(".*".join(re.escape(part) for part in line.split("...")) + r"[ \t]*\n")
    return re.fullmatch("".join(parts), output.rstrip("\n") + "\n") is not None
