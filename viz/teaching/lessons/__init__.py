"""Three guided lessons of some twenty minutes: predict, run, check, explain.

A lesson is a module with a ``LESSON``; to add one, write such a module and name it here. What is right is
measured on the reader's own run, never written down beforehand.
"""

from __future__ import annotations

from exoabm.viz.teaching.lesson import Lesson, Step, Verdict
from exoabm.viz.teaching.lessons.how_far import LESSON as HOW_FAR
from exoabm.viz.teaching.lessons.message_in_a_bottle import LESSON as MESSAGE_IN_A_BOTTLE
from exoabm.viz.teaching.lessons.who_talks_to_whom import LESSON as WHO_TALKS_TO_WHOM

LESSONS: tuple[Lesson, ...] = (MESSAGE_IN_A_BOTTLE, HOW_FAR, WHO_TALKS_TO_WHOM)

__all__ = ["LESSONS", "Lesson", "Step", "Verdict"]
