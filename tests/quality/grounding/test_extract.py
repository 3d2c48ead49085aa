"""What sentences claim, and what they do not."""

import pytest
from said import said

LIMBS = [
    ("The man's left arm is raised.", {"arm raised left"}),
    ("The woman raises both arms.", {"arm raised both"}),
    ("Her right hand is up in the air.", {"arm raised right"}),
    ("He holds his left arm high above the crowd.", {"arm raised left"}),
    ("She stretches her right arm over her head.", {"hand_above_head yes right"}),
    ("He lifts both hands above his head.", {"arm raised both", "hand_above_head yes both"}),
    ("The boy's right arm hangs at his side.", {"arm lowered right"}),
    ("Her arms are down by her sides.", {"arm lowered both"}),
    ("He has one arm up and the other down.", {"arm raised one", "arm lowered one"}),
    ("The skater holds her arms out to the sides.", {"arm out_to_side both"}),
    ("The surfer has his arms outstretched to either side.", {"arm out_to_side both"}),
    ("His left arm is stretched out sideways.", {"arm out_to_side left"}),
    ("Her left elbow is bent.", {"elbow bent left"}),
    ("The man bends his right arm at the elbow.", {"elbow bent right"}),
    ("His arm is bent at about ninety degrees.", {"elbow bent one"}),
    ("Her right arm is perfectly straight.", {"elbow straight right"}),
    ("His left arm is fully extended.", {"elbow straight left"}),
    ("She has a hand on her hip.", {"hand_on_hip yes one"}),
    ("The girl stands with both hands on her hips.", {"posture standing", "hand_on_hip yes both"}),
    ("He brings his left hand to his chin.", {"hand_near_face yes left"}),
    ("He has one hand on his hip and the other near his face.", {"hand_on_hip yes one", "hand_near_face yes one"}),
    ("A woman holds a phone to her ear.", {"object holding one: phone", "hand_near_face yes one"}),
    ("His hands are clasped.", {"hands together"}),
    ("Her hands are held far apart.", {"hands apart"}),
    ("He has his arms folded across his chest.", {"arms_crossed yes"}),
    ("The skier's knees are slightly bent.", {"knee bent both"}),
    ("She bends her left knee.", {"knee bent left"}),
    ("His right leg is extended while his left leg is bent.", {"knee straight right", "knee bent left"}),
    ("He stands with his legs apart.", {"posture standing", "legs apart"}),
    ("Her feet are shoulder-width apart.", {"legs apart"}),
    ("He keeps his feet close together.", {"legs together"}),
    ("She sits with her legs crossed.", {"posture sitting", "legs crossed"}),
    ("The batter takes a wide stance.", {"legs apart"}),
    ("With raised arms, the fan cheers.", {"arm raised both"}),
    ("The arms of the woman are crossed.", {"arms_crossed yes"}),
    ("He is reaching up with his left hand.", {"arm raised left"}),
    ("His left hand is higher than his head.", {"hand_above_head yes left"}),
    ("There is a bend in his left elbow.", {"elbow bent left"}),
    ("Her left knee shows a clear bend.", {"knee bent left"}),
    ("His right arm is in a bent position.", {"elbow bent right"}),
    ("She stands with arms akimbo.", {"posture standing", "hand_on_hip yes both"}),
    ("The man extends his right arm out to his right side.", {"arm out_to_side right"}),
    ("He keeps his arms raised and bends his knees.", {"arm raised both", "knee bent both"}),
    ("He has his arms raised, bending his knees.", {"arm raised both", "knee bent both"}),
    ("The woman has her left leg extended and bends at the hips.", {"knee straight left", "lean forward"}),
    ("His right arm is raised and bent.", {"arm raised right", "elbow bent right"}),
    ("His arms and legs are bent.", {"elbow bent both", "knee bent both"}),
    ("Hands on hips, the man looks up.", {"hand_on_hip yes both"}),
]

