// The picture: chosen, dropped or pasted; shrunk where it is larger than a model looks at; its skeletons.

const SENT_AS_IT_IS = ["image/jpeg", "image/png", "image/webp"]; // what the server takes
const LONGEST_PX = 2048;
const MOST_BYTES = 4 * 2 ** 20; // of the file; the server's standard limit is three times that

let picture = null; // {name, width, height, uri, url, people, ...}; width and height are the file's own

async function readPicture(file) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error(`This browser cannot read ${file.name} as a picture. JPEG, PNG and WebP always work.`);
  });
  const { width, height } = bitmap;
  const scale = Math.min(1, LONGEST_PX / Math.max(width, height));
  const asItIs = scale === 1 && file.size <= MOST_BYTES && SENT_AS_IT_IS.includes(file.type);
  const sent = asItIs ? file : await encoded(bitmap, scale);
  bitmap.close();
  const name = file.name || "pasted picture";
  const sizes = { width, height, sentWidth: scaled(width, scale), sentHeight: scaled(height, scale), bytes: sent.size };
  return { name, ...sizes, uri: await dataUri(sent), url: URL.createObjectURL(sent), people: [], changed: !asItIs };
}

const scaled = (length, scale) => Math.max(1, Math.round(length * scale));

async function encoded(bitmap, scale) {
  const canvas = el("canvas", { width: scaled(bitmap.width, scale), height: scaled(bitmap.height, scale) });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "#fff"; // where the picture is transparent; JPEG would make it black
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92));
  if (!blob) throw new Error("This picture is too large for this browser to shrink. Please make it smaller first.");
  return blob;
}

function dataUri(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(new Error("The file could not be read."));
    reader.readAsDataURL(blob);
  });
}

function showPicture(next) {
  picture = next;
  for (const id of ["stage", "picture-about", "picture-tools"]) byId(id).hidden = !next;
  byId("drop").hidden = Boolean(next);
  byId("stage").replaceChildren();
  if (next) {
    byId("stage").append(el("img", { src: next.url, alt: `The picture that is asked about: ${next.name}` }));
    byId("picture-about").textContent = aboutPicture(next);
  }
  showSkeletons();
}

function aboutPicture({ name, width, height, sentWidth, sentHeight, bytes: size, changed }) {
  const smaller = sentWidth !== width || sentHeight !== height;
  const sent = smaller ? ` · sent as ${sentWidth} × ${sentHeight}` : changed ? " · sent as JPEG" : "";
  return `${name} · ${width} × ${height} px${sent} · ${bytes(size)}`;
}

function showSkeletons() {
  const people = picture ? picture.people : [];
  byId("overlay")?.remove();
  byId("legend").hidden = !people.length;
  byId("keypoints").textContent = people.length ? "Other keypoints" : "Add keypoints";
  if (!people.length) return;
  byId("stage").append(skeletons(people, picture));
  const toggle = el("input", { type: "checkbox", id: "overlay-shown", checked: true, onchange: toggleOverlay });
  const label = el("label", { for: "overlay-shown" }, toggle, "Skeletons; the models see the plain picture");
  byId("legend").replaceChildren(label, ...legendMarks());
}

const toggleOverlay = (event) => byId("overlay").toggleAttribute("hidden", !event.target.checked);

function takeKeypoints(text) {
  if (!picture) throw new Error("First a picture, then its keypoints.");
  const people = readPeople(text, picture);
  picture.people = people;
  showSkeletons();
  const lost = outside(people, picture);
  const size = `${picture.width} × ${picture.height} px`;
  const lie = counted(lost, "keypoint lies", "keypoints lie");
  notice(lost ? `${lie} outside of this picture (${size}). Is it the right one?` : "");
}

const isPicture = (file) => file.type.startsWith("image/");
const isJson = (file) => file.type === "application/json" || /\.json$/i.test(file.name);

// Files from wherever: pictures first, so that keypoints dropped with their picture find it.
async function takeFiles(files) {
  try {
    const [odd] = files.filter((file) => !isPicture(file) && !isJson(file));
    if (odd) throw new Error(`Expected a picture, or JSON with COCO keypoints; found ${odd.name}.`);
    notice("");
    const first = files.find(isPicture);
    if (first) showPicture(await readPicture(first));
    for (const file of files.filter(isJson)) takeKeypoints(await file.text());
  } catch (error) {
    notice(error.message);
  }
}

function startPicture() {
  const choosers = { drop: "picture-file", replace: "picture-file", keypoints: "keypoints-file" };
  for (const [button, input] of Object.entries(choosers))
    byId(button).addEventListener("click", () => byId(input).click());
  for (const id of ["picture-file", "keypoints-file"])
    byId(id).addEventListener("change", async ({ target }) => {
      await takeFiles([...target.files]);
      target.value = ""; // so that the same file can be chosen again
    });
  byId("remove").addEventListener("click", () => {
    showPicture(null);
    byId("drop").focus();
  });
}
