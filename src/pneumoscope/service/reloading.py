"""Bundle and tokens loaded again, in one way whoever asks: a signal, or a token of scope admin."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from pneumoscope.core.errors import PneumoscopeError
from pneumoscope.service.guard import Door
from pneumoscope.service.journal import Journal
from pneumoscope.service.problems import Problem
from pneumoscope.service.service import Service
from pneumoscope.service.serving import Served
from pneumoscope.service.tokens import Holder


class Reloader:
    """Loads again what the service answers from, and to whom; says so in log and metrics.

    Args:
        service: Whose bundle it is.
        door: Whose tokens they are.
        holders: Reads the tokens.
        journal: Where it is written.
    """

    def __init__(
        self,
        service: Service,
        door: Door,
        *,
        holders: Callable[[], Sequence[Holder] | None],
        journal: Journal,
    ) -> None:
        self._service, self._door, self._journal = service, door, journal
        self._holders = holders

    async def reload(self) -> Served:
        """The bundle that answers from now on; tokens are replaced even where it is refused.

        Raises:
            Problem: `tokens-refused` or `bundle-refused`; the present ones go on.
        """
        metrics = self._service.metrics
        try:
            self._door.holders = await asyncio.to_thread(self._tokens)
            served = await asyncio.to_thread(self._service.live.reload)
        except Problem as problem:
            metrics.reloaded("refused")
            if problem.__cause__ and not isinstance(problem.__cause__, PneumoscopeError):
                self._journal.failure(problem.__cause__)
            self._journal.write(_REFUSED, reason=problem.detail)
            raise
        metrics.reloaded("done")
        self._journal.write("reloaded", model_id=served.predictor.model_id)
        return served

    def _tokens(self) -> Sequence[Holder] | None:
        try:
            return self._holders()
        except Exception as error:  # whatever it is, who has a token now keeps it
            raise Problem("tokens-refused", "the file of tokens is unusable.") from error


_REFUSED = "reload refused; the present bundle goes on"
