"""Whom the system ends first when memory runs out: `oom-score-adj` and `oom-score-adj-values`.

Linux reads the score from /proc; where there is none the option is accepted and does nothing, as in Redis. Owns the
score that the process began with, which comes back when the option is turned off.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Optional

    from server.config.configuration import Config
    from server.log import Log

PATH = "/proc/self/oom_score_adj"
MASTER, REPLICA, CHILD = range(3)  # places in oom-score-adj-values
LIMIT = 1000  # of the system, either way
UNPRIVILEGED = (
    "The oom-score-adj-values configuration may not work for non-privileged processes! Please consult the "
    "documentation."
)
FAILED = "Failed to set current oom_score_adj. Check server logs."


class OomScore:
    """The score of this process. `first` is what it was before anything was set, None while nothing is."""

    __slots__ = ("config", "log", "first")

    def __init__(self, config: Config, log: Log) -> None:
        self.config = config
        self.log = log
        self.first: Optional[int] = None
        config.on_change("oom-score-adj", self.follow)
        config.on_change("oom-score-adj-values", self.follow)
        config.on_change("oom-score-adj-values", self.judge_order)

    def follow(self, config: Config) -> Optional[str]:
        """Obey the configuration; why that is impossible, or None."""
        return None if self.apply() else FAILED

    def judge_order(self, config: Config) -> Optional[str]:
        """Say it when a replica or a child would have to be made safer than a master: that takes privileges."""
        for value, following in zip(config.oom_score_adj_values, config.oom_score_adj_values[1:]):
            if following < value:
                self.log.warning(UNPRIVILEGED)
        return None

    def apply(self, place: Optional[int] = None) -> bool:
        """Set the score of a master, a replica or a child, by default of what this process is; False if it failed."""
        config = self.config
        if config.oom_score_adj == "no":
            first, self.first = self.first, None
            return first is None or self.write(first)
        if self.first is None:
            try:
                with open(PATH) as file:
                    self.first = int(file.read())
            except OSError:
                return True  # another system
        if place is None:
            place = REPLICA if config.replicaof else MASTER
        score = config.oom_score_adj_values[place]
        if config.oom_score_adj != "absolute":
            score += self.first
        return self.write(max(-LIMIT, min(LIMIT, score)))

    def write(self, score: int) -> bool:
        try:
            with open(PATH, "w") as file:
                file.write("%d" % score)
        except OSError as error:
            self.log.warning("Unable to write oom_score_adj: %s" % error.strerror)
            return False
        return True
