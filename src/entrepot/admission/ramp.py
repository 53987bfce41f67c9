"""How fast the use of `priority` grows, deployment by deployment, as one gateway process knows it.

What all gateways use is in counters like any other: one for each deployment and quarter hour, that refuses nobody. A
request is looked at before its tokens are known, so it is admitted while the counter is below what is allowed: its
prompt is counted at once, its answer when it has been given. What other processes have used is asked for when a request
comes and READ_US have passed, and until that is answered the request goes by what was known.
"""

from functools import partial

from entrepot.admission.desk import Desk
from entrepot.admission.holds import Need
from entrepot.admission.measures import MetLimit
from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.draws import Grant, Shortage
from entrepot.core.periods import SECOND, Instant
from entrepot.core.service_tiers import PriorityRules, quarter_of, tokens_allowed, window_of

READ_US = SECOND // 4

_ANY_NUMBER = 10**15


class _Course:
    """Of one deployment in one quarter hour. used: tokens so far, before: of the last one, as far as is known."""

    __slots__ = ("before", "limits", "met", "quarter", "read_at", "used")

    def __init__(self, name: str, quarter: int, before: int) -> None:
        self.quarter = quarter
        self.used = 0
        self.before = before
        self.read_at: Instant = -READ_US
        self.limits = (_limit(name, quarter), _limit(name, quarter - 1))
        self.met = MetLimit(ServedLimit(self.limits[0], "priority", f"the deployment {name}"))


class Ramps:
    """Of one gateway process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._courses: dict[str, _Course] = {}

    def has_room(self, name: str, rules: PriorityRules, at: Instant) -> bool:
        """Whether one more request may be served at priority. name: of the deployment, with its project's."""
        course = self._course(name, at)
        if at - course.read_at >= READ_US:
            course.read_at = at
            self._desk.read(course.limits, at, partial(_told, course))
        return course.used < tokens_allowed(rules, course.before, at)

    def need(self, name: str, prompt_tokens: int, at: Instant) -> Need:
        """What a request takes of the counter, which has been taken."""
        course = self._course(name, at)
        course.used += prompt_tokens
        return self._desk.take(course.met, prompt_tokens, at)

    def _course(self, name: str, at: Instant) -> _Course:
        quarter = quarter_of(at)
        course = self._courses.get(name)
        if course is None or course.quarter < quarter:
            before = course.used if course is not None and course.quarter == quarter - 1 else 0
            course = self._courses[name] = _Course(name, quarter, before)
        return course


def _told(course: _Course, result: tuple[Grant, ...] | Shortage | None) -> None:
    if result is not None and not isinstance(result, Shortage):  # None while the counters cannot be asked.
        course.used, course.before = (_ANY_NUMBER - grant.left for grant in result)


def _limit(name: str, quarter: int) -> Limit:
    return Limit(f"priority/{name}/{quarter}", "priority_tokens", "window", _ANY_NUMBER, window_of(quarter))
