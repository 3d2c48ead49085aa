// Which models are asked, and what they were made from.

const PICKERS = ["first", "second"];
const NOBODY = "";
const TOLD_FIRST = ["base_model", "step", "steps"]; // of lineage.json

let models = new Map(); // id -> what /v1/models tells

async function loadModels() {
  try {
    const response = await call("/v1/models");
    const { data } = await response.json();
    models = new Map(data.map((model) => [model.id, model]));
    fillPickers([...models.keys()]);
    notice("");
  } catch (error) {
    notice(said(error));
    const again = el("button", { type: "button", id: "models-again", onclick: loadModels }, "Try again");
    byId("notice-text").append(" ", again);
  }
}

function fillPickers(ids) {
  const option = (id) => el("option", { value: id }, id);
  byId("model-first").replaceChildren(...ids.map(option));
  byId("model-second").replaceChildren(el("option", { value: NOBODY }, "nobody"), ...ids.map(option));
  if (ids.length > 1) byId("model-second").value = ids[1];
  for (const place of PICKERS) byId(`model-${place}`).disabled = !ids.length;
  showPicked();
}

// One or two different models.
function picked() {
  const chosen = PICKERS.map((place) => byId(`model-${place}`).value);
  return [...new Set(chosen)].filter((id) => models.has(id));
}

function showPicked() {
  for (const place of PICKERS) {
    const model = models.get(byId(`model-${place}`).value);
    const button = byId(`info-${place}`);
    button.disabled = !model;
    button.replaceChildren("i");
    button.title = model ? inOneLine(model) : "";
    button.setAttribute("aria-label", model ? `What ${model.id} was made from` : "No model chosen");
  }
  showReady();
}

function inOneLine({ engine, lineage }) {
  const base = lineage.base_model ? `tuned from ${lineage.base_model}` : "no base is known";
  const steps = lineage.steps ? `, ${counted(lineage.steps, "step", "steps")}` : "";
  return `${base}${steps} · ${engine} engine · click for all`;
}

function showLineage(event, place) {
  const model = models.get(byId(`model-${place}`).value);
  const box = byId("lineage");
  const close = el("button", { type: "button", class: "small", onclick: () => box.hidePopover() }, "Close");
  box.replaceChildren(
    el("header", { class: "head" }, el("h2", { id: "lineage-title" }, model.id), close),
    facts([
      ["engine", model.engine],
      ["longest prompt and answer", `${number(model.max_tokens)} tokens`],
      ["weights of", new Date(1000 * model.created).toLocaleDateString("en-GB", { dateStyle: "long" })],
    ]),
    el("h3", {}, "Made from"),
    ...lineageMarks(model.lineage),
  );
  box.showPopover();
  close.focus({ preventScroll: true });
  const { left, bottom } = event.currentTarget.getBoundingClientRect();
  box.style.left = `${Math.max(8, Math.min(left, innerWidth - box.offsetWidth - 8))}px`;
  box.style.top = `${Math.max(8, Math.min(bottom + 6, innerHeight - box.offsetHeight - 8))}px`;
}

function lineageMarks(lineage) {
  const entries = Object.entries(lineage).filter(([, value]) => value !== null && value !== "");
  if (!entries.length) return [el("p", { class: "quiet" }, "This model's folder has no lineage.json.")];
  const nested = ([, value]) => typeof value === "object";
  const rank = ([name]) => (TOLD_FIRST.includes(name) ? TOLD_FIRST.indexOf(name) : TOLD_FIRST.length);
  const plain = entries.filter((entry) => !nested(entry)).sort((a, b) => rank(a) - rank(b));
  const part = ([name, value]) => el("details", {}, el("summary", {}, words(name)), facts(leaves(value)));
  return [facts(plain), ...entries.filter(nested).map(part)];
}

// Everything inside a nested value, by its dotted name.
function leaves(value, name = "") {
  if (typeof value !== "object" || value === null) return [[name, value]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, name ? `${name}.${key}` : key));
}

function facts(pairs) {
  const row = ([name, value]) => el("div", {}, el("dt", {}, words(name)), el("dd", {}, String(value)));
  return el("dl", { class: "facts" }, ...pairs.map(row));
}

function startModels() {
  for (const place of PICKERS) {
    byId(`model-${place}`).addEventListener("change", showPicked);
    byId(`info-${place}`).addEventListener("click", (event) => showLineage(event, place));
  }
}
