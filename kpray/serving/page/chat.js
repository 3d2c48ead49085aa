// The conversation: questions, and the answers of one or two models to each.

const SUGGESTIONS = [
  "What is the person doing?",
  "Describe each person's pose in detail.",
  "Which arm is raised?",
  "Is anyone sitting down?",
];

let turns = []; // {question, picture, fresh, answers: [Answer]}; `fresh` where the models start anew
let running = null; // the AbortController of what is being answered

function submit(event) {
  event?.preventDefault();
  const question = byId("question").value.trim();
  if (!question || running || !picked().length) return;
  byId("question").value = "";
  fitQuestion();
  askAll(addTurn(question));
}

function addTurn(question) {
  const before = turns.at(-1);
  const fresh = !before || before.picture !== picture;
  const answers = picked().map((model, i) => new Answer(model, PICKERS[i]));
  const turn = { question, picture, fresh, answers };
  turns.push(turn);
  if (before && fresh) byId("log").append(el("p", { class: "divider" }, "The picture is another: the models start anew"));
  byId("log").append(turnMarks(turn));
  byId("welcome").hidden = true;
  byId("afresh").disabled = false;
  document.documentElement.scrollTop = document.documentElement.scrollHeight;
  return turn;
}

function turnMarks({ question, picture: shown, fresh, answers }) {
  const thumb = fresh && shown ? el("img", { src: shown.url, alt: `With the picture ${shown.name}` }) : null;
  const asked = el("p", {}, el("span", { class: "hidden" }, "You: "), question);
  const columns = { class: answers.length > 1 ? "answers two" : "answers" };
  return el(
    "section",
    { class: "turn", "aria-label": question },
    el("div", { class: "asked" }, thumb, asked),
    el("div", columns, ...answers.map((one) => one.element)),
  );
}

async function askAll(turn, answers = turn.answers) {
  running = new AbortController();
  showReady();
  const sampling = { temperature: byId("temperature").valueAsNumber, max_tokens: maxTokens() };
  const ask = (one) => one.run({ messages: messagesFor(one.model, turn), ...sampling }, running.signal);
  await Promise.all(answers.map(ask));
  running = null;
  for (const one of answers.filter((one) => one.element.dataset.state === "failed"))
    one.offerAgain(() => askAll(turn, [one]));
  showReady();
}

const maxTokens = () => Math.max(1, Math.round(byId("max-tokens").valueAsNumber) || 256);

// What one model is sent: its own answers since the picture was new. Questions that it failed on are left out.
function messagesFor(model, turn) {
  const until = turns.indexOf(turn);
  const since = turns.findLastIndex((one, i) => i <= until && one.fresh);
  const earlier = turns.slice(since, until).flatMap(({ question, answers }) => {
    const answered = answers.find((one) => one.model === model && one.counts);
    return answered ? [userMessage(question), { role: "assistant", content: answered.text.trim() }] : [];
  });
  const messages = [...earlier, userMessage(turn.question)];
  if (turn.picture) messages[0].content.unshift({ type: "image_url", image_url: { url: turn.picture.uri } });
  return messages;
}

const userMessage = (text) => ({ role: "user", content: [{ type: "text", text }] });

function showReady() {
  byId("ask").hidden = Boolean(running);
  byId("stop").hidden = !running;
  byId("ask").disabled = !picked().length || !byId("question").value.trim();
}

function beginAfresh() {
  running?.abort();
  turns = [];
  byId("log").replaceChildren();
  byId("welcome").hidden = false;
  byId("afresh").disabled = true;
  byId("question").focus();
}

function fitQuestion() {
  const box = byId("question");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight + 2, 180)}px`;
  showReady();
}

function suggest(question) {
  byId("question").value = question;
  fitQuestion();
  byId("question").focus();
  if (picture) submit();
}

function startChat() {
  byId("composer").addEventListener("submit", submit);
  byId("question").addEventListener("input", fitQuestion);
  byId("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  });
  byId("stop").addEventListener("click", () => running?.abort());
  byId("afresh").addEventListener("click", beginAfresh);
  for (const question of SUGGESTIONS) {
    const ask = () => suggest(question);
    byId("suggestions").append(el("button", { type: "button", class: "chip", onclick: ask }, question));
  }
}
