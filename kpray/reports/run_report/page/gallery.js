// The gallery: filters with counts, and one page of cards at a time, so that thousands of entries cost nothing.

const PAGE_SIZE = 10;
const MANY_PEOPLE = 6;

const peopleOf = (entry) => {
  const scene = report.scenes[entry.scene];
  if (!scene) return "unknown";
  return scene.people.length < MANY_PEOPLE ? String(scene.people.length) : `${MANY_PEOPLE} or more`;
};
const reasonsOf = (entry) => (entry.reason ? [entry.reason] : entry.faults.map((fault) => fault.reason));
const orNone = (values, none) => (values.length ? [...new Set(values)] : [none]);

// What can be filtered by: the values of an entry under each name (an entry may have several).
const FACETS = [
  { name: "outcome", label: "Outcome", of: (entry) => [entry.outcome] },
  { name: "kind", label: "Kind", of: (entry) => [entry.kind || "whole scene"] },
  {
    name: "verdict",
    label: "Verdict",
    of: (entry) =>
      orNone(
        entry.claims.map((claim) => claim.verdict),
        "no claims",
      ),
  },
  {
    name: "claim",
    label: "Claim about",
    of: (entry) =>
      orNone(
        entry.claims.map((claim) => claim.name),
        "nothing",
      ),
  },
  { name: "reason", label: "Reason", of: (entry) => orNone(reasonsOf(entry), "no fault") },
  { name: "people", label: "People in the image", of: (entry) => [peopleOf(entry)] },
];

// Orders of the cards: a smaller number comes first. Where numbers are equal, the order by scene stays.
const contradicted = (entry) => entry.claims.some((claim) => claim.verdict === "contradicted");
const ORDERS = {
  "by scene": () => 0,
  "contradicted first": (entry) => (contradicted(entry) ? 0 : entry.outcome === "kept" ? 2 : 1),
  "most claims first": (entry) => -entry.claims.length,
};

const searchable = (entry) => {
  const scene = report.scenes[entry.scene];
  const parts = [
    entry.id,
    `scene ${entry.scene}`,
    entry.detail,
    entry.seen,
    ...entry.turns.map((turn) => turn.text),
    ...(scene ? scene.captions : []),
  ];
  return parts.filter(Boolean).join("\n").toLowerCase();
};

const state = { chosen: {}, query: "", order: "by scene", page: 0, matching: [] };
let rows = [];

function startGallery() {
  rows = report.entries.map((entry) => ({
    entry,
    text: searchable(entry),
    facets: Object.fromEntries(FACETS.map((facet) => [facet.name, facet.of(entry)])),
  }));
  const { shown, of, seed, kinds } = report.gallery;
  const only = kinds.length ? ` Only ${kinds.join(", ")}.` : "";
  const spread = "half of them spread evenly, so that rejected, contradicted and repeated ones are among them";
  const sampled = `${number(shown)} of ${number(of)} entries, drawn at random (seed ${seed}); ${spread}.`;
  byId("drawn").append(shown < of ? `${sampled}${only}` : `All ${number(of)} entries.${only}`);
  buildFilters();
  buildLegend();
  for (const suffix of ["", "-below"]) {
    byId(`previous${suffix}`).addEventListener("click", () => turnPage(-1, suffix));
    byId(`next${suffix}`).addEventListener("click", () => turnPage(1, suffix));
  }
  update();
}

function buildFilters() {
  const form = byId("filters");
  const search = el("input", {
    type: "search",
    id: "search",
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "words in the text, captions, ids",
    oninput: () => choose(() => (state.query = search.value.trim().toLowerCase())),
  });
  form.append(el("div", { class: "search" }, el("label", { for: "search" }, "Search"), search));
  for (const facet of FACETS) {
    const values = [...new Set(rows.flatMap((row) => row.facets[facet.name]))].sort((a, b) =>
      a.localeCompare(b, "en", { numeric: true }),
    );
    const select = el(
      "select",
      { id: `filter-${facet.name}`, onchange: () => choose(() => (state.chosen[facet.name] = select.value)) },
      el("option", { value: "" }, "all"),
      ...values.map((value) => el("option", { value })),
    );
    state.chosen[facet.name] = "";
    form.append(el("div", {}, el("label", { for: select.id }, facet.label), select));
  }
  const order = el(
    "select",
    { id: "order", onchange: () => choose(() => (state.order = order.value)) },
    ...Object.keys(ORDERS).map((name) => el("option", {}, name)),
  );
  form.append(el("div", {}, el("label", { for: "order" }, "Order"), order));
  const overlay = el("input", {
    type: "checkbox",
    id: "overlay",
    checked: true,
    onchange: () => byId("cards").classList.toggle("bare", !overlay.checked),
  });
  form.append(
    el("label", { class: "check" }, overlay, "skeletons and boxes"),
    el("button", { type: "reset" }, "Clear filters"),
  );
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () =>
    setTimeout(() => {
      byId("cards").classList.remove("bare");
      choose(() => {
        state.query = "";
        state.order = order.value;
        for (const facet of FACETS) state.chosen[facet.name] = "";
      });
    }),
  );
}

