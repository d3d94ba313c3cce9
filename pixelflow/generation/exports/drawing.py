"""Drawing a benchmark's images: prompt by prompt, gone on with after a stop, from the same seeds for every model."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from PIL.Image import Image

from pixelflow.core import seeds
from pixelflow.core.fields import CAPTION
from pixelflow.core.interfaces import Rewriter
from pixelflow.core.plugin_use import codes
from pixelflow.core.spec import SamplingSpec
from pixelflow.generation.draw import draw
from pixelflow.generation.exports.layout import ExportLayout, ExportTask
from pixelflow.generation.pictures import to_pil
from pixelflow.generation.run import Run
from pixelflow.generation.settings import code_behind
from pixelflow.generation.whole_png import is_whole
from pixelflow.system import journal
from pixelflow.system.errors import CannotWriteError, DataError, NonFiniteError, UsageError
from pixelflow.system.files import check_free, locked, read_bytes, write_text, write_through, writing
from pixelflow.system.parallel import Parallel
from pixelflow.system.records import LARGEST

_RECIPE, _PROMPTS = "recipe.json", "prompts.jsonl"


@dataclass(frozen=True)
class Export:
    """Images of a run for a benchmark.

    They lie in ``FOLDER/<layout.folder>``, which holds nothing else; beside it ``recipe.json`` says how they were
    drawn, and ``prompts.jsonl`` from which caption each prompt was.
    """

    run: Run
    sampling: SamplingSpec
    layout: ExportLayout
    tasks: Sequence[ExportTask]
    rewriter: Rewriter | None = None
    seed: int = 0

    @cached_property
    def recipe(self) -> dict[str, object]:
        """Everything that decides on the images."""
        source = self.run.source
        prompts = [[task.prompt, task.details] for task in self.tasks]
        return {
            "benchmark": type(self.layout).__name__,
            "images": self.layout.images,
            "step": source.step,
            "weights": source.weights,
            "weights_sha256": source.sha256,
            "sampling": self.sampling.model_dump(mode="json"),
            "seed": self.seed,
            "prompts_sha256": _sha256(json.dumps(prompts)),
            "rewriter": None if self.rewriter is None else _described(self.rewriter),
            **code_behind(self.run.spec, self.sampling),
        }

    @property
    def digest(self) -> str:
        """A short name of the recipe."""
        return _sha256(json.dumps(self.recipe, sort_keys=True))[:10]

    def draw_into(self, folder: Path, parallel: Parallel | None = None) -> Iterator[int]:
        """Write the files of all prompts that lack one; yields how many prompts are done after each.

        Of several processes all draw; the first alone rewrites prompts, looks at the folder and writes.

        Raises:
            UsageError: the benchmark cannot take the run's images.
            CannotWriteError: the disk refuses, or the folder holds something else.
            UsageError: another process exports into it.
            NonFiniteError: an image is not finite; the prompts before its own are written.
        """
        parallel = parallel or Parallel(self.run.model.device)
        height, width = self.run.spec.image.size
        if self.layout.squares_only and height != width:
            raise UsageError(f"this benchmark takes square images alone, and the run's are {height} x {width}")
        if not parallel.is_first:
            for _ in self._pictures(parallel.ask([]), parallel):
                pass
            return
        self._check(folder)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, "another process exports into this folder; wait for it, or choose another --out"):
            self._check(folder)
            if not (folder / _RECIPE).is_file():
                write_text(folder / _RECIPE, json.dumps(self.recipe, indent=1))
            yield from self._drawn(folder, parallel)

    def _drawn(self, folder: Path, parallel: Parallel) -> Iterator[int]:
        images = folder / self.layout.folder
        missing = [
            (task, caption)
            for task, caption in zip(self.tasks, self._captions(folder / _PROMPTS), strict=True)
            if not all(_is_there(images / path) for path in self.layout.paths(task))
        ]
        done = len(self.tasks) - len(missing)
        yield done
        pictures = self._pictures(parallel.ask(missing), parallel)
        for task, _ in missing:
            own = list(islice(pictures, self.layout.images))
            for path, content in zip(self.layout.paths(task), self.layout.contents(task, own), strict=True):
                _put(images / path, content, draft=folder / ".draft")
            done += 1
            yield done

    def seed_of(self, task: ExportTask, image: int) -> int:
        """The seed of a prompt's image, which no setting of the model changes."""
        return seeds.derive(self.seed, "benchmark", task.number, image)

    def _pictures(self, chosen: Sequence[tuple[ExportTask, str]], parallel: Parallel) -> Iterator[Image]:
        """All images of some prompts, in order; of several processes in the first."""
        captions = [caption for _, caption in chosen for _ in range(self.layout.images)]
        own_seeds = [self.seed_of(task, image) for task, _ in chosen for image in range(self.layout.images)]
        values = {CAPTION.name: captions}
        run, sampling = self.run, self.sampling
        for drawn in draw(run.model, run.spec, values, own_seeds, sampling=sampling, parallel=parallel):
            if not drawn.images.isfinite().all():
                raise NonFiniteError(
                    "an image is not finite: the weights or the sampling settings diverge; "
                    "try more steps, less guidance or an earlier --step"
                )
            yield from to_pil(drawn.images)

    def _check(self, folder: Path) -> None:
        """Raise CannotWriteError where the folder is something else's."""
        file = folder / _RECIPE
        if not file.is_file():
            check_free(folder)
        elif read_bytes(file, LARGEST) != json.dumps(self.recipe, indent=1).encode():
            raise CannotWriteError(f"{folder}: holds an export by another recipe; choose another --out")

    def _captions(self, file: Path) -> list[str]:
        """What each prompt's images are drawn from: each different one rewritten once, and kept in `file` as it comes.

        Raises:
            DataError: the file was changed.
        """
        prompts = [task.prompt for task in self.tasks]
        captions = _kept(file, prompts)
        known = dict(zip(prompts, captions, strict=False))
        while len(captions) < len(prompts):
            ahead = prompts[len(captions) :][: self.rewriter.at_a_time if self.rewriter else None]
            fresh = [prompt for prompt in dict.fromkeys(ahead) if prompt not in known]
            known |= zip(fresh, self.rewriter.rewrite(fresh) if self.rewriter else fresh, strict=True)
            captions += [known[prompt] for prompt in ahead]
            pairs = [{"prompt": prompt, "caption": known[prompt]} for prompt in prompts[: len(captions)]]
            write_text(file, "".join(f"{line.text}\n" for line in journal.all_sealed(pairs)))
        return captions


