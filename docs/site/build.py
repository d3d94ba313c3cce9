"""Build the documentation site, offline:  python docs/site/build.py [FOLDER]

The pages of docs/ are taken as they are; those of the reference are written here from what the code says of itself.
Whatever Sphinx finds to warn of is an error.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import notebook
import reference

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")
FOLDERS = ("docs", "specs", "benchmarks", "plugins", "tests/golden")
"""What pages link to."""


def collected(folder: Path) -> Path:
    """The tree of pages, laid out as the repository is, so that links lead where they led."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in PAGES:
        shutil.copy(ROOT / name, folder)
    for name in FOLDERS:
        kept = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "site", "*.npz")
        shutil.copytree(ROOT / name, folder / name, ignore=kept)
    for page in [*(folder / "plugins").rglob("*.md"), *(folder / "tests").rglob("*.md")]:
        page.unlink()
    for name, text in reference.pages().items():
        (folder / "reference" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "reference" / name).write_text(text)
    notebook.write(folder / "docs" / "tutorial.ipynb")
    (folder / "index.md").write_text(index(folder))
    return folder


def index(folder: Path) -> str:
    """The start page; pages that it does not name stand in the part that they belong to."""
    text = (Path(__file__).parent / "index.md.txt").read_text()
    guides = sorted(page.stem for page in (folder / "docs").glob("*.md"))
    missing = [f"docs/{name}" for name in guides if name != "README" and f"docs/{name}\n" not in text]
    found = [*(folder / "docs/results").rglob("*.md"), *(folder / "benchmarks/results").rglob("*.md")]
    own = [str(page.relative_to(folder).with_suffix("")) for page in sorted(found)]
    results = [name for name in own if name != "docs/results/README"]
    return text.replace("GUIDES", "\n".join(missing)).replace("RESULTS", "\n".join(results))


def main() -> int:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "docs").resolve()
    source = collected(out.with_name(f"{out.name}-pages"))
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-E", "-c", str(Path(__file__).parent)]
    code = subprocess.call([*command, str(source), str(out)])
    if not code:  # README's pictures are HTML of its own, which Sphinx leaves as it is
        shutil.copytree(ROOT / "docs" / "figures", out / "docs" / "figures", dirs_exist_ok=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
