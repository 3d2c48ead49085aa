"""Replies as models really write them, and what is made of them."""

from __future__ import annotations

import pytest

from kpray.prompts import KINDS, ParseFailure
from kpray.schemas import QuestionAnswer

PAIR = (QuestionAnswer("Is he standing?", "Yes, he is."),)
TWO = (*PAIR, QuestionAnswer("Is he alone?", "No, a dog is with him."))

J1 = '{"question": "Is he standing?", "answer": "Yes, he is."}'
J2 = '{"question": "Is he alone?", "answer": "No, a dog is with him."}'
TURNS = f'{{"turns": [{J1}, {J2}]}}'
B1 = "Question: Is he standing?\nAnswer: Yes, he is."
B2 = "Question: Is he alone?\nAnswer: No, a dog is with him."

READ = {
    "json as asked": (TURNS, TWO),
    "json indented": (TURNS.replace("{", "{\n  ").replace("[", "[\n"), TWO),
    "json in a fence": (f"```json\n{TURNS}\n```", TWO),
    "json in a fence without a language": (f"```\n{TURNS}\n```", TWO),
    "json in a fence that never closes": (f"```json\n{TURNS}", TWO),
    "json after prose": (f"Sure! Here is the conversation you asked for:\n\n{TURNS}", TWO),
    "json before prose": (f"{TURNS}\n\nLet me know if you need more.", TWO),
    "json between prose with brackets": (f"Here [5 pairs] are {{some}} turns:\n{TURNS}\nDone (see above).", TWO),
    "json with trailing commas": ('{"turns": [' + J1[:-1] + ",}, " + J2 + ",],}", TWO),
    "trailing commas keep commas in strings": (
        '[{"question": "What is [a, b,] here?", "answer": "It is ,} so.",},]',
        (QuestionAnswer("What is [a, b,] here?", "It is ,} so."),),
    ),
    "json with typographic quotes": (J1.translate({34: "“"}).replace("“:", "”:"), PAIR),
    "json with typographic quotes inside": (
        '{"question": "Who is “he”?", "answer": "A man.",}',
        (QuestionAnswer("Who is “he”?", "A man."),),
    ),
    "json list instead of an object": (f"[{J1}, {J2}]", TWO),
    "json pair alone": (J1, PAIR),
    "json under another name": (TURNS.replace("turns", "conversation"), TWO),
    "json with capital keys": (TURNS.replace("question", "Question").replace("answer", "Answer"), TWO),
    "json with short keys": (J1.replace("question", "q").replace("answer", "a"), PAIR),
    "json with numbered pairs": ('{"turns": [{"id": 1, ' + J1[1:] + "]}", PAIR),
    "json with a byte order mark": ("\ufeff" + TURNS, TWO),
    "json with CRLF": (TURNS.replace(', "', ',\r\n"').replace("}]", "}\r\n]"), TWO),
    "json twice the same": (f"{J1}\n{J1}", PAIR),
    "json with a line break in a string": (
        '{"question": "Is he\nstanding?", "answer": "Yes."}',
        (QuestionAnswer("Is he\nstanding?", "Yes."),),
    ),
    "json with escapes": (
        r'{"question": "Is \"he\" at the caf\u00e9?", "answer": "Yes."}',
        (QuestionAnswer('Is "he" at the café?', "Yes."),),
    ),
    "json with blanks around the text": (J1.replace('"Yes', '"  Yes').replace('is."', 'is. \\n"'), PAIR),
    "blocks as asked": (f"{B1}\n===\n{B2}", TWO),
    "blocks with a closing line": (f"{B1}\n===\n{B2}\n===\n", TWO),
    "blocks without dividing lines": (f"{B1}\n\n{B2}", TWO),
    "blocks close together": (f"{B1}\n{B2}", TWO),
    "blocks divided by dashes": (f"{B1}\n\n---\n\n{B2}", TWO),
    "blocks with CRLF": (f"{B1}\n===\n{B2}\n".replace("\n", "\r\n"), TWO),
    "blocks with a byte order mark": (f"\ufeff{B1}\n===\n{B2}", TWO),
    "blocks in a fence": (f"```\n{B1}\n===\n{B2}\n```", TWO),
    "blocks after prose": (f"Sure, here are two pairs.\n\n{B1}\n===\n{B2}", TWO),
    "blocks in LLaVA's form": (
        "Question:\nIs he standing?\n===\nAnswer:\nYes, he is.\n===\nQuestion:\nIs he alone?\n===\nAnswer:\n"
        "No, a dog is with him.",
        TWO,
    ),
    "labels in bold": (f"{B1}\n{B2}".replace("Question:", "**Question:**").replace("Answer:", "**Answer:**"), TWO),
    "labels in bold, colon outside": (B1.replace("Question:", "**Question**:").replace("Answer:", "**Answer**:"), PAIR),
    "whole lines in bold": ("**Question: Is he standing?**\n**Answer: Yes, he is.**", PAIR),
    "labels in italics": ("*Question:* Is he standing?\n_Answer:_ Yes, he is.", PAIR),
    "labels as headings": ("### Question: Is he standing?\n### Answer: Yes, he is.", PAIR),
    "short labels": ("Q: Is he standing?\nA: Yes, he is.", PAIR),
    "short numbered labels": (
        "Q1: Is he standing?\nA1: Yes, he is.\n\nQ2: Is he alone?\nA2: No, a dog is with him.",
        TWO,
    ),
    "numbered labels": ("Question 1: Is he standing?\nAnswer 1: Yes, he is.\nQuestion 2: Is he alone?\nAnswer 2: "
                        "No, a dog is with him.", TWO),
    "numbered bold labels": ("**Question 1:** Is he standing?\n**Answer 1:** Yes, he is.", PAIR),
    "labels in a numbered list": ("1. Question: Is he standing?\n   Answer: Yes, he is.", PAIR),
    "labels in a bulleted list": ("- Question: Is he standing?\n- Answer: Yes, he is.", PAIR),
    "labels in capitals": ("QUESTION: Is he standing?\nANSWER: Yes, he is.", PAIR),
    "answer of two paragraphs": (
        "Question: Is he standing?\nAnswer: Yes.\n\nHe leans on a rail.",
        (QuestionAnswer("Is he standing?", "Yes.\n\nHe leans on a rail."),),
    ),
    "colon within the text": (
        "Question: What does he hold: a bat or a ball?\nAnswer: Both: a bat and a ball.",
        (QuestionAnswer("What does he hold: a bat or a ball?", "Both: a bat and a ball."),),
    ),
}  # fmt: skip