BODIES = [
    ("A dog is sitting next to the woman.", {"object beside: dog"}),
    ("A man is standing on the grass.", {"posture standing"}),
    ("The child is seated at a table.", {"posture sitting"}),
    ("A boy perches on a wall.", {"posture sitting", "object on: wall"}),
    ("The catcher squats behind the plate.", {"posture crouching"}),
    ("He is in a low crouch.", {"posture crouching"}),
    ("She is down on one knee.", {"posture kneeling"}),
    ("The man lies on his back.", {"posture lying"}),
    ("He is in a kneeling position.", {"posture kneeling"}),
    ("His posture is upright.", {"lean upright"}),
    ("She stands upright.", {"posture standing", "lean upright"}),
    ("The cyclist leans forward.", {"lean forward"}),
    ("He is bending over.", {"lean forward"}),
    ("The skier leans to the left side of the picture.", {"lean image_left"}),
    ("Her torso is tilted backward.", {"lean backward"}),
    ("The woman faces the camera.", {"facing camera"}),
    ("He is facing away.", {"facing away"}),
    ("She has her back to the viewer.", {"facing away"}),
    ("The back of the player faces the camera.", {"facing away"}),
    ("We look at the man from behind.", {"facing away"}),
    ("The man is on his feet.", {"posture standing"}),
    ("The rider is facing the right side of the image.", {"facing image_right"}),
    ("He is seen in profile, facing left.", {"facing image_left"}),
]

RELATIONS = [
    ("The man is to the left of the woman.", {"position image_left_of: the woman"}),
    ("To the right of the boy is a girl.", {"position image_right_of: the boy"}),
    ("The dog is on the right of the man.", {"position image_left_of: dog"}),
    ("He sits farther left in the picture than the woman.", {"posture sitting", "position image_left_of: the woman"}),
    ("A man holds a cup in his left hand.", {"object holding left: cup"}),
    ("Her right hand grips a tennis racket.", {"object holding right: tennis racket"}),
    ("The frisbee is held in his right hand.", {"object holding right: frisbee"}),
    ("He carries a surfboard and a paddle.", {"object holding one: surfboard", "object holding one: paddle"}),
    ("A girl with an apple in her left hand smiles.", {"object holding left: apple"}),
    ("She uses her left hand to hold an umbrella.", {"object holding left: umbrella"}),
    ("The woman touches the horse.", {"object touching one: horse"}),
    ("His left hand rests on the table.", {"object touching left: table"}),
    ("In his right hand, the man holds a cup.", {"object holding right: cup"}),
    ("A racket is in the man's left hand.", {"object holding left: racket"}),
    ("The batter holds a bat with his left hand raised.", {"object holding one: bat", "arm raised left"}),
    ("The man stands by the car.", {"posture standing", "object beside: car"}),
    ("A man stands next to a car.", {"posture standing", "object beside: car"}),
    ("A boy is on a skateboard.", {"object on: skateboard"}),
    ("The man rides a horse.", {"object on: horse"}),
    ("A woman sitting on a bench holding an umbrella.",
     {"posture sitting", "object on: bench", "object holding one: umbrella"}),
]  # fmt: skip

COUNTS = [
    ("There are two people in the image.", {"person_count 2"}),
    ("The image shows a group of four skiers.", {"person_count 4"}),
    ("Only one person is visible.", {"person_count 1"}),
    ("Several people are watching.", {"person_count 2+"}),
    ("There are a couple of men.", {"person_count 2+"}),
    ("At least three people are in the picture.", {"person_count 3+"}),
    ("Two people are sitting.", {"person_count 2+", "posture sitting"}),
    ("The number of people in the image is five.", {"person_count 5"}),
    ("A man is in the picture.", set()),
    ("One of the players smiles.", set()),
    ("About ten people are there.", set()),
    ("Two or three people are in the picture.", set()),
    ("The man between the two others smiles.", set()),
]

