"""Which model serves a request that names one, or none. A question: it changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from policies.request import Kind
from policies.view import ModelView


def place(models: Sequence[ModelView], *, kind: Kind, language: str, name: str) -> str | None:
    """The name of the model to use; None when there is none, which ends a request `NO_MODEL`.

    1. A known name is taken at its word, whatever the kind: the engine refuses what it cannot do.
    2. An unknown name is not guessed at. Clients that send another server's name ("gpt-4") must be told,
       or be mapped to the empty name by the edge that knows them.
    3. The empty name means the default among the models of that kind, in configured order:
       a. one whose languages contain the request's;
       b. one for every language;
       c. when the language is unknown, any of them.
    """
    if name:
        return name if any(model.name == name for model in models) else None
    able = [model for model in models if kind in model.kinds]
    special = [model for model in able if language in model.languages]
    general = [model for model in able if not model.languages]
    rest = [] if language else able
    return next((model.name for model in (*special, *general, *rest)), None)
