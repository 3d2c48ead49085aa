// COCO keypoints, read from JSON and drawn over the picture in kpray's colours. The models do not get them.

const SIDES = ["left", "right"];
const NAMES = ["nose", ...["eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"].flatMap(bothSides)];
const LIMBS = [
  ...SIDES.flatMap((side) => chain(side, "ankle", "knee", "hip", "shoulder", "elbow", "wrist")),
  ...SIDES.flatMap((side) => chain(side, "eye", "ear", "shoulder")),
  ...["hip", "shoulder", "eye"].map(bothSides),
  ...bothSides("eye").map((eye) => ["nose", eye]),
];
const LEGEND = [
  ["left", "own left"],
  ["right", "own right"],
  ["middle", "middle"],
  ["concealed", "hidden"],
];

function bothSides(part) {
  return SIDES.map((side) => `${side}_${part}`);
}

function chain(side, ...parts) {
  return parts.slice(1).map((part, i) => [`${side}_${parts[i]}`, `${side}_${part}`]);
}

function sideOf(...names) {
  const [side, ...others] = new Set(names.map((name) => name.split("_")[0]));
  return SIDES.includes(side) && !others.length ? side : "middle";
}

const looksLikeKeypoints = (text) => /^\s*[[{]/.test(text) && text.includes('"keypoints"');

// People of a COCO annotation, of a list of them, or of a whole COCO file that has this picture.
function readPeople(text, picture) {
  const people = annotationsIn(parsed(text), picture).filter((one) => one && one.keypoints);
  if (!people.length) throw new Error("No keypoints in this JSON. Expected COCO: {keypoints: [51 numbers]} or a list.");
  const read = people.map(readPerson).filter(({ points }) => points.some(([, , v]) => v));
  if (!read.length) throw new Error("These annotations have no labelled keypoint (v is 0 everywhere).");
  return read;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`This is not JSON: ${error.message}.`);
  }
}

function annotationsIn(data, picture) {
  if (Array.isArray(data)) return data;
  if (!Array.isArray(data?.annotations)) return [data];
  if (!Array.isArray(data.images)) return data.annotations;
  const image = data.images.length === 1 ? data.images[0] : data.images.find((one) => one.file_name === picture.name);
  if (!image) throw new Error(`None of this file's ${number(data.images.length)} images is called ${picture.name}.`);
  return data.annotations.filter((one) => one.image_id === image.id);
}

function readPerson({ keypoints, bbox }, index) {
  const numbers = Array.isArray(keypoints) ? keypoints.flat() : [];
  const seen = NAMES.map((_, k) => numbers[3 * k + 2]);
  if (numbers.length !== 51 || !numbers.every(Number.isFinite) || !seen.every((v) => [0, 1, 2].includes(v)))
    throw new Error(
      `Person ${index + 1}: expected 51 numbers, x, y in pixels and v (0, 1 or 2) for each of COCO's 17 keypoints; ` +
        `found ${Array.isArray(keypoints) ? `${numbers.length} values` : typeof keypoints}.`,
    );
  const points = NAMES.map((_, k) => numbers.slice(3 * k, 3 * k + 3));
  return { points, box: Array.isArray(bbox) && bbox.length === 4 && bbox.every(Number.isFinite) ? bbox : null };
}

// How many keypoints lie outside: many of them mean that they are another picture's.
function outside(people, { width, height }) {
  const labelled = people.flatMap(({ points }) => points.filter(([, , v]) => v));
  return labelled.filter(([x, y]) => x < 0 || y < 0 || x > width || y > height).length;
}

function skeletons(people, { width, height }) {
  const label = `Skeletons of ${counted(people.length, "person", "people")}`;
  const unit = Math.max(width, height) / 480; // one screen pixel, about
  return svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, id: "overlay" },
    ...people.flatMap((person, i) => personMarks(person, i, unit)),
  );
}

function personMarks({ points, box }, index, unit) {
  const at = Object.fromEntries(NAMES.map((name, k) => [name, points[k]]));
  const limbs = LIMBS.filter(([a, b]) => at[a][2] && at[b][2]);
  // Small people stay visible under it.
  const radius = Math.max(Math.min(3.4 * unit, heightOf(points) / 36), 1.2 * unit);
  const line = ([a, b], kind) =>
    svg("line", {
      class: `limb ${kind}`,
      x1: at[a][0],
      y1: at[a][1],
      x2: at[b][0],
      y2: at[b][1],
      "data-ends": `${a} ${b}`,
    });
  const dots = NAMES.filter((name) => at[name][2]).map((name) => {
    const [cx, cy, v] = at[name];
    const about = svg("title", {}, `${words(name)} of person ${index + 1}${v === 1 ? ", hidden" : ""}`);
    return svg("circle", { class: `dot ${sideOf(name)}${v === 1 ? " concealed" : ""}`, r: radius, cx, cy }, about);
  });
  const frame = box && svg("rect", { class: "box", x: box[0], y: box[1], width: box[2], height: box[3] });
  const shades = limbs.map((limb) => line(limb, "shade"));
  return [frame, ...shades, ...limbs.map((limb) => line(limb, sideOf(...limb))), ...dots];
}

function heightOf(points) {
  const ys = points.filter(([, , v]) => v).map(([, y]) => y);
  return Math.max(...ys) - Math.min(...ys);
}

const legendMarks = () => LEGEND.map(([kind, name]) => el("span", { class: `key ${kind}` }, name));