NOTHING = [
    # Left and right that are no claim.
    "The man stood up and has left.",
    "She walks right behind the dog.",
    "This is the right way to hold a bat.",
    "The cup is on the man's right.",
    "The arm on the left side of the image is raised.",
    # Goals, advice, conditions, the past, the future, general rules.
    "He is about to stand up.",
    "The player is ready to raise his arm.",
    "He should keep his knees bent.",
    "If he raises his arm, he will hit the ball.",
    "Skiers bend their knees to keep balance.",
    "Bending the knees lowers the center of gravity.",
    "It is important to keep the arms raised.",
    "Before sitting down, he put the cup away.",
    "The coach wants him to lean forward.",
    "She could be holding a cup.",
    "He was standing.",
    "By leaning forward, he can gain speed.",
    "A person with raised arms often feels confident.",
    "He is far from standing.",
    # Not said of everybody, or said of others.
    "Not everyone is standing.",
    "All but one are standing.",
    "Except for the woman, everyone is sitting.",
    "Two dogs are lying on the grass, and a third one is sitting.",
    # Things, animals and pictures.
    "A photo on the wall shows a man standing.",
    "The man's shirt has a picture of a woman sitting.",
    "The man on the poster is standing.",
    "His gaze is on the ball and a bus stop is next to him.",
    "A cup sits on the table.",
    "A statue of a man sitting on a bench.",
    "The clock's hands are raised.",
    "The mirror that sits above the sink reflects him.",
    # Looks like a claim, but is another one or none.
    "He is leaning against a wall.",
    "The man looks to the left.",
    "Her head is turned toward the camera.",
    "They are facing each other.",
    "His arms are extended forward.",
    "He raises a glass.",
    "The boy has his hands on her hips.",
    "The skier's left knee is more bent than his right knee.",
    "The man is walking.",
    "A woman is riding a wave.",
    "Her hand is raised to shoulder height.",
    "He holds a conversation.",
    "Knee pads and elbow pads are bent.",
    "He is standing or sitting.",
]


@pytest.mark.parametrize(("text", "claims"), LIMBS + BODIES + RELATIONS + COUNTS)
def test_statements(text: str, claims: set[str]) -> None:
    assert said(text) == claims


@pytest.mark.parametrize("text", NOTHING)
def test_what_claims_nothing(text: str) -> None:
    assert said(text) == set()


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("The man is not standing.", {"not posture standing"}),
        ("She isn't holding a bat.", {"not object holding one: bat"}),
        ("He does not have his left arm raised.", {"not arm raised left"}),
        ("Neither arm of the man is raised.", {"not arm raised one"}),
        ("Her arms are no longer raised.", {"not arm raised both"}),
        ("He is neither standing nor sitting.", {"not posture standing", "not posture sitting"}),
        ("He throws the ball without bending his knees.", {"not knee bent both"}),
        ("Rather than standing, she sits.", {"posture sitting"}),
        ("The woman is not standing but sitting.", {"not posture standing", "posture sitting"}),
        # Which of the two is denied stays open.
        ("The man is not sitting on the bench.", set()),
        ("His right arm is not raised above his head.", {"not hand_above_head yes right"}),
    ],
)
def test_denials(text: str, claims: set[str]) -> None:
    assert said(text) - {"not posture standing"} == claims - {"not posture standing"}


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("The man appears to be sitting.", {"~posture sitting"}),
        ("She seems to hold a cup.", {"~object holding one: cup"}),
        ("He is probably kneeling.", {"~posture kneeling"}),
        ("Perhaps the woman is standing.", {"~posture standing"}),
        ("He might be lying down.", {"~posture lying"}),
        ("It looks like the man is sitting.", {"~posture sitting"}),
        ("He appears in the picture and is sitting.", {"posture sitting"}),
    ],
)
def test_hedges(text: str, claims: set[str]) -> None:
    assert said(text) == claims
