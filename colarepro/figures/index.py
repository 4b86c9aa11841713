"""The page that shows all figures."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from colarepro.figures import FIGURES
from colarepro.figures.figure import Written
from colarepro.files import written_aside

GROUPS = {
    "none": "The algorithm",
    "llm": "Language models",
    "anatomy": "Inside a chain",
    "both": "Theory and language models",
    "theory": "Theory",
}
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>colarepro: figures</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
img {{ width: 100%; }}
figure {{ margin: 0 0 3rem; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: 0.75rem; line-height: 1.3; border-block: 2px solid; margin: 0.5rem 0; }}
th, td {{ padding: 0.15rem 0.5rem; text-align: left; vertical-align: top; font-weight: normal; }}
thead {{ border-bottom: 1px solid; }}
</style>
<h1>Figures</h1>
<p>Drawn by <code>python -m colarepro.figures all</code> from records; the CSV beside each figure holds its numbers.</p>
{contents}
{groups}
</html>
"""
GROUP = """<h2>{title}</h2>
{figures}"""
FIGURE = """<figure id="{name}">
<h3>{title}</h3>
{body}
<figcaption>{caption} ({links})</figcaption>
</figure>"""


def write_index(written: Mapping[str, Written], folder: Path) -> Path:
    """Write index.html with every figure that was written, by what it is drawn from, and the names of the others;
    returns its path."""
    groups, contents = [], []
    for kind, title in GROUPS.items():
        names = [name for name in FIGURES if name in written and FIGURES[name].kind == kind]
        if names:
            figures = "\n".join(_figure(name, written[name], folder) for name in names)
            groups.append(GROUP.format(title=title, figures=figures))
            links = ", ".join(f'<a href="#{name}">{escape(FIGURES[name].title)}</a>' for name in names)
            contents.append(f"<p><b>{title}</b>: {links}</p>")
    missing = [escape(figure.title) for name, figure in FIGURES.items() if name not in written]
    if missing:
        contents.append(f"<p><b>Not drawn, for want of records</b>: {', '.join(missing)}</p>")
    path = folder / "index.html"
    with written_aside(path) as aside:
        aside.write_text(PAGE.format(contents="\n".join(contents), groups="\n".join(groups)), encoding="utf-8")
    return path


def _figure(name: str, written: Written, folder: Path) -> str:
    title = escape(FIGURES[name].title)
    if ".html" in written.suffixes:
        body = f"<div>{(folder / f'{name}.html').read_text(encoding='utf-8')}</div>"
    else:
        body = f'<img src="{name}.png" alt="{title}">'
    links = ", ".join(
        f'<a href="{name}{suffix}">{suffix[1:].upper()}</a>'
        for suffix in written.suffixes
        if suffix not in (".png", ".html")
    )
    return FIGURE.format(name=name, title=title, body=body, caption=escape(written.caption), links=links)
