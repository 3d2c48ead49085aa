// A turn's text, cut where claims and faults begin and end, and the tooltip that tells about them.

const WORST = ["contradicted", "fault", "unverifiable", "supported"];
const styleOf = (found) => found.verdict || "fault";

function markedText(text, found) {
  const inside = found.filter((item) => item.start < item.end && item.start < text.length);
  const cuts = [
    ...new Set([0, text.length, ...inside.flatMap((item) => [item.start, Math.min(item.end, text.length)])]),
  ].sort((a, b) => a - b);
  return cuts.slice(1).map((end, i) => {
    const start = cuts[i];
    const here = inside.filter((item) => item.start <= start && item.end >= end);
    const piece = text.slice(start, end);
    return here.length && piece.trim() ? markedPiece(piece, here) : piece;
  });
}

function markedPiece(piece, here) {
  const worst = WORST.find((style) => here.some((item) => styleOf(item) === style));
  const mark = el(
    "span",
    {
      class: `claim ${worst}`,
      role: "button",
      tabindex: 0,
      "aria-pressed": "false",
      "aria-label": `${piece}: ${here.map(shortly).join("; ")}`,
    },
    piece,
  );
  const show = () => {
    pointOut(mark.closest(".card"), here);
    showTip(mark, here);
  };
  const hide = () => {
    if (mark.getAttribute("aria-pressed") === "true") return;
    hideTip(mark);
    const card = mark.closest(".card");
    if (!card) return; // the page was turned meanwhile
    const held = card.querySelector('.claim[aria-pressed="true"]');
    pointOut(card, held ? held.found : []);
  };
  const hold = () => {
    const held = mark.getAttribute("aria-pressed") === "true";
    releaseAll();
    mark.setAttribute("aria-pressed", String(!held));
    if (held) hide();
    else show();
  };
  mark.found = here;
  mark.release = () => {
    mark.setAttribute("aria-pressed", "false");
    hide();
  };
  for (const event of ["mouseenter", "focus"]) mark.addEventListener(event, show);
  for (const event of ["mouseleave", "blur"]) mark.addEventListener(event, hide);
  mark.addEventListener("click", hold);
  mark.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    hold();
  });
  return mark;
}

// Show in the text and on the picture which claims are meant; none puts the card back as it was.
function pointOut(card, found) {
  for (const mark of card.querySelectorAll(".claim")) {
    mark.classList.toggle(
      "on",
      mark.found.some((item) => found.includes(item)),
    );
  }
  light(card, found);
}

function releaseAll() {
  for (const mark of document.querySelectorAll('.claim[aria-pressed="true"]')) mark.release();
}

function claimText(claim) {
  const side = claim.side === "left" || claim.side === "right" ? `${claim.side} ` : "";
  const value = claim.value === "yes" ? "" : `: ${words(claim.value)}`;
  const sides = { both: "both sides", one: "at least one side" }[claim.side];
  const manner = [sides, claim.negated && "denied", claim.hedged && "hedged"].filter(Boolean).join(", ");
  return `${side}${words(claim.name)}${value}${manner ? ` (${manner})` : ""}`;
}

const shortly = (item) => (item.verdict ? `${item.verdict}: ${claimText(item)}` : `fault: ${words(item.reason)}`);

function showTip(mark, here) {
  const tip = byId("tip");
  tip.replaceChildren(
    ...here.map((item) =>
      el("section", {}, ...tipLines(item).map((line, i) => el("p", { class: i ? "" : "first" }, line))),
    ),
  );
  tip.hidden = false;
  const place = mark.getClientRects()[0];
  const left = Math.min(place.left, document.documentElement.clientWidth - tip.offsetWidth - 8);
  const below = place.bottom + tip.offsetHeight + 12 < window.innerHeight;
  tip.style.left = `${Math.max(left, 8) + window.scrollX}px`;
  tip.style.top = `${(below ? place.bottom + 8 : place.top - tip.offsetHeight - 8) + window.scrollY}px`;
  mark.setAttribute("aria-describedby", "tip");
}

function hideTip(mark) {
  byId("tip").hidden = true;
  mark.removeAttribute("aria-describedby");
}

function tipLines(item) {
  if (!item.verdict) return [`${MARKS.fault} ${words(item.reason)} (${item.check})`, item.detail];
  const names = report.skeleton.names;
  const person = (index) => `person ${index + 1}`;
  const lines = [`${MARKS[item.verdict]} ${item.verdict}`, `The text says: ${claimText(item)}`];
  if (item.code)
    lines.push(`Decided by: ${words(item.code)}${item.margin === null || item.margin >= 99 ? "" : `, margin ${item.margin.toFixed(1)}`}`);
  if (item.person !== null)
    lines.push(
      `About ${person(item.person)}${
        item.people.length > 1
          ? `; could also mean ${item.people
              .filter((i) => i !== item.person)
              .map(person)
              .join(", ")}`
          : ""
      }`,
    );
  else if (item.people.length) lines.push(`Could mean ${item.people.map(person).join(", ")}`);
  if (item.keypoints.length) lines.push(`Keypoints: ${item.keypoints.map((k) => names[k]).join(", ")}`);
  return lines;
}
