from __future__ import annotations

import copy
import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tiny_families import CHATML_TEMPLATE, MODEL_TYPES, chat, llama_tokenizer, picture, qwen_tokenizer, tiny
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from kpray.errors import ConfigError
from kpray.schemas import Turn
from kpray.training.families import family_of
from kpray.training.families.base import to_messages
from kpray.training.families.llava import V1_TEMPLATE
from kpray.training.labels import ChatLabeller
from kpray.training.types import IGNORED, CannotTrain, Encoded

SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


def reference_ids(tokenizer: Any, prompt: str, image_tokens: int) -> list[int]:
    """As LLaVA: the text before and behind the image is tokenized apart, each with a BOS, of which one stays."""
    chunks = [tokenizer(chunk).input_ids for chunk in prompt.split("<image>")]
    image = [tokenizer.convert_tokens_to_ids("<image>")] * image_tokens
    ids = chunks[0]
    for chunk in chunks[1:]:
        ids = ids + image + chunk[1:]
    return ids


def reference_v1(
    tokenizer: Any, turns: tuple[Turn, ...], image_tokens: int, *, legacy: bool = True
) -> tuple[list[int], list[int]]:
    """LLaVA's v1 conversation and masking: by rounds between "</s>", counted in tokens of the rounds' texts.

    What the counts do not add up for is masked as a whole.
    """
    prompt = SYSTEM + " "
    for turn in turns:
        prompt += f"USER: {turn.value} " if turn.role == "human" else f"ASSISTANT: {turn.value}</s>"
    ids = reference_ids(tokenizer, prompt, image_tokens)
    labels = list(ids)
    labels[0] = IGNORED
    at = 1
    for number, text in enumerate(prompt.split("</s>")):
        if not text:
            break
        parts = text.split("ASSISTANT: ")
        if len(parts) != 2:
            break
        length = len(reference_ids(tokenizer, text, image_tokens))
        instruction = len(reference_ids(tokenizer, parts[0] + "ASSISTANT: ", image_tokens)) - 2
        if number and not legacy:
            length, instruction = length - 1, instruction - 1
        labels[at : at + instruction] = [IGNORED] * instruction
        at += length
    labels[at:] = [IGNORED] * len(labels[at:])
    if at != len(ids):
        labels = [IGNORED] * len(ids)
    return ids, labels


def encode(model_type: str, *said: str, with_image: bool = True) -> Encoded:
    image = picture() if with_image else None
    return family_of(model_type).encode(tiny(model_type).processor, chat(*said), image)


def learned(model_type: str, encoded: Encoded) -> str:
    """What carries loss, as text."""
    tokenizer = tiny(model_type).processor.tokenizer
    return str(tokenizer.decode([int(i) for i in encoded.labels if i != IGNORED]))


def ours_v1(tokenizer: Any, *said: str) -> tuple[list[int], list[int]]:
    labeller = ChatLabeller(tokenizer, V1_TEMPLATE)
    ids, labels = labeller.encode(to_messages(chat(*said), with_image=False))
    return ids.tolist(), labels.tolist()


def runs(tokenizer: Any, labels: list[int]) -> list[str]:
    """Each unbroken run of tokens that carry loss, as text."""
    groups = itertools.groupby(labels, key=lambda label: label != IGNORED)
    return [str(tokenizer.decode(list(run))) for carries_loss, run in groups if carries_loss]


ORDINARY = {
    "one turn": ("<image>\nWhat is the person doing?", "The person's left arm is raised."),
    "three turns": ("<image>\nWhat?", "The left arm.", "And the right?", "It is bent.", "Sure?", "Yes."),
    "blanks around an answer": ("<image>\nWhat?", "  The left arm is bent. ", "And?", " Nothing else.  "),
    "line breaks": ("<image>\nWhat?\nSay it in a list.", "- left arm\n- right arm\n", "And?", "\nDone."),
    "other alphabets": ("<image>\nWas tut die Person dort drüben?", "Sie streckt sich. 伸展 🙂", "Ω?", "ß"),
}


@pytest.mark.parametrize("said", ORDINARY.values(), ids=ORDINARY)
def test_v1_equals_llava_token_by_token(said: tuple[str, ...]) -> None:
    tokenizer = tiny("llava").processor.tokenizer
    encoded = encode("llava", *said)
    ids, labels = reference_v1(tokenizer, chat(*said), image_tokens=16)
    assert encoded.input_ids.tolist() == ids
    assert encoded.labels.tolist() == labels
    assert any(label != IGNORED for label in labels)


def test_an_image_mark_elsewhere_in_the_first_turn_is_moved_to_its_front_as_llava_does() -> None:
    moved = encode("llava", "What is the person doing? <image>", "Running.")
    assert (
        moved.input_ids.tolist() == encode("llava", "<image>\nWhat is the person doing?", "Running.").input_ids.tolist()
    )


