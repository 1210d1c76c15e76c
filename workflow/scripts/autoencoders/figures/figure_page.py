"""The page of one figure: the picture, and below it the caption that says how to read it.

In Snakemake's report, the caption of a picture is seen only without the picture.
"""

import base64
import html
import re
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment

from autoencoders.jobs.files import atomic

STYLE = """
:root { color-scheme: light; }
body { max-width: 72rem; margin: 0 auto; padding: 0 1.5rem 2rem; background: #fff; color: #1f2328;
  font: 14px/1.5 system-ui, sans-serif; }
h1 { margin: 0.8em 0 0.4em; font-size: 1.3em; }
img { display: block; max-width: 100%; height: auto; }
p { max-width: 62rem; margin: 0.7em 0; }
"""


def write_figure_page(
    path: str | Path, picture: str | Path, title: str, caption: str | Path, wildcards: Mapping[str, str]
) -> None:
    """Write a page of a PNG file and its caption, a template of the report that may use the job's ``wildcards``."""
    template = Environment(trim_blocks=True, lstrip_blocks=True).from_string(Path(caption).read_text(encoding="utf-8"))
    image = base64.b64encode(Path(picture).read_bytes()).decode()
    title, text = html.escape(title), to_html(template.render(snakemake={"wildcards": dict(wildcards)}))
    with atomic(path) as temporary:
        temporary.write_text(
            f"<!doctype html>\n<html lang='en-GB'>\n<meta charset='utf-8'>\n<title>{title}</title>\n"
            f"<style>{STYLE}</style>\n<h1>{title}</h1>\n<img src='data:image/png;base64,{image}' alt='{title}'>\n"
            f"{text}\n</html>\n",
            encoding="utf-8",
        )


def to_html(text: str) -> str:
    """Paragraphs of reStructuredText, with the marks that the captions use: *emphasis* and **bold**."""
    paragraphs = re.split(r"\n\s*\n", html.escape(text.strip(), quote=False))
    marked = "\n".join(f"<p>{paragraph.strip()}</p>" for paragraph in paragraphs)
    for mark, tag in ((r"\*\*", "strong"), (r"\*", "em")):
        marked = re.sub(rf"{mark}(?! )(.+?){mark}", rf"<{tag}>\1</{tag}>", marked, flags=re.DOTALL)
    return marked
