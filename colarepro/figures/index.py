"""The page that shows all figures."""

from html import escape
from pathlib import Path

from colarepro.figures import FIGURES
from colarepro.files import written_aside

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>colarepro: figures</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
img {{ width: 100%; }}
figure {{ margin: 0 0 3rem; }}
</style>
<h1>Figures</h1>
<p>Drawn by <code>python -m colarepro.figures all</code> from records; the CSV beside each figure holds its numbers.</p>
{figures}
</html>
"""
FIGURE = """<figure id="{name}">
<h2>{title}</h2>
<img src="{name}.png" alt="{title}">
<figcaption>{caption} (<a href="{name}.pdf">PDF</a>, <a href="{name}.csv">CSV</a>)</figcaption>
</figure>"""


def write_index(captions: dict[str, str], folder: Path) -> Path:
    """Write index.html with every figure that has a caption; returns its path."""
    parts = [
        FIGURE.format(name=name, title=escape(FIGURES[name].title), caption=escape(caption))
        for name, caption in captions.items()
    ]
    path = folder / "index.html"
    with written_aside(path) as aside:
        aside.write_text(PAGE.format(figures="\n".join(parts)), encoding="utf-8")
    return path
