"""The configured models' files: each is looked at before the daemon starts, so that a wrong one is said in words."""

from __future__ import annotations

from collections.abc import Iterable

from daemon.config import Model
from daemon.errors import ModelError
from engines.gguf import GgufError, Header, read_header
from policies.request import Kind


def inspect(model: Model) -> Header:
    """What the model's file says of itself; a ModelError names the file and the remedy."""
    path = model.path
    if not path.exists():
        raise ModelError(
            f'model "{model.name}": {path}: no such file. '
            "Correct `path` in the configuration, or download the model there."
        )
    if not path.is_file():
        raise ModelError(f'model "{model.name}": {path} is no file. Name the .gguf file itself.')
    try:
        return read_header(path)
    except GgufError as error:
        said = str(error).rstrip(".").removeprefix(f"{path} ")
        raise ModelError(
            f'model "{model.name}": {path}: {said}. Download it again, or name another file.'
        ) from error
    except OSError as error:
        raise ModelError(
            f'model "{model.name}": {path}: cannot be read: {error.strerror}.'
        ) from error


def kinds_of(model: Model, header: Header) -> tuple[Kind, ...]:
    """What the model can serve of what is configured: its file decides whether it makes vectors or writes."""
    if header.embeds:
        return (Kind.EMBED,)
    return tuple(kind for kind in model.kinds if kind is not Kind.EMBED)


def inspect_all(models: Iterable[Model]) -> dict[str, Header]:
    """Every header by the model's name; the first wrong file is the error."""
    return {model.name: inspect(model) for model in models}