def _kept(file: Path, prompts: Sequence[str]) -> list[str]:
    """The captions of the first prompts, as an export before a stop kept them; raises DataError for what it did not."""
    if not file.is_file():
        return []
    captions = []
    for number, line in enumerate(journal.all_checked(read_bytes(file, LARGEST).splitlines()), 1):
        try:
            pair = json.loads(line.text) if line.is_sound else None
        except (ValueError, RecursionError):
            pair = None
        caption, prompt = (pair.get("caption"), pair.get("prompt")) if isinstance(pair, dict) else (None, None)
        if not isinstance(caption, str) or prompt not in prompts[number - 1 : number]:
            raise DataError(
                f"{file}:{number}: is not what this export wrote; restore it, or choose another --out to begin anew"
            )
        captions.append(caption)
    return captions


def _is_there(file: Path) -> bool:
    return is_whole(file) if file.suffix == ".png" else file.is_file()


def _described(rewriter: Rewriter) -> dict[str, object]:
    own = {**rewriter.params.model_dump(mode="json"), "fingerprint": rewriter.fingerprint}
    return {**own, **codes(rewriter.params)}


def _put(path: Path, content: Image | str, draft: Path) -> None:
    """Write a file in one step; its draft lies outside the folder that evaluators read."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_through(draft, content.encode() if isinstance(content, str) else _png(content))
        draft.replace(path)


def _png(picture: Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