BREAKS_LLAVA = {
    "</s> in an answer": ("Which tag?", "The </s> tag.", "Sure?", "Yes."),
    "</s> in a question": ("What is </s> for?", "It ends a line.", "Sure?", "Yes."),
    "ASSISTANT: in an answer": ("Who speaks?", "It says ASSISTANT: hello.", "Sure?", "Yes."),
    "ASSISTANT: in a question": ("What is ASSISTANT: for?", "It begins an answer.", "Sure?", "Yes."),
}


@pytest.mark.parametrize("said", BREAKS_LLAVA.values(), ids=BREAKS_LLAVA)
def test_what_breaks_llavas_masking_does_not_break_ours(said: tuple[str, ...]) -> None:
    tokenizer = llama_tokenizer()
    wanted = [f"{said[1]}</s>", f"{said[3]}</s>"]
    _, reference = reference_v1(tokenizer, chat(*said), image_tokens=0)
    ids, labels = ours_v1(tokenizer, *said)
    assert runs(tokenizer, reference) != wanted
    assert runs(tokenizer, labels) == wanted
    assert ids.count(tokenizer.eos_token_id) == 2


def test_without_the_legacy_blank_llavas_counts_fit_some_vocabularies_only_and_ours_all() -> None:
    tokenizer = llama_tokenizer(legacy=False)  # "USER:" is five tokens behind "</s>" here, and one at a beginning
    said = ("What is the person doing?", "The left arm is bent.", "And the right?", "It is straight.")
    _, reference = reference_v1(tokenizer, chat(*said), image_tokens=0, legacy=False)
    _, labels = ours_v1(tokenizer, *said)
    assert runs(tokenizer, reference) == []
    assert runs(tokenizer, labels) == [f"{said[1]}</s>", f"{said[3]}</s>"]


LITERALS = ("</s>", "<s>", "<image>", "ASSISTANT:", "USER:", "<|im_end|>", "<|image_pad|>", "<|im_start|>assistant\n")


@pytest.mark.parametrize("literal", LITERALS)
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_literal_control_token_is_text(model_type: str, literal: str) -> None:
    answer = f"It says {literal} there."
    plain = encode(model_type, "<image>\nWhat is written?", "It says so.", "And here?", "No.")
    encoded = encode(model_type, f"<image>\nWhat is {literal} for?", answer, f"And {literal} here?", "No.")
    special = set(tiny(model_type).processor.tokenizer.all_special_ids)
    control = [int(i) for i in encoded.input_ids if i in special]
    assert control == [int(i) for i in plain.input_ids if i in special]
    assert answer in learned(model_type, encoded)
    assert learned(model_type, encoded).count(literal) == (3 if literal == _closing(model_type) else 1)


def _closing(model_type: str) -> str:
    return "<|im_end|>" if model_type.startswith("qwen") else "</s>"


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_every_answer_and_what_ends_it_carry_loss_and_nothing_else(model_type: str) -> None:
    encoded = encode(model_type, "<image>\nWhat is the person doing?", "Standing.", "And the arm?", "It is bent.")
    closing = _closing(model_type)
    tokenizer = tiny(model_type).processor.tokenizer
    assert runs(tokenizer, encoded.labels.tolist()) == [f"Standing.{closing}", f"It is bent.{closing}"]
    supervised = encoded.labels != IGNORED
    assert np.array_equal(encoded.labels[supervised], encoded.input_ids[supervised])


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_tokens_are_those_that_the_processor_makes(model_type: str) -> None:
    said = ("<image>\nWhat is the person doing?", " The left arm is raised.", "And?", "Nothing.")
    processor = family_of(model_type).adapted(tiny(model_type).processor)
    text = processor.apply_chat_template(list(to_messages(chat(*said), with_image=True)), tokenize=False)
    bos = processor.tokenizer.bos_token
    wanted = processor(images=[picture()], text=text, add_special_tokens=not (bos and text.startswith(bos)))
    assert encode(model_type, *said).input_ids.tolist() == wanted["input_ids"][0]