REFUSED = {
    "nothing": ("", "not_json_or_blocks"),
    "blanks": (" \n\t", "not_json_or_blocks"),
    "prose": ("A man stands in a field with his dog.", "not_json_or_blocks"),
    "an apology": ("I'm sorry, but I can't help with that.", "not_json_or_blocks"),
    "a bare JSON string": ('"Is he standing?"', "not_json_or_blocks"),
    "an empty object": ("{}", "unexpected_json"),
    "no turns": ('{"turns": []}', "no_question"),
    "turns that are not a list": ('{"turns": "Is he standing?"}', "unexpected_json"),
    "turns that are not objects": ('{"turns": ["Is he standing?", "Yes."]}', "unexpected_json"),
    "two lists": (f'{{"turns": [{J1}], "more": [{J2}]}}', "unexpected_json"),
    "LLaVA records": ('[{"from": "human", "value": "Is he standing?"}]', "no_question"),
    "a pair without an answer": (f'{{"turns": [{J1}, {{"question": "Is he alone?"}}]}}', "no_answer"),
    "a pair without a question": ('{"turns": [{"answer": "Yes."}]}', "no_question"),
    "an empty answer": (J1.replace("Yes, he is.", "  "), "empty_answer"),
    "an empty question": (J1.replace("Is he standing?", ""), "empty_question"),
    "an answer that is no text": ('{"question": "Is he standing?", "answer": true}', "not_text"),
    "an answer that is a list": ('{"question": "Who?", "answer": ["A", "B"]}', "not_text"),
    "an answer that is null": ('{"question": "Who?", "answer": null}', "not_text"),
    "a key twice": ('{"question": "Who?", "answer": "A.", "answer": "B."}', "repeated_field"),
    "a key twice in two spellings": ('{"question": "Who?", "answer": "A.", "Answer": "B."}', "repeated_field"),
    "two objects that differ": (f"{J1}\n{J2}", "several_json"),
    "cut in the second pair": (TURNS[:-40], "broken_json"),
    "cut before the end": (TURNS[:-1], "broken_json"),
    "cut in a fence": (f"```json\n{TURNS[:-30]}\n```", "broken_json"),
    "single quotes": ("{'question': 'Who?', 'answer': 'A man.'}", "broken_json"),
    "a comment": ('{"question": "Who?", // the man\n "answer": "A man."}', "broken_json"),
    "a missing comma": ('{"question": "Who?" "answer": "A man."}', "broken_json"),
    "two commas": ('{"question": "Who?",, "answer": "A man."}', "broken_json"),
    "an unescaped quote": ('{"question": "Who is "he"?", "answer": "A man."}', "broken_json"),
    "a lone surrogate": (r'{"question": "Who?", "answer": "A \ud800 man."}', "bad_characters"),
    "a control character": (r'{"question": "Who?", "answer": "A \u0007 man."}', "bad_characters"),
    "json and blocks": (f"{J1}\n{B2}", "leftover_label"),
    "blocks and json": (f"{B1}\n{J2}", "leftover_format"),
    "json in an answer": ('{"question": "Who?", "answer": "{\\"x\\": 1}"}', "leftover_format"),
    "labels in an answer": ('{"question": "Who?", "answer": "A man.\\nAnswer: a boy."}', "leftover_label"),
    "a question without an answer": ("Question: Is he standing?", "no_answer"),
    "a last question without an answer": (f"{B1}\n===\nQuestion: Is he al", "unanswered_question"),
    "question and answer on one line": ("Question: Is he standing? Answer: Yes.", "leftover_label"),
    "pairs run together": (f"{B1} **Question 2:** Is he alone?", "leftover_label"),
    "short labels on one line": ("Q: Is he standing? A: Yes.\nA: Or not.", "leftover_label"),
    "labels inside JSON": (J1.replace("Is he", "Question: Is he"), "leftover_label"),
    "two questions in a row": (f"Question: Who?\n{B1}", "unanswered_question"),
    "an answer first": (f"Answer: Yes.\n{B1}", "no_question"),
    "two answers": (f"{B1}\nAnswer: Or not.", "no_question"),
    "an empty answer block": ("Question: Is he standing?\nAnswer:\n===", "empty_answer"),
    "an empty question block": ("Question:\nAnswer: Yes.", "empty_question"),
    "prose after a dividing line": (f"{B1}\n===\nLet me know if you need more.", "unlabelled_text"),
    "a fence that never closes": (f"```\n{B1}", "truncated"),
    "a description among pairs": (f"{B1}\nDescription: A man stands.", "unexpected_label"),
}


@pytest.mark.parametrize(("reply", "expected"), READ.values(), ids=READ)
def test_reply_is_read(reply: str, expected: tuple[QuestionAnswer, ...]) -> None:
    assert KINDS["conversation"].parse(reply, instruction=None) == expected


@pytest.mark.parametrize(("reply", "reason"), REFUSED.values(), ids=REFUSED)
def test_reply_is_refused(reply: str, reason: str) -> None:
    with pytest.raises(ParseFailure) as caught:
        KINDS["conversation"].parse(reply, instruction=None)
    assert caught.value.reason == reason


@pytest.mark.parametrize("reply", [J1, f"[{J1}]", B1, f"```json\n{J1}\n```"])
def test_reasoning_takes_one_pair(reply: str) -> None:
    assert KINDS["reasoning"].parse(reply, instruction=None) == PAIR


@pytest.mark.parametrize("reply", [TURNS, f"[{J1}, {J2}]", f"{B1}\n===\n{B2}"])
def test_reasoning_refuses_more_than_one_question(reply: str) -> None:
    with pytest.raises(ParseFailure) as caught:
        KINDS["reasoning"].parse(reply, instruction=None)
    assert caught.value.reason == "too_many_questions"
