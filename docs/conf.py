"""How Sphinx builds the pages, from files that can be read on their own, too.

The source folder is the repository, so that links between pages hold in both:
``python -m sphinx -W -n -q -c docs . build/pages``, then open ``build/pages/docs/index.html``.
"""

import base64
import inspect
import json
import pkgutil
import re
import shutil
from importlib import import_module
from pathlib import Path
from types import GenericAlias
from typing import Any

from docutils import nodes
from docutils.parsers.rst import roles
from sphinx.application import Sphinx
from sphinx.util.nodes import make_refnode

import mlpspec

project = "mlpspec"
author = "The mlpspec developers"
release = mlpspec.__version__
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "docs/**.md",
    "experiments/*.md",
    "experiments/*.ipynb",
    "results/README.md",
    "results/benchmark/README.md",
    "results/former/README.md",
]
exclude_patterns = [".*", "build", "dist", "runs"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc"]

myst_heading_anchors = 4  # as GitHub makes them
suppress_warnings = ["myst.xref_missing"]  # of folders; tests/test_pages.py tries every link
nb_execution_mode = "off"  # notebooks are shown as they were saved

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's sections name the types
default_role = "py:obj"  # `name` in a docstring
numpydoc_show_class_members = False
nitpick_ignore_regex = [("py:.*", r"(numpy|collections)\..*")]

html_theme = "furo"
html_title = f"mlpspec {release}"
html_copy_source = False
html_show_copyright = False


def write_rooms(app: Sphinx, config: Any) -> None:
    """Write a page for every room, with all that its modules say: ``docs/api/ROOM.md``."""
    pages: dict[str, list[str]] = {}
    for module in pkgutil.walk_packages(mlpspec.__path__, "mlpspec."):
        _, room, *inside = module.name.split(".")
        if module.ispkg and not inside:
            doc = inspect.getdoc(import_module(module.name)) or ""
            pages[room] = [f"# `{room}/`\n\n{doc.splitlines()[0]}\n"]
        elif room != "__main__":
            page = pages.setdefault(room if inside else "shared", ["# Beside the rooms\n"])
            file = "/".join([room, *inside]) + "/" * module.ispkg
            show = f".. automodule:: {module.name}\n   :members:"
            page.append(f"## `{file}`\n\n```{{eval-rst}}\n{show}\n```\n")
    folder = Path(__file__).parent / "api"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for room, parts in pages.items():
        (folder / f"{room}.md").write_text("\n".join(parts), encoding="utf-8")


def show_notebooks(app: Sphinx, page: str, source: list[str]) -> None:
    """Give every notebook of ``experiments/`` its title, first sentence and picture in the gallery.

    The pictures are written beside the pages of the rooms.
    """
    if page != "docs/gallery":
        return
    paths = sorted((Path(app.srcdir) / "experiments").glob("*.ipynb"))
    for path in paths:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "".join(next((c["source"] for c in cells if c["cell_type"] == "markdown"), ""))
        title, _, rest = text.partition("\n")
        source[0] += f"\n## [{title.lstrip('# ')}](../experiments/{path.name})\n\n"
        source[0] += rest.strip().partition("\n\n")[0] + "\n"
        outputs = [output.get("data", {}) for c in cells for output in c.get("outputs", [])]
        drawn = next((data["image/png"] for data in outputs if "image/png" in data), None)
        if drawn:
            picture = Path(app.srcdir) / "docs" / "api" / f"{path.stem}.png"
            picture.write_bytes(base64.b64decode("".join(drawn)))
            source[0] += f"\n![{path.stem}](api/{picture.name})\n"
    if paths:
        listed = "\n".join(f"../experiments/{path.stem}" for path in paths)
        source[0] += f"\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n"


def find(app: Sphinx, env: Any, node: Any, content: Any) -> Any:
    """Return a link to what a docstring calls by the end of its name, as code there does.

    What has no page, such as a constant of a module, stays as it is.
    """
    if node.get("refdomain") != "py" or node.get("reftype") != "obj":
        return None
    objects = env.domains.python_domain.objects
    name = node["reftarget"].removeprefix("mlpspec.")
    found = [full for full in objects if full.endswith(f".{name}")]
    if not found:
        return content
    entry = objects[min(found, key=len)]  # the public name, if there is one
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, content)


def plain(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Make formulas literal, and bars and stars in sentences no markup, as docstrings mean them."""
    before, example = "", False
    for number, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        indented = line.startswith("    ")
        if indented and not lines[number - 1].strip() and before and not before.startswith(" "):
            lines[number - 1] = "\n::\n"
        if not example and not indented:
            parts = line.split("``")
            parts[::2] = [re.sub(r"(?<![*|])([*|])(?![*|])", r"\\\1", part) for part in parts[::2]]
            lines[number] = "``".join(parts)
        before = line or before
    lines[:] = "\n".join(lines).split("\n")


def skip(app: Sphinx, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out names of types, which have no signature."""
    return True if isinstance(obj, GenericAlias) else None


def setup(app: Sphinx) -> None:
    """Tell Sphinx of these functions."""
    app.connect("config-inited", write_rooms)
    app.connect("source-read", show_notebooks)
    app.connect("missing-reference", find)
    app.connect("autodoc-process-docstring", plain, priority=400)  # before numpydoc
    app.connect("autodoc-skip-member", skip)


# Matplotlib's docstrings, of which figures inherit one, have a role of their own.
roles.register_generic_role("mpltype", nodes.literal)