@pytest.mark.parametrize("answer", ["", "  ", "\n"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_an_empty_answer_teaches_nothing(model_type: str, answer: str) -> None:
    with pytest.raises(CannotTrain, match="no_supervised_token"):
        encode(model_type, "<image>\nWhat?", answer)
    encoded = encode(model_type, "<image>\nWhat?", answer, "And?", "The left arm.")
    assert learned(model_type, encoded) == f"The left arm.{_closing(model_type)}"


def test_a_question_without_an_answer_teaches_nothing() -> None:
    with pytest.raises(CannotTrain, match="no_supervised_token"):
        encode("qwen2_vl", "<image>\nWhat?")
    encoded = encode("qwen2_vl", "<image>\nWhat?", "The arm.", "And?")
    assert learned("qwen2_vl", encoded) == "The arm.<|im_end|>"


def test_nobody_can_write_the_private_name_of_a_control_token() -> None:
    tokenizer = qwen_tokenizer()
    labeller = ChatLabeller(tokenizer, CHATML_TEMPLATE)
    forged = "A\ufdd0<|im_end|>\ufdd1B \ufdd2<|im_start|>"
    ids, _ = labeller.encode(to_messages(chat("What?", forged), with_image=False))
    plain, _ = labeller.encode(to_messages(chat("What?", "A<|im_end|>B <|im_start|>"), with_image=False))
    assert ids.tolist() == plain.tolist()


def test_what_a_template_writes_is_a_control_token_though_it_is_not_marked_as_special() -> None:
    tokenizer = qwen_tokenizer()
    tokenizer.add_tokens(["<|user|>"])
    template = "{% for m in messages %}<|user|>{{ m.content[0].text }}<|im_end|>{% endfor %}"
    ids, labels = ChatLabeller(tokenizer, template).encode(
        to_messages(chat("What is <|user|>?", "It is <|user|>."), with_image=False)
    )
    assert ids.tolist().count(tokenizer.convert_tokens_to_ids("<|user|>")) == 2
    assert runs(tokenizer, labels.tolist()) == ["It is <|user|>.<|im_end|>"]


def test_the_header_of_a_template_without_a_generation_prompt_is_not_learned() -> None:
    tokenizer = llama_tokenizer()
    template = "{% for m in messages %}{{ m.role }} says: {{ m.content[0].text }}{{ eos_token }}{% endfor %}"
    _, labels = ChatLabeller(tokenizer, template).encode(to_messages(chat("Who?", "says, the arm"), with_image=False))
    assert runs(tokenizer, labels.tolist()) == ["says, the arm</s>"]


def test_an_answer_that_the_template_changes_is_learned_as_it_stands_there() -> None:
    tokenizer = llama_tokenizer()
    template = "{% for m in messages %}{{ m.content[0].text | upper }}{{ eos_token }}{% endfor %}"
    _, labels = ChatLabeller(tokenizer, template).encode(to_messages(chat("Who?", "The arm"), with_image=False))
    assert runs(tokenizer, labels.tolist()) == ["THE ARM</s>"]


def test_a_tokenizer_that_reads_text_as_a_control_token_gives_no_sample() -> None:
    pieces = [("<unk>", 0.0), ("</s>", 0.0), *((chr(code), -5.0) for code in range(32, 127))]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.Unigram(pieces, unk_id=0)), unk_token="<unk>", eos_token="</s>"
    )
    labeller = ChatLabeller(tokenizer, V1_TEMPLATE)
    ids, _ = labeller.encode(to_messages(chat("What?", "The arm \u2603."), with_image=False))
    assert ids.tolist().count(1) == 1
    with pytest.raises(CannotTrain, match="malformed: the model's tokenizer reads the text </s> as a control token"):
        labeller.encode(to_messages(chat("What?", "The </s> tag."), with_image=False))


def test_threads_may_share_a_tokenizer() -> None:
    tokenizer = llama_tokenizer()
    labeller = ChatLabeller(tokenizer, V1_TEMPLATE)
    chats = [to_messages(chat("What?", f"The </s> arm {n}" * n), with_image=False) for n in range(1, 40)]
    alone = [labeller.encode(messages)[1].tolist() for messages in chats]

    def also_used(messages: Any) -> list[int]:
        tokenizer("something else", padding="max_length", max_length=8, truncation=True)
        return labeller.encode(messages)[1].tolist()  # type: ignore[no-any-return]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(also_used, chats)) == alone


def test_a_template_that_changes_its_beginning_is_refused() -> None:
    counting = "{{ messages | length }} {% for m in messages %}{{ m.content[0].text }}{{ eos_token }}{% endfor %}"
    with pytest.raises(ConfigError, match="turn 2 another way when more turns follow"):
        ChatLabeller(llama_tokenizer(), counting).encode(to_messages(chat("a", "b", "c", "d"), with_image=False))


def test_a_family_without_a_template_of_its_own_needs_one_that_ends_answers() -> None:
    processor = copy.copy(tiny("qwen2_vl").processor)
    processor.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content[0].text }}\n{% endfor %}"
    with pytest.raises(ConfigError, match="found one that leaves it open"):
        family_of("qwen2_vl").adapted(processor)


def test_a_template_that_forgets_the_image_is_refused() -> None:
    processor = copy.copy(tiny("llava").processor)
    processor.chat_template = "{% for m in messages %}{{ m.content[-1].text }}{{ eos_token }}{% endfor %}"
    with pytest.raises(ConfigError, match="must write <image> once"):
        family_of("llava").encode(processor, chat("<image>\nWhat?", "The arm."), picture())


def test_a_processor_that_does_not_know_how_many_tokens_an_image_has_is_refused() -> None:
    processor = copy.copy(tiny("llava").processor)
    processor.patch_size = None
    with pytest.raises(ConfigError, match=r"LLaVA-1.5's processor must have `patch_size`.*processor_config.json"):
        family_of("llava").adapted(processor)


def test_a_tokenizer_without_offsets_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected a tokenizer with offsets.*found object"):
        ChatLabeller(object(), V1_TEMPLATE)
