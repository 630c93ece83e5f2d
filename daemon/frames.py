"""What an engine's frame is to the scheduler: the same fact without its text. Live daemon and simulator share it."""

from __future__ import annotations

from engines import engine as frames
from policies import messages as events


def event_of(model: str, frame: frames.Frame) -> events.InnerEvent | None:
    """The event a frame is; None where it tells the scheduler nothing (the progress of a load)."""
    match frame:
        case frames.Prepared():
            return events.Prepared(frame.request_id, frame.prompt_tokens, frame.cached_tokens)
        case frames.Stepped():
            emitted = tuple((given.request_id, len(given.tokens)) for given in frame.emitted)
            return events.Stepped(
                model, emitted, frame.prefilled_tokens, frame.duration_s, frame.used_cells
            )
        case frames.Stopped():
            return events.Stopped(frame.request_id, events.Halt(frame.halt), frame.too_long)
        case frames.Loaded():
            return events.Loaded(model, frame.sequences, frame.load_s, frame.used_bytes)
        case _:
            return _of_process(model, frame)


def _of_process(
    model: str, frame: frames.Loading | frames.LoadFailed | frames.Unloaded | frames.Died
) -> events.InnerEvent | None:
    match frame:
        case frames.LoadFailed():
            return events.LoadFailed(model)
        case frames.Unloaded():
            return events.Unloaded(model)
        case frames.Died():
            return events.EngineDied(model, frame.inside)
        case frames.Loading():
            return None
