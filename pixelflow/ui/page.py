"""The page: its tabs, and the server on this machine's own address."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from pixelflow.system.distribution import install
from pixelflow.system.errors import MissingDependencyError, UsageError
from pixelflow.ui.shelf import Shelf

if TYPE_CHECKING:
    from pixelflow.ui.fields import Blocks

_FORGOTTEN = 600
"""Seconds after which pictures of the page are removed from the temporary folder."""
_CSS = """
#sample-gallery img, #edit-made img, #way-animation img {image-rendering: pixelated}
.told textarea {font-family: monospace}
label[data-testid="block-label"]:not(#edit-image label) {position: static; width: fit-content}
.block:not(#edit-image, #vary-grid, #sample-curve) .icon-button-wrapper.top-panel {top: -27px}
"""


def gradio() -> ModuleType:
    """The library, told to send nothing anywhere.

    Raises:
        MissingDependencyError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("GRADIO_TEMP_DIR", tempfile.mkdtemp(prefix="pixelflow-ui-"))
    try:
        import gradio
    except ImportError:
        raise MissingDependencyError(f"the page needs the package gradio: {install('ui')}") from None
    library: ModuleType = gradio
    return library


def page(folder: Path, device: str | None = None) -> Blocks:
    """The page over a folder of runs, as gradio's Blocks."""
    gr = gradio()
    from pixelflow.ui import compare_tab, edit_tab, sample_tab, sweeps_tab, train_tab, watch_tab

    shelf = Shelf(folder, device)
    tabs = {
        "Sample": sample_tab,
        "Edit": edit_tab,
        "Compare": compare_tab,
        "Watch": watch_tab,
        "Train": train_tab,
        "Sweeps": sweeps_tab,
    }
    forgotten = _FORGOTTEN, _FORGOTTEN
    with gr.Blocks(title="pixelflow", delete_cache=forgotten, analytics_enabled=False, fill_width=True) as blocks:
        gr.Markdown(f"## pixelflow  `{folder.name or folder.resolve().name}`")
        with gr.Tabs(selected="Sample" if shelf.names() else "Train"):
            for title, tab in tabs.items():
                with gr.Tab(title, id=title, elem_id=f"tab-{title.lower()}") as shown:
                    tab.build(blocks, shown, shelf)
    blocks.queue(default_concurrency_limit=1)
    made: Blocks = blocks
    return made


def serve(folder: Path, port: int | None = None, device: str | None = None, *, wait: bool = True) -> str:
    """Show the page on 127.0.0.1 until the process ends; returns its address where it does not wait."""
    blocks = page(folder, device)
    try:
        _, address, _ = blocks.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            css=_CSS,
            allowed_paths=[str(folder.resolve())],
        )
    except OSError as error:  # gradio's, whose words are of its own options
        which = "every port from 7860 on" if port is None else f"the port {port}"
        raise UsageError(f"{which} is in use or may not be used; choose another --port") from error
    from pixelflow.system.terminal import tell

    tell(f"the page is at {address}  (Ctrl-C ends it)")
    if wait:
        blocks.block_thread()
    return address
