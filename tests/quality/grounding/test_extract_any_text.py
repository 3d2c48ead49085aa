"""Text of any kind is read without an error."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kpray.quality.grounding.claims import CLAIMS
from kpray.quality.grounding.extract import extract

_WORDS = st.sampled_from(
    """the a his her their both one two neither no none other left right man woman men people he she they who that which
    arm arms hand hands knees legs feet hip head face torso back raised bent crossed straight is are has holds holding
    standing sits kneeling leans forward to of on in at with above near next and or but while not n't , . ; : ? " ( )
    image camera bench racket 3 ' 's – from second than""".split()  # noqa: SIM905
)
_SENTENCES = st.lists(_WORDS, max_size=25).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(_SENTENCES, st.text(max_size=60)), max_size=4))
def test_no_text_is_an_error_and_claims_lie_within_it(texts: list[str]) -> None:
    for claim in extract(texts):
        assert 0 <= claim.start < claim.end <= len(texts[claim.turn])
        assert claim.name in CLAIMS
        assert claim.value in CLAIMS[claim.name] or (claim.name == "person_count" and claim.value.isdigit())
    assert extract(texts) == extract(texts)
