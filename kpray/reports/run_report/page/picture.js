// A scene's picture with its boxes and skeletons, and the keypoints of a claim lit up on it.

function pictureOf(scene, data) {
  if (!scene)
    return el(
      "figure",
      { class: "picture" },
      el("p", { class: "empty" }, "The run's folder does not hold this scene."),
    );
  const source = document.querySelector(`script[data-picture="${CSS.escape(scene.id)}"]`);
  const overlay = svg(
    "g",
    { class: "overlay" },
    ...scene.objects.flatMap((thing) => thingMarks(thing, scene)),
    ...scene.people.flatMap((person, i) => personMarks(person, i, scene, data.skeleton)),
  );
  const people = counted(scene.people.length, "annotated person", "annotated people");
  const label = `${people}, ${counted(scene.objects.length, "object", "objects")}`;
  const drawing = svg(
    "svg",
    { viewBox: `0 0 ${scene.width} ${scene.height}`, role: "img", "aria-label": `Skeletons and boxes: ${label}` },
    overlay,
  );
  const image =
    source &&
    el("img", { src: `data:image/jpeg;base64,${source.textContent}`, alt: scene.captions[0] || "", decoding: "async" });
  const stage = el("div", { class: "stage" }, image, drawing);
  const missing = source ? "" : " · The image is not at hand: the skeletons stand on a plain ground.";
  return el(
    "figure",
    { class: "picture" },
    stage,
    el("figcaption", {}, `Scene ${scene.id} · ${label}${missing}`),
    captionsOf(scene),
  );
}

function captionsOf(scene) {
  if (!scene.captions.length) return "";
  return el(
    "details",
    { class: "captions" },
    el("summary", {}, "Captions in the annotations"),
    el("ul", {}, ...scene.captions.map((text) => el("li", {}, text))),
  );
}

const unitOf = (scene) => Math.max(scene.width, scene.height) / 480; // one screen pixel, about

function boxMark([x1, y1, x2, y2], attributes) {
  return svg("rect", { x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0), ...attributes });
}

function nameMark(text, [x1, y1], scene, attributes) {
  const unit = unitOf(scene);
  const size = 12 * unit;
  const y = y1 > size * 1.2 ? y1 - 3 * unit : y1 + size;
  return svg(
    "text",
    {
      x: Math.min(x1 + unit, scene.width - 0.62 * size * text.length),
      y,
      "font-size": size,
      "stroke-width": 3 * unit,
      ...attributes,
    },
    text,
  );
}

const thingMarks = (thing, scene) => [
  boxMark(thing.box, { class: "thing" }),
  nameMark(thing.name, thing.box, scene, { class: "name thing-name" }),
];

function personMarks(person, index, scene, skeleton) {
  const points = person.keypoints;
  const height = person.box[3] - person.box[1];
  const radius = Math.max(Math.min(3.2 * unitOf(scene), height / 40), 1.1 * unitOf(scene));
  const drawn = skeleton.limbs.filter(({ ends: [a, b] }) => points[a][2] && points[b][2]);
  const line = ({ ends: [a, b], side }, shade) =>
    svg("line", {
      class: `limb ${shade || side}`,
      x1: points[a][0],
      y1: points[a][1],
      x2: points[b][0],
      y2: points[b][1],
      "data-person": index,
      "data-ends": `${a} ${b}`,
    });
  const dots = points.flatMap(([x, y, v], k) => {
    if (!v) return [];
    const at = { cx: x, cy: y, "data-person": index, "data-keypoint": k };
    const name = svg("title", {}, `${skeleton.names[k]} of person ${index + 1}${v === 1 ? ", hidden" : ""}`);
    const side = skeleton.sides[k];
    return [
      svg("circle", { class: "halo", r: radius + 5 * unitOf(scene), ...at }),
      svg("circle", { class: `dot ${side}${v === 1 ? " concealed" : ""}`, r: radius, ...at }, name),
    ];
  });
  return [
    boxMark(person.box, { class: "box", "data-person": index }),
    ...drawn.map((limb) => line(limb, "shade")),
    ...drawn.map((limb) => line(limb, "")),
    ...dots,
    nameMark(String(index + 1), person.box, scene, { class: "name", "data-person": index }),
  ];
}

// Light what decided some claims: the keypoints, the limbs between them, and the boxes of who is meant.
// A claim about how many there are lights every box.
function light(card, claims) {
  const stage = card.querySelector(".stage");
  if (!stage) return;
  unlight(card);
  const countsPeople = claims.some((claim) => claim.name === "person_count" && claim.code);
  if (countsPeople) for (const box of stage.querySelectorAll(".box, .name[data-person]")) box.classList.add("on");
  const shown = claims.filter((claim) => claim.verdict && (claim.person !== null || claim.people.length));
  stage.classList.toggle("lit", countsPeople || shown.length > 0);
  for (const claim of shown) {
    const deciding = new Set(claim.keypoints);
    for (const mark of stage.querySelectorAll(`[data-person="${claim.person}"]`)) {
      const ends = mark.dataset.ends ? mark.dataset.ends.split(" ").map(Number) : [Number(mark.dataset.keypoint)];
      const whole = !("ends" in mark.dataset) && !("keypoint" in mark.dataset); // the box and the name
      if (whole || ends.every((k) => deciding.has(k))) mark.classList.add("on");
    }
    for (const person of claim.people) {
      for (const mark of stage.querySelectorAll(`.box[data-person="${person}"], .name[data-person="${person}"]`))
        mark.classList.add(person === claim.person ? "on" : "maybe");
    }
  }
}

function unlight(card) {
  const stage = card.querySelector(".stage");
  if (!stage) return;
  stage.classList.remove("lit");
  for (const mark of stage.querySelectorAll(".on, .maybe")) mark.classList.remove("on", "maybe");
}
