"""The training loop."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial

import torch

from pixelflow.core import seeds
from pixelflow.core.interfaces import Dataset
from pixelflow.core.model import FlowModel
from pixelflow.core.spec import ExperimentSpec
from pixelflow.runs import checkpoint
from pixelflow.runs.runfolder import RunFolder
from pixelflow.system.errors import CannotWriteError, NonFiniteError, PixelflowError
from pixelflow.system.parallel import Parallel
from pixelflow.system.stopping import Stop, StopSignals
from pixelflow.training.curves import Curves
from pixelflow.training.evaluations import Evaluations
from pixelflow.training.held_out import HeldOutLoss, trained_on
from pixelflow.training.initial import Inherited, former_run, inherit
from pixelflow.training.loader import Batch, batches
from pixelflow.training.metrics import MetricAverages, StepFigures
from pixelflow.training.objective import WorkMaker, taught_labels, teacher_of
from pixelflow.training.previews import Previews
from pixelflow.training.rates import LearningRates
from pixelflow.training.reporting import Progress, make_progress
from pixelflow.training.saving import Saver
from pixelflow.training.state import TrainState
from pixelflow.training.tracking import Trackers, tracked

Callback = Callable[[int, TrainState], object]
"""``callback(step, state)``, called after every step; what it raises ends the training, after a save."""


class Trainer:
    """Carries a run from where its checkpoints leave it to its last step."""

    def __init__(
        self,
        run: RunFolder,
        spec: ExperimentSpec,
        dataset: Dataset,
        parallel: Parallel,
        signals: StopSignals,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        self.callbacks = callbacks
        self.run, self.spec, self.settings, self.rates = run, spec, spec.training, LearningRates(spec.training)
        self.dataset, self.parallel, self.signals = trained_on(dataset, spec), parallel, signals
        self.watched = parallel.answering(signals)
        self.state = TrainState.begin(spec, parallel, run.checkpoints)
        taught = taught_labels(self.state.objective, dataset.classes)
        self.work = WorkMaker(self.state.model, spec, parallel, teacher_of(self.state.objective), taught)
        self.previews = Previews(run.samples, spec, dataset)
        self.evaluations = Evaluations(run, spec)
        self.held_out = HeldOutLoss(spec, dataset, run.metrics_file, self.state.step)
        self.curves = Curves(run.path)
        self.inherited = self._inherit()
        self.saver = Saver(run.checkpoints, self.state.engine, self.settings.keep, self.state.restored_step)
        kept = max((step for step in checkpoint.steps(run.averages) if step <= self.state.step), default=None)
        self.snapshots = Saver(run.averages, self.state.engine, sys.maxsize, kept)
        self._figures: StepFigures | None = None
        """Of the last step, if they were not waited for yet."""
        self._is_whole = True
        """Whether the state is that of a step, and not on its way to the next."""
        self._is_common = parallel.size == 1
        """Whether all processes know of what ends training."""

    def _inherit(self) -> Inherited | None:
        """Take the weights of the run to start from, unless this one has begun."""
        init, state = self.spec.training.init_from, self.state
        if init is None or state.restored_step is not None:
            return None
        model = state.whole(state.model)
        inherited = inherit(model, self.spec, former_run(init), self.dataset.classes)
        state.replace(model.state_dict())
        return inherited

    @property
    def is_finished(self) -> bool:
        """Whether every step is done, every picture drawn, every snapshot kept and everything measured."""
        step = self.state.step
        is_measured = not self.held_out.is_due(step) and not self.evaluations.are_due(step)
        is_seen = not self.previews.is_due(step) and not self._is_snapshot_due
        return step >= self.settings.steps and is_seen and is_measured

    def train(self) -> None:
        """All remaining steps. Whatever ends them early outside of a step, the state is saved first.

        Raises:
            Stop: a signal came; the state is saved.
            NonFiniteError: the loss, the gradient or the weights are not finite; the last checkpoint stands.
            DataError: too many unreadable images; the state is saved.
            OutOfMemoryError: the machine ended a process that reads data; the state is saved.
            CannotWriteError: the disk refuses; the last checkpoint stands.
        """
        first, is_writer = self.state.step, self.parallel.is_first
        if is_writer:
            self.run.history.rewind(first, self.state.metrics)
        with (
            self.saver,
            self.snapshots,
            make_progress(self.settings.steps, first, self.settings.batch_size, silent=not is_writer) as progress,
            tracked(self.run.path, self.spec, first, progress.say, is_writer) as trackers,
        ):
            try:
                self._steps(progress, trackers)
            except Stop:
                self._end()
                raise
            except (CannotWriteError, NonFiniteError):
                raise
            except Exception as error:
                if not (self._is_whole and self._is_common):  # others cannot wait for a save of which they do not know
                    raise
                self._end()
                if isinstance(error, PixelflowError):
                    raise type(error)(f"{error}; step {self.state.step} is saved") from error
                raise
            self._end()

    def _end(self) -> None:
        self.save()
        self.saver.finish()
        self._draw_curves()

    def _draw_curves(self) -> None:
        if self.parallel.is_first:
            self.curves.draw()

    def _steps(self, progress: Progress, trackers: Trackers) -> None:
        progress.note = self.evaluations.told
        self._look(progress, trackers)
        stream = batches(
            self.dataset,
            batch_size=self.settings.batch_size,
            seed=self.spec.seed,
            workers=self.settings.workers,
            first_step=self.state.step,
            bad_images=self.settings.bad_images,
            share=self._share if self.parallel.size > 1 else None,
        )
        is_first = True
        with closing(stream):  # type: ignore[type-var]
            while self.state.step < self.settings.steps:
                began = time.perf_counter()
                self.step(self._read(stream), began)
                if is_first and self.state.is_compiled:
                    progress.say(
                        f"the first step took {time.perf_counter() - began:.1f} s, in which blocks were compiled"
                    )
                is_first = False
                progress.advance(self.state.step)
                for callback in self.callbacks:
                    callback(self.state.step, self.state)
                if self._is_due(self.settings.log_every):
                    self._report(progress, trackers)
                if self._is_due(self.settings.save_every) or self.evaluations.are_at(self.state.step):
                    self.save()
                self._look(progress, trackers)
        if self.parallel.size > 1 and self.parallel.any(self.signals.received is not None):
            self.signals.answer()

    def _share(self, step: int) -> list[int]:
        """The places of this process's images in the batch of a step."""
        return self.work.deal(step, self.settings.batch_size)[1].tolist()

    def _read(self, stream: Iterator[Batch]) -> Batch:
        """The next batch; what keeps one process from it, or a signal to one, ends all at the same step."""
        failure: Exception | None = None
        try:
            with self.signals.interruptible():
                batch = next(stream)
        except Exception as error:
            failure = error
        if self.parallel.any(failure is not None or self.signals.received is not None or self.saver.has_failed):
            self._is_common = True
            self.saver.finish()
            if failure is None:
                self.signals.answer()
        if failure is not None:
            raise failure
        return batch

    def step(self, batch: Batch, began: float) -> None:
        """One optimizer step, without waiting for what it finds: `_settle` does, after the next one was begun.

        Its gradient is of the mean loss, over all parts and processes.

        Raises:
            NonFiniteError: the loss or gradient of the step before is not finite; see `_settle`.
        """
        state, step, settings = self.state, self.state.step, self.settings
        # For dropout within a network, the one thing that is drawn by process.
        torch.manual_seed(seeds.derive(self.spec.seed, "network", self.parallel.rank, step))
        work = self.work(batch, step)
        parts = work.parts(settings.grad_accumulation) if settings.grad_accumulation > 1 else [work]
        images, is_half = sum(len(group.members) for group in work.groups), settings.precision == "bfloat16"
        sums = torch.zeros(2, len(state.model.cascade.stages), device=self.parallel.device)  # of losses; their number
        for index, part in enumerate(parts):
            with state.engine.part(state.wrapped, index, len(parts)):
                with torch.autocast(self.parallel.device.type, torch.bfloat16, enabled=is_half):
                    losses = state.wrapped(part)
                (torch.cat(losses).sum() / images).backward()
            for group, loss in zip(part.groups, losses, strict=True):
                sums[0, group.stage.index] += loss.detach().sum()
                sums[1, group.stage.index] += len(loss)
        self.parallel.sum(sums)
        norm = state.engine.clip(state.trained.values(), settings.max_grad_norm)
        figures = StepFigures(step + 1, sums, norm)
        self._settle()
        self._is_whole = False
        state.optimizer.step(self.rates.at(step), skip=figures.is_spoilt)
        for average in state.averages:
            average.update(step)
        state.step += 1
        figures.seconds = time.perf_counter() - began
        self._figures, self._is_whole = figures, True

    def _settle(self) -> None:
        """Wait for what the last step found, before anything is saved or shown; raises NonFiniteError."""
        figures, self._figures = self._figures, None
        if figures is not None and (what := self.state.window.add(figures)) is not None:
            raise self._non_finite(f"{what} is not finite; the weights are not touched by it and")

    def save(self) -> None:
        """Begin to write a checkpoint of the present step, which `Saver.finish` waits for; unless there is one.

        Raises:
            NonFiniteError: the state is spoilt; nothing is written.
            CannotWriteError: the checkpoint before it could not be written.
        """
        state, best = self.state, self.evaluations.best
        self._settle()
        self.saver.finish()
        self.snapshots.finish()  # of what is saved, all snapshots before it are kept
        if self.saver.newest == state.step:
            return
        self._refuse_spoilt()
        if self.parallel.is_first:
            self.run.history.sync()
            state.metrics = self.run.history.position
        self.saver.begin(state.step, state.parts, state.told, best.step if best else None)

    def _snapshot(self) -> None:
        """Begin to keep the averages by a power of time, if that is due and they are not kept."""
        if self._is_snapshot_due:
            self._settle()
            self._refuse_spoilt()
            self.snapshots.begin(self.state.step, self.state.power.parts, {"step": self.state.step})

    @property
    def _is_snapshot_due(self) -> bool:
        settings, step = self.settings.power_ema, self.state.step
        return settings is not None and step not in (0, self.snapshots.newest) and self._is_due(settings.every)

    def _refuse_spoilt(self) -> None:
        step = self.state.step
        if (spoilt := next(filter(None, self.parallel.gather(self.state.spoilt)), None)) is not None:
            raise self._non_finite(f"{spoilt} is not finite after step {step}; this is not saved and")

    def _non_finite(self, what: str) -> NonFiniteError:
        self.saver.finish()
        kept = self.saver.newest
        return NonFiniteError(
            what
            + (f" the checkpoint of step {kept} is kept" if kept is not None else " no checkpoint was written yet")
            + "; try a lower training.learning_rate, a longer training.warmup, a smaller training.max_grad_norm or "
            "training.precision=float32, under another name (--run NAME)"
        )

    def _is_due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.settings.steps

    def _report(self, progress: Progress, trackers: Trackers) -> None:
        self._settle()
        state, window = self.state, self.state.window
        line = window.line(state.step, self.rates.at(state.step - 1))
        left = (self.settings.steps - state.step) * window.seconds / window.steps
        if self.parallel.is_first:
            self.run.history.append(line)
        progress.show(line, left)
        trackers.write(line)
        state.window = MetricAverages()

    def _look(self, progress: Progress, trackers: Trackers) -> None:
        """Whatever is to be seen of the weights of this step, if it is due and not there; a signal ends it in all."""
        self._snapshot()
        self._measure_held_out(progress, trackers)
        self._preview(progress, trackers)
        self._evaluate(progress, trackers)

    def _whole_average(self) -> FlowModel:
        return self.state.whole(self.state.ema.model)

    def _measure_held_out(self, progress: Progress, trackers: Trackers) -> None:
        step = self.state.step
        if not (self.held_out.is_at(step) and self.parallel.first_says(self.held_out.is_due(step))):
            return
        self._settle()
        model = partial(self.state.whole, self.state.model)
        line = self.held_out.measure(model, self._whole_average, step, self.watched)
        if line is None:
            return
        self.run.history.append(line)
        trackers.write(line)
        found = line["held_out"]
        progress.say(
            f"step {step}: held-out loss {found['loss']:.4f}, of the averaged weights {found['averaged_loss']:.4f} "
            f"({found['images']} images)"
        )
        self._draw_curves()

    def _preview(self, progress: Progress, trackers: Trackers) -> None:
        """Draw pictures of this step if they are due and not there: also those that a stop prevented."""
        step = self.state.step
        if not (self.previews.are_at(step) and self.parallel.first_says(self.previews.is_due(step))):
            return
        self._settle()
        drawn = self.previews.draw(self._whole_average(), step, self.watched)
        if drawn is not None:
            progress.say(f"step {step}: drew {drawn}")
            trackers.show(step, self.previews.files(step))
        self._draw_curves()

    def _evaluate(self, progress: Progress, trackers: Trackers) -> None:
        """Evaluate this step's weights if that is due: also where a stop prevented it. The step is saved before."""
        step = self.state.step
        if not (self.evaluations.are_at(step) and self.parallel.first_says(self.evaluations.are_due(step))):
            return
        line = self.evaluations.measure(self._whole_average(), step, self.watched)
        self.saver.finish()
        if line is None:
            return
        self.run.history.append(line)
        self.run.history.sync()
        trackers.write(line)
        progress.note = self.evaluations.told
        progress.say(f"step {step}: {progress.note}")
        best = self.evaluations.best
        checkpoint.prune(self.run.checkpoints, step, self.settings.keep, best.step if best else None)
