"""
The commands of a page of documentation. Its fenced blocks are read in order:

    ```ldif file=NAME     what the reader writes to a file (relative to root's home folder); anew:
                          on another site, which has nothing of this page
    ```sh                 what is typed; exit=N: how it ends
    on=HOST               of each of these: the host; for a sh of one host, the address it talks from
    ```text               right behind sh: what it shows. A line "..." is any lines, "..." in a
                          line any text

A block without any of that is to be read only, unless it is sh. Indented fences belong to lists.
"""

import re
import textwrap
from dataclasses import dataclass

from .wait import wait_for

# They only look: asked again until the answer is as shown, since it may be on its way.
LOOKING = ("coexistctl ", "diff <(ldapsearch ", "journalctl ", "ldapsearch ", "postmap -q ")
LANGUAGES = {"ldif": {"file", "anew", "on"}, "text": {"file", "on"}, "sh": {"exit", "on"}}


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

    def write(self, home, root):
        """To its file, below `home` or, where it is absolute, below `root`."""
        name = self.options["file"]
        with open(f"{root}{name}" if name.startswith("/") else f"{home}/{name}", "w",
                  encoding="utf-8") as out:
            out.write(self.text)


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


def type_in(block, where, run):
    """run(text) -> CompletedProcess. It must end, and show, as the page says."""
    code = int(block.options.get("exit", 0))

    def once():
        nonlocal done
        done = run(block.text)
        return done.returncode == code and (
            block.output is None or shows(block.output, done.stdout))

    def what():
        return (f"{where}:\n{block.text}--- must end with {code} and show\n{block.output}"
                f"--- ended with {done.returncode} and showed\n{done.stdout}")

    done = None
    if block.only_looks:
        wait_for(once, what)
    else:
        assert once(), what()
