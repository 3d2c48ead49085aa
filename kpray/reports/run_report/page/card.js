// One entry: its picture, and what was written about it.

function cardOf(entry, place) {
  const scene = report.scenes[entry.scene];
  const title = `card-${place}`;
  const badges = [
    el("span", { class: `badge ${entry.outcome}` }, entry.outcome),
    entry.kind && el("span", { class: "badge" }, entry.kind),
  ];
  for (const reason of new Set(entry.faults.map((fault) => fault.reason)))
    badges.push(el("span", { class: "badge fault" }, `! ${words(reason)}`));
  const header = el("header", {}, el("h3", { id: title }, entry.id), ...badges);
  const body = entry.outcome === "rejected" ? rejectBody(entry) : sampleBody(entry);
  return el(
    "article",
    { class: "card", tabindex: -1, "aria-labelledby": title },
    pictureOf(scene, report),
    el("div", {}, header, ...body),
  );
}

function rejectBody(entry) {
  const reason = el("p", { class: "why" }, el("strong", {}, words(entry.reason)), ` (${entry.stage}): ${entry.detail}`);
  if (entry.turns.length) return [reason, ...sampleBody(entry)];
  if (!entry.seen) return [reason];
  return [
    reason,
    el("p", { class: "speaker" }, entry.stage === "check" ? "What it said" : "What came back"),
    el("div", { class: "said seen", tabindex: 0, role: "region", "aria-label": "Rejected text" }, entry.seen),
  ];
}

function sampleBody(entry) {
  const parts = [];
  if (entry.outcome === "duplicate") {
    const similar =
      entry.similarity === null || entry.similarity === undefined ? "" : `, similarity ${entry.similarity.toFixed(2)}`;
    parts.push(el("p", { class: "why duplicate" }, el("strong", {}, "repeats "), `${entry.duplicate_of}${similar}`));
  }
  entry.turns.forEach((turn, i) => {
    // A fault of the grounding stands where its claim does, which tells more.
    const found = [...entry.claims, ...entry.faults.filter((fault) => fault.check !== "grounding")].filter(
      (item) => item.turn === i,
    );
    const said = el("div", { class: "said" }, ...markedText(turn.text, found));
    parts.push(
      el(
        "div",
        { class: `turn ${turn.from}` },
        el("p", { class: "speaker" }, turn.from === "human" ? "Question" : "Answer"),
        said,
      ),
    );
  });
  const nowhere = entry.faults.filter((fault) => fault.start >= fault.end);
  for (const fault of nowhere)
    parts.push(
      el("p", { class: "why duplicate" }, el("strong", {}, words(fault.reason)), ` (${fault.check}): ${fault.detail}`),
    );
  parts.push(tally(entry));
  return parts;
}

function tally(entry) {
  if (!report.figures.claims_by_kind.length && !entry.claims.length) return ""; // a run whose claims nobody looked at
  const counted = VERDICTS.map((verdict) => [
    verdict,
    entry.claims.filter((claim) => claim.verdict === verdict).length,
  ]).filter(([, count]) => count);
  if (!counted.length) return el("p", { class: "tally" }, "no claims that pose codes could decide");
  return el(
    "p",
    { class: "tally" },
    ...counted.map(([verdict, count]) =>
      el(
        "span",
        { class: verdict },
        el("span", { class: "mark", "aria-hidden": "true" }, `${MARKS[verdict]} `),
        `${count} ${verdict}`,
      ),
    ),
  );
}
