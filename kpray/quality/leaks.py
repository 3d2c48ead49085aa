"""Text that gives away what the teacher was shown: keypoints, boxes, coordinates, captions.

A sample must read as if its author had seen the picture. What is searched are words about the source, in the
company that makes them so: "the key points of the torso" is a leak, "the key point of the exercise" is none.
Every repeat in a pattern is bounded, so that no text takes more than linear time. All patterns are verbose ones, the
pieces that they share too: a blank is written with a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from kpray.quality.findings import Found, as_faults, quoted
from kpray.schemas import Fault, Turn

_BODY: Final = (
    r"(?:nose|eyes?|ears?|face|head|neck|shoulders?|arms?|elbows?|wrists?|hands?|torso|trunk|body|limbs?"
    r"|hips?|waist|legs?|knees?|ankles?|feet|foot)"
)
_PERSON: Final = (
    r"(?:persons?|people|individuals?|m[ae]n|wom[ae]n|boys?|girls?|child(?:ren)?|players?|skiers?|surfers?|riders?"
    r"|subjects?|athletes?|skaters?|batters?|pitchers?|objects?)"
)
_THE: Final = r"(?:the|these|those|this|his|her|their|its|both|all|each|every|an?)"
_SAYS: Final = (
    r"(?:show|indicate|suggest|say|state|mention|reveal|confirm|place|mark|list|describe|imply|impl(?=ies)|tell"
    r"|refer|agree|disagree|specif(?:y|(?=ies))|include|note|locate|give|provide|contain|position|report)"
    r"(?:s|es|ies|ed|d)?"
)
_NOT: Final = r"(?:(?:do|does|did)(?:\ not|n['’]t)\ |both\ |all\ |also\ |clearly\ |strongly\ |further\ )?"
_ACCORDING: Final = (
    r"(?:according\ to|based\ on|judging\ (?:by|from)|going\ by|looking\ at|as\ (?:seen|shown|stated|indicated"
    r"|mentioned|described|given|noted|listed|specified)\ (?:in|by)"
    r"|indicated\ by|derived\ from|inferred\ from|given|per|from|by)"
)

_KEYPOINTS: Final = rf"""
    key-?points?\b                                          # one word, whatever it is about
  | \b(?:detected|visible|available|labell?ed|annotated|body|pose|joint|facial|skeletal|{_BODY}|
       (?:person|man|woman|boy|girl|player|child)['’]s)\ key\ points?\b
  | \b(?:according\ to|based\ on|judging\ (?:by|from)|looking\ at|(?:indicated|shown|suggested|defined)\ by|
       (?:arrangement|positions?|locations?|set|placement|alignment|list)\ of)\ (?:{_THE}\ )?key\ points?\b
  | \bkey\ points?\ (?:(?:clearly|also)\ )?(?:shows?|indicates?|suggests?|reveals?|confirms?|positions?|locations?|
       (?:is|are)\ (?:not\ |clearly\ |mostly\ )?(?:visible|labell?ed|missing|available|hidden|annotated|marked|
       located|placed|at\b)|data|coordinates)
  | \bkey\ points?\ (?:of|for|on|at|around|near|along|like|such\ as|including)\ (?:{_THE}\ )?
       (?:(?:left|right|upper|lower)\ )?(?:{_BODY}|{_PERSON})\b(?!['’]s)
"""

_BOXES: Final = rf"""
    \bbounding[-\ ]?(?:box|rectangle|region|frame)(?:es|s)?\b
  | \bb-?box(?:es)?\b
  | \b(?:detection|object|annotation)\ box(?:es)?\b
  | \bperson\ box(?:es(?!\ (?:with|against|in)\b))?\b
  | \bbox(?:es)?\ (?:coordinates?|annotations?|positions?)\b
  | \bbox(?:es)?\ (?:drawn\ |given\ |provided\ )?(?:around|enclosing|surrounding|given\ for|provided\ for)
       \ (?:{_THE}\ )?(?:\w+\ )?{_PERSON}\b
  | \bboxes\ (?:of|for)\ (?:{_THE}\ )?(?:two\ |three\ )?(?:people|persons?|players|objects)
       \ (?:overlap|intersect|touch|show|indicate|suggest|reveal|lie|cover|reach|are\ (?:close|far|apart|next))\b
  | \b(?:according\ to|based\ on|judging\ (?:by|from))\ (?:{_THE}\ )?box(?:es)?\b
  | \b{_PERSON}['’]s?\ box(?:es)?\ (?:covers?|spans?|reach(?:es)?|starts?|ends?|overlaps?|extends?|lies|touch(?:es)?|is
       \ (?:larger|smaller|higher|lower|wider|taller|the\ largest))\b
  | \b(?:the|their|these|two|both)\ boxes\ (?:overlap|intersect|indicate|suggest|show)\b
"""

_COORDINATES: Final = rf"""
    \b[xyz][-\ ]?(?:coordinates?|values?|axis|positions?)\b
  | \b(?:{_THE}|no|any|provided|given|normali[sz]ed|exact|approximate|identical|similar|same|pixel|image|box|spatial|
       numeric(?:al)?|of|by|in|from|on|person['’]s)\ coordinates?\b(?!\ (?:team|effort|attack|event|outfit))
  | \b{_BODY}\ coordinates?\b(?!\ (?:with|well|to|in|{_THE})\b)
  | \bcoordinates?\ (?:given|provided|shows?|indicates?|suggests?|reveals?|confirms?|places?|of|for
       |system|values?|data|are|is|lie|that)\b
"""

_ON_PAPER: Final = (
    r"(?:books?|margins?|pencil|pens?|pages?|paper|poster|whiteboard|blackboard|notebook|handwritten|writes?|writing"
    r"|sheets?|score|manuscript|maps?|magazine|newspaper|document)"
)
_ANNOTATIONS: Final = rf"""
    \bannotat(?:ions?|ed)\b(?![^.!?\n]{{0,120}}\b{_ON_PAPER}\b)(?<!write\ annotations)(?<!writes\ annotations)
       (?<!writing\ annotations)
  | \bun-?labell?ed\ (?:(?:left|right|body)\ )?(?:{_BODY}|parts?|points?|joints?|{_PERSON})\b
  | \b{_BODY}\ (?:is|are|was|were|remains?)\ (?:not\ |un-?)labell?ed\b
  | \b(?:labell?ed|marked|flagged|tagged|recorded|listed)\ as\ (?:not\ |partially\ |being\ )?(?:visible|hidden|occluded|
       invisible|seen|unseen|zero|missing|unlabell?ed)\b
  | \b{_BODY}\ (?:is|are)\ labell?ed\b
  | \bvisibility\ (?:flags?|values?|scores?|is\ (?:\d|zero)
       |of\ (?:\d|zero|points|(?:{_THE}\ )?(?:(?:left|right)\ )?{_BODY}\b))
  | \bhas\ (?:a\ )?visibility\b
  | \blabels\ {_NOT}(?:indicate|suggest|mark|confirm|tell|place)
  | \bground[-\ ]truth\b
"""

_CAPTIONS: Final = rf"""
    \bcaptions?\ {_NOT}(?:{_SAYS}|calls?|speaks?|talks?|identif(?:y|ies))\b
  | \b{_ACCORDING}\ (?:{_THE}\ |one\ |some\ |most\ )?captions?\b
  | \b(?:image|picture|photo|scene|provided|given|several|multiple|most|some|all|two|three|four|five)\ (?:of\ the\ )?
       (?:(?:two|three|four|five)\ )?captions\b(?!\ on\b)
  | (?<!read\ )(?<!reads\ )(?<!reading\ )\bthe\ captions\b(?!\ (?:on|below|beneath|under|of|at|next)\b)
  | \bas\ captioned\b
  | \b(?:first|second|third|fourth|fifth|last)\ (?:caption|sentence\ of\ the\ (?:context|description|input))\b
  | \bcaptions\ (?:given|provided|above|below)\b
"""

_GIVEN_INFORMATION: Final = rf"""
    \b(?:provided|given|supplied|available|input)\ (?:(?:image|scene|visual|contextual|textual|picture)\ )?
       (?:information|info|details|data|descriptions?|context|text|input|metadata)\b
  | \b(?:information|info|details|data|descriptions?|context|text)\ (?:(?:that|which)\ )?
       (?:(?:is|are|was|were|has\ been|have\ been)\ )?(?:not\ )?(?:provided|given|available|supplied)\b
       (?!\ (?:by|to|on\ a|at\ the)\b)
  | \b(?:according\ to|based\ on|judging\ (?:by|from)|as\ (?:described|stated|mentioned|given|indicated|shown|noted)
       \ (?:in|by)|from|per|in|within)\ the\ (?:(?:scene|image|picture|textual|given)\ )?
       (?:descriptions?|texts?|data|input|information|metadata|prompt)\b
       (?!\ (?:of|desk|board|message|on|cent(?:er|re)|sheet))
  | \bthe\ (?:(?:scene|image|picture|textual)\ )?(?:descriptions?|data|inputs?|prompt|metadata)\ {_NOT}{_SAYS}\b
  | \bthe\ (?:context|text)\ {_NOT}(?:mention|list|include|describe|specify|refer)(?:s|es|ed|d)?\b
  | \bas\ described\b(?!\ (?:by|above|earlier|before)\b)
  | \bthe\ described\ (?:setting|scene|picture|image|person|people)\b
"""

_POSE_DATA: Final = rf"""
    \bjoints?\ (?:(?:numbers?|no\.?|index|indices|\#)\ ?)?\d+\b
  | \b(?:pose|skelet(?:on|al)|joint|posture|landmark)\ (?:data|estimat(?:e|es|ion|or)|information|detection|detector|
       coordinates|annotations?|positions|locations|landmarks?|points)\b
  | \b(?:detected|estimated|predicted|extracted)\ (?:pose|joints?|skeleton|limbs?|{_BODY}|{_PERSON})\b
  | \bskeletons?\ (?:shows?|indicates?|suggests?|reveals?|confirms?)\b(?!\ (?:its|off)\b)
  | \bstick[-\ ]figure\ (?:of|for)\b
  | \bnormali[sz]ed\b
"""

_UNIT: Final = (
    r"(?:lit(?:er|re)s?|ml|cl|l|m|cm|mm|km|met(?:er|re)s?|miles?|inch(?:es)?|f(?:ee|oo)?t|kg|kilo\w*|g|grams?|pounds?"
    r"|tons?|s|secs?|seconds?|minutes?|hours?|h|percent|per|points?|euros?|dollars?|cents?|degrees)"
)
_NUMBERS: Final = rf"""
    (?<![\w.,$€£])0\.\d{{1,6}}\b(?!\s?(?:%|‰|{_UNIT}\b))     # a fraction of the picture
  | \b\d{{1,5}}(?:\.\d{{1,4}})?[-\ ]?(?:px|pixels?)\b
  | \b\d{{3,4}}\s?[x×]\s?\d{{3,4}}\b                          # the size of a picture
  | [\[(]\s?\d{{1,4}}(?:\.\d{{1,6}})?(?:\s?,\s?\d{{1,4}}(?:\.\d{{1,6}})?){{1,60}}\s?[\])]
  | \b(?:at|near|around|from|to)\ \d{{2,4}}(?:\.\d{{1,4}})?,\ ?\d{{2,4}}\b(?!,|\ (?:and|or)\ \d)
  | \b[xyXY]\s?[=:]\s?\d
"""

_LEAKS: Final = {
    reason: (re.compile(pattern, re.IGNORECASE | re.VERBOSE), re.compile("|".join(hints), re.IGNORECASE), detail)
    for reason, pattern, hints, detail in (
        (
            "mentions_keypoints",
            _KEYPOINTS,
            ("key.?point",),
            "mentions {found}; write as if you saw the picture, with no word about keypoints",
        ),
        (
            "mentions_boxes",
            _BOXES,
            ("box", "bounding"),
            "mentions {found}; write as if you saw the picture, with no word about boxes around people or things",
        ),
        (
            "mentions_coordinates",
            _COORDINATES,
            ("coordinate", r"\b[xyz][- ]?(?:value|axis|pos)"),
            "mentions {found}; write as if you saw the picture and say in words where things are",
        ),
        (
            "mentions_annotations",
            _ANNOTATIONS,
            ("annotat", "label", "visibility", "ground.truth", "ed as "),
            "mentions {found}; write as if you saw the picture, with no word about annotations or labels",
        ),
        (
            "mentions_captions",
            _CAPTIONS,
            ("caption", "sentence of the"),
            "mentions {found}; write as if you saw the picture yourself, with no word about captions",
        ),
        (
            "mentions_given_information",
            _GIVEN_INFORMATION,
            ("information", "info ", "details", "data", "descri", "context", "text", "input", "prompt"),
            "says {found}, as if the picture had been told to you; write as if you saw it",
        ),
        (
            "mentions_pose_data",
            _POSE_DATA,
            ("joint", "pose ", "skelet", "posture ", "landmark", "ted ", "stick", "normali"),
            "mentions {found}; write as if you saw the picture, with no word about pose data or joints",
        ),
        (
            "states_coordinates",
            _NUMBERS,
            (r"\d",),
            "states {found}; say where things are in words, with no coordinate, fraction or size in pixels",
        ),
    )
}
"""By reason: what is a leak, a cheap test whether it is worth looking, and how it is told."""


def leak_faults(turns: Sequence[Turn]) -> list[Fault]:
    """All leaks in a conversation, turn by turn, in the order of the reasons and then of the text.

    >>> [fault.reason for fault in leak_faults([Turn("gpt", "The keypoints show a raised arm.")])]
    ['mentions_keypoints']
    >>> leak_faults([Turn("gpt", "The key point of the exercise is balance.")])
    []
    """
    return [fault for index, turn in enumerate(turns) for fault in as_faults("leak", turns, index, _find(turn.value))]


def _find(text: str) -> Iterator[Found]:
    for reason, (pattern, hint, detail) in _LEAKS.items():
        if hint.search(text):
            for match in pattern.finditer(text):
                yield Found(reason, match.start(), match.end(), detail.format(found=quoted(match.group())))
