"""Is what a sentence mentions said to be there, to be absent, or to be possible: by words around it, as NegEx does.

Written anew; the idea is that of NegEx: trigger words have a scope, which ends at words that turn the sentence.
"""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["Assertion", "assertion_of"]

Assertion = Literal["positive", "negative", "uncertain"]

# A scope ends here. After a comma only where something new begins: "no consolidation, effusion or pneumothorax" is one
# list, "no consolidation, small left effusion" is not.
_TURN = re.compile(
    r";|:|\b(?:but|however|although|though|except|yet|whereas|apart from|aside from|other than|which|causing)\b"
    r"|,(?= (?:and )?(?:there (?:is|are)|an? |the |new|small|moderate|large|mild|minimal|trace|severe|dense|increased"
    r"|increasing|stable|unchanged|persistent|bilateral|right|left|consistent with|compatible with|representing)\b)"
)
_NOT_NEGATING = re.compile(
    r"\b(?:no|without) (?:significant |interval |appreciable |further )*(?:change|increase|decrease|progression)\b"
    r"|\bnot (?:only|significantly changed)\b"
)
_NEGATING = re.compile(
    r"\b(?:no|not|without|neither|nor|never|cannot see|free of|clear of|negative for|absence of|lack of|resolution of"
    r"|no longer|rather than|ruled out for)\b"
)
_NEGATED_BEHIND = re.compile(
    r"^[a-z ]{0,30}?\b(?:(?:is|are|was|were) (?:absent|not |no longer)|not (?:seen|identified|present|evident)"
    r"|(?:has|have) (?:since )?(?:been )?(?:resolved|cleared)|(?:is|are|was|were) (?:ruled out|excluded))"
)
_DOUBTING = re.compile(
    r"\b(?:possib(?:le|ly)|questionable|may (?:be|represent|reflect|indicate|also)|might|could (?:be|represent|reflect)"
    r"|suspicious for|suspected|concern(?:ing)? for|equivocal|cannot exclude|can not exclude|cannot rule out|versus|vs"
    r"|difficult to exclude|not excluded)\b|\?"
)
_DOUBTED_BEHIND = re.compile(
    r"^[^;:]{0,60}?\b(?:(?:can ?not|could not|can't) be (?:entirely |completely )?(?:excluded|ruled out)"
    r"|(?:is|are) not (?:entirely |completely )?excluded|(?:is|are) (?:possible|questionable|suspected|equivocal))\b"
)


def assertion_of(sentence: str, start: int, end: int) -> Assertion:
    """Tell what a sentence says of a thing that it mentions.

    Doubt goes before denial: "an effusion cannot be excluded" is uncertain.

    Args:
        sentence: in lower case.
        start: where the mention begins.
        end: where it ends; words inside of it count ("the heart is not enlarged").

    Example:
        >>> text = "no consolidation or edema, but there may be an effusion."
        >>> [assertion_of(text, (at := text.index(word)), at + 5) for word in ("consolidation", "edema", "effusion")]
        ['negative', 'negative', 'uncertain']
    """
    turns = [turn.end() for turn in _TURN.finditer(sentence) if turn.end() <= start]
    before = sentence[turns[-1] if turns else 0 : end]
    behind = sentence[end:]
    stop = next((turn.start() for turn in _TURN.finditer(behind)), len(behind))
    behind = behind[:stop]
    if _DOUBTING.search(before) or _DOUBTED_BEHIND.search(behind):
        return "uncertain"
    if _NEGATING.search(_NOT_NEGATING.sub(" ", before)) or _NEGATED_BEHIND.search(behind):
        return "negative"
    return "positive"
