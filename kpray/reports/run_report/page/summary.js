// The head of the page: facts, and charts that are tables with bars in them.

const VERDICTS = ["supported", "contradicted", "unverifiable"];
const MARKS = { supported: "✓", contradicted: "✗", unverifiable: "?", fault: "!" };

function showSummary(data) {
  byId("title").append(data.title);
  const status = el("span", { class: data.status === "complete" ? "status" : "status warn" }, data.status);
  byId("subtitle").append(status, ` ${data.subtitle.join(" · ")}`);
  for (const fact of data.facts) {
    const note = fact.note ? el("dd", { class: "note" }, fact.note) : "";
    byId("facts").append(el("div", {}, el("dt", {}, fact.label), el("dd", {}, fact.value), note));
  }
  for (const fact of data.details) byId("details").append(el("dt", {}, fact.label), el("dd", {}, fact.value));
  const { rejected, faults, words: lengths, claims_by_kind, claims_by_name } = data.figures;
  byId("charts").append(
    funnelChart(data.funnel),
    rejected.length ? rejectedChart(rejected) : "",
    data.first_faults.length
      ? faultsChart("Faults in first replies", "What the checks found; one reply may have several.", data.first_faults)
      : "",
    faults.length ? faultsChart("Faults in samples that were kept", "", faults) : "",
    claims_by_kind.length ? verdictChart("Claims by kind", "Of the samples that were kept.", claims_by_kind) : "",
    claims_by_name.length ? verdictChart("Claims by what they say", "Of the samples kept.", claims_by_name) : "",
    lengths.length ? lengthChart(lengths) : "",
  );
}

const chart = (title, note, ...content) =>
  el("section", { class: "chart" }, el("h3", {}, title), note && el("p", { class: "quiet" }, note), ...content);

// A bar of parts [share of the whole width, class]; the numbers stand beside it, so readers need not hear it.
function bar(parts) {
  let x = 0;
  const rects = parts.map(([share, name]) => {
    const rect = svg("rect", {
      class: `fill ${name}`,
      x: x.toFixed(3),
      y: 0,
      width: (100 * share).toFixed(3),
      height: 10,
    });
    x += 100 * share;
    return rect;
  });
  return svg("svg", { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, ...rects);
}

function table(caption, columns, rows) {
  const head = columns.map(([name, style]) => el("th", { scope: "col", class: style }, name));
  return el(
    "table",
    {},
    el("caption", { class: "hidden" }, caption),
    el("thead", {}, el("tr", {}, ...head)),
    el("tbody", {}, ...rows),
  );
}

const cells = (name, numbers, parts) =>
  el(
    "tr",
    {},
    el("th", { scope: "row" }, name),
    ...numbers.map((text) => el("td", { class: "number" }, text)),
    el("td", { class: "bar" }, bar(parts)),
  );
const hiddenText = (text) => el("span", { class: "hidden" }, text);
const barColumn = () => [hiddenText("bar"), "bar"];

function funnelChart(steps) {
  const rows = steps.map((step) =>
    cells(
      step.label,
      [number(step.count), step.of === null ? "" : percent(step.count, step.of)],
      [[step.count / Math.max(step.of ?? step.count, 1), ""]],
    ),
  );
  const columns = [["step"], ["count", "number"], ["of those before", "number"], barColumn()];
  return chart("From images to samples", "A reply can make several samples.", table("Funnel", columns, rows));
}

function rejectedChart(rejected) {
  const all = rejected.reduce((sum, row) => sum + row.count, 0);
  const most = Math.max(...rejected.map((row) => row.count));
  const rows = rejected.map((row) =>
    cells(
      `${words(row.reason)} (${row.stage})`,
      [number(row.count), percent(row.count, all)],
      [[row.count / most, ""]],
    ),
  );
  return chart(
    "Rejected, by reason",
    `${number(all)} in all; the stage in brackets.`,
    table("Rejects", [["reason"], ["count", "number"], ["share", "number"], barColumn()], rows),
  );
}

function faultsChart(title, note, faults) {
  const most = Math.max(...faults.map((row) => row.count));
  const rows = faults.map((row) => cells(words(row.reason), [number(row.count)], [[row.count / most, ""]]));
  return chart(title, note, table(title, [["reason"], ["count", "number"], barColumn()], rows));
}

function verdictChart(title, note, data) {
  const rows = data.map((row) => {
    const all = VERDICTS.reduce((sum, verdict) => sum + row[verdict], 0);
    return cells(
      words(row.name),
      VERDICTS.map((verdict) => number(row[verdict])),
      VERDICTS.map((verdict) => [row[verdict] / all, verdict]),
    );
  });
  const columns = VERDICTS.map((verdict) => [
    el(
      "span",
      { class: verdict, title: verdict },
      el("span", { class: "mark", "aria-hidden": "true" }, MARKS[verdict]),
      hiddenText(verdict),
    ),
    "number",
  ]);
  return chart(title, note, verdictLegend(), table(title, [["claims"], ...columns, barColumn()], rows));
}

const verdictLegend = () =>
  el(
    "p",
    { class: "tally" },
    ...VERDICTS.map((verdict) =>
      el("span", { class: verdict }, el("span", { class: "mark" }, `${MARKS[verdict]} `), verdict),
    ),
  );

function lengthChart(lengths) {
  const figures = lengths.map((row) => {
    const most = Math.max(...row.bins);
    const step = 100 / row.bins.length;
    const bars = row.bins.map((count, i) => {
      const from = row.first + i * row.width;
      const label =
        row.width > 1
          ? `${from} to ${from + row.width - 1} words: ${number(count)}`
          : `${from} words: ${number(count)}`;
      const height = (60 * count) / most;
      return svg(
        "rect",
        { class: "fill", x: i * step + 0.06 * step, y: 60 - height, width: 0.88 * step, height },
        svg("title", {}, label),
      );
    });
    const middle = `mean ${row.mean.toFixed(1)} · median ${row.median} · 90 % in ${row.p5}–${row.p95}`;
    const told = `${middle} · longest ${row.max}`;
    const picture = svg(
      "svg",
      { viewBox: "0 0 100 60", preserveAspectRatio: "none", role: "img", "aria-label": `${row.kind}: ${told}` },
      ...bars,
    );
    const last = row.first + row.bins.length * row.width;
    const caption = el(
      "figcaption",
      {},
      el("span", {}, `${row.kind}, ${number(row.answers)} answers`),
      el("span", { class: "quiet" }, told),
    );
    return el(
      "figure",
      { class: "histogram" },
      caption,
      picture,
      el(
        "div",
        { class: "axis", "aria-hidden": "true" },
        el("span", {}, String(row.first)),
        el("span", {}, `${last} words`),
      ),
    );
  });
  return chart("Words in an answer", "", ...figures);
}