function buildLegend() {
  const verdicts = VERDICTS.map((verdict) => el("span", {}, el("span", { class: `claim ${verdict}` }, verdict)));
  const limbs = [
    ["left", "the person's own left"],
    ["right", "own right"],
  ].map(([side, text]) => el("span", {}, el("span", { class: `swatch ${side}` }), text));
  byId("legend").append(
    ...verdicts,
    el("span", {}, el("span", { class: "claim fault" }, "fault")),
    ...limbs,
    el("span", {}, "hollow dot: hidden keypoint"),
    el("span", {}, "dashed box: object"),
  );
}

function choose(change) {
  change();
  state.page = 0;
  update();
}

const passes = (row, except) =>
  (!state.query || row.text.includes(state.query)) &&
  FACETS.every(({ name }) => name === except || !state.chosen[name] || row.facets[name].includes(state.chosen[name]));

function update() {
  const rank = ORDERS[state.order];
  state.matching = rows.filter((row) => passes(row, null)).sort((a, b) => rank(a.entry) - rank(b.entry));
  for (const facet of FACETS) countOptions(facet.name);
  showPage();
}

// Each option says how many entries it would show, given the other filters.
function countOptions(name) {
  const counts = new Map();
  let all = 0;
  for (const row of rows) {
    if (!passes(row, name)) continue;
    all += 1;
    for (const value of row.facets[name]) counts.set(value, (counts.get(value) || 0) + 1);
  }
  for (const option of byId(`filter-${name}`).options) {
    const count = option.value ? counts.get(option.value) || 0 : all;
    option.textContent = `${option.value ? words(option.value) : "all"} (${number(count)})`;
    option.disabled = !count && !option.selected;
  }
}

const pages = () => Math.max(Math.ceil(state.matching.length / PAGE_SIZE), 1);

function showPage() {
  byId("tip").hidden = true;
  const first = state.page * PAGE_SIZE;
  const shown = state.matching.slice(first, first + PAGE_SIZE);
  const cards = shown.map((row, i) => cardOf(row.entry, first + i));
  byId("cards").replaceChildren(
    ...(cards.length ? cards : [el("p", { class: "empty" }, "Nothing matches these filters.")]),
  );
  const found = state.matching.length;
  const text = found ? `${number(first + 1)}–${number(first + shown.length)} of ${number(found)}` : "0 entries";
  const among = found < rows.length ? ` (of ${number(rows.length)} in all)` : "";
  for (const suffix of ["", "-below"]) {
    byId(`count${suffix}`).textContent = `${text}${among}`;
    byId(`previous${suffix}`).disabled = state.page === 0;
    byId(`next${suffix}`).disabled = state.page >= pages() - 1;
  }
}

function turnPage(step, suffix) {
  const page = state.page + step;
  if (page < 0 || page >= pages()) return false;
  state.page = page;
  showPage();
  if (suffix) byId("gallery").scrollIntoView();
  return true;
}

// To the next or previous card, over the end of a page too.
function moveCard(step) {
  const cards = [...document.querySelectorAll(".card")];
  const now = cards.indexOf(document.activeElement && document.activeElement.closest(".card"));
  let target = cards[now < 0 ? (step > 0 ? 0 : -1) : now + step];
  if (!target && now >= 0 && turnPage(step)) {
    const fresh = document.querySelectorAll(".card");
    target = fresh[step > 0 ? 0 : fresh.length - 1];
  }
  if (!target) return;
  target.focus({ preventScroll: true });
  target.scrollIntoView({ block: "start" });
}
