#!/usr/bin/python3
"""tests/lib/check_documents.py - a document names only paths that exist.

Checks every committed *.md: words in backquotes or link targets that look like paths of
this checkout, the relative targets of links, and `file.c` or `file.h` names that stand for
a file somewhere in the tree. What a build or a run makes (build/, /tmp, ...) is not ours.
"""
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOP = ("proxy", "parser", "policies", "tests", "docker", ".ci")
MADE = ("build/", "build-", "http://", "https://", "/", "~", "$", "#", "mailto:")


def candidates(text):
    for m in re.finditer(r"\[[^\]]*\]\(([^)\s]+)\)", text):
        yield m.group(1).split("#")[0], True
    for m in re.finditer(r"`([^`\n]+)`", text):
        for word in m.group(1).split():
            yield word.strip(".,;:()\"'"), False
    # Indented or fenced commands: ./docker/two-dc.sh and the like.
    for m in re.finditer(r"(?<![\w./-])\./([\w./-]+)", text):
        yield m.group(1), False


def expand(word):
    """config/{a,b}.c -> config/a.c config/b.c; a trailing :12 or ::test goes."""
    word = re.sub(r":.*$", "", word)
    m = re.match(r"^(.*)\{([^{}]+)\}(.*)$", word)
    if m:
        return [m.group(1) + part.strip() + m.group(3) for part in m.group(2).split(",")]
    return [word]


def exists(path, folder, names):
    if any(c in path for c in "*?["):
        return any(ROOT.glob(path)) or any(folder.glob(path))
    if (ROOT / path).exists() or (folder / path).exists():
        return True
    # `window.c`, `client/relay.c`: as the design pages write them, anywhere in the tree.
    return any(n == path or n.endswith("/" + path) for n in names)


def looks_like_path(word, is_link):
    if not word or word.startswith(MADE) or "<" in word or "…" in word or "..." in word:
        return False
    if is_link:
        return True
    first = word.split("/")[0]
    if "/" in word and first in TOP:
        return True
    return bool(re.fullmatch(r"[\w/.-]+\.(c|h|re|proto|py|md)", word)) and not re.match(
        r"^[A-Z]+\.\w+$", word)


def main():
    if (ROOT / ".git").exists():
        names = subprocess.run(["git", "-c", "safe.directory=%s" % ROOT, "ls-files"], cwd=ROOT,
                               check=True, text=True, stdout=subprocess.PIPE).stdout.split("\n")
    else:
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file()]
    bad = 0
    documents = [n for n in names if n.endswith(".md")]
    for name in documents:
        path = ROOT / name
        seen = set()
        for raw, is_link in candidates(path.read_text()):
            raw = raw[2:] if raw.startswith("./") else raw
            for word in expand(raw):
                if word in seen or not looks_like_path(word, is_link):
                    continue
                seen.add(word)
                if not exists(word.rstrip("/"), path.parent, names):
                    print("%s: names %s, which does not exist" % (name, word))
                    bad += 1
    print("%d documents, %d wrong paths" % (len(documents), bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
