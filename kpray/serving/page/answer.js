// One model's answer to one question, as it comes.

class Answer {
  constructor(model, place) {
    this.model = model;
    this.text = "";
    this.body = document.createTextNode("");
    this.about = el("p", { class: "about quiet" });
    const button = { type: "button", class: "small", hidden: true };
    this.copy = el("button", { ...button, onclick: () => this.toClipboard() }, "Copy");
    this.again = el("button", button, "Ask again");
    this.element = el(
      "article",
      { class: `answer ${place}`, "data-model": model, "aria-label": `Answer of ${model}` },
      el("header", { class: "head" }, el("h3", {}, model), this.copy),
      el("p", { class: "said" }, this.body),
      el("footer", { class: "foot" }, this.about, this.again),
    );
  }

  // Ask, and show what comes; `signal` stops it.
  async run(request, signal) {
    this.begin();
    try {
      for await (const chunk of chat({ model: this.model, ...request }, signal)) this.take(chunk);
      this.end("done", this.figures());
    } catch (error) {
      if (error.name === "AbortError") this.end("stopped", `stopped · ${this.figures()}`);
      else this.fail(error);
    }
  }

  begin() {
    this.text = this.body.data = "";
    this.usage = this.finish = this.firstAt = null;
    this.startedAt = performance.now();
    this.about.textContent = "thinking";
    this.copy.hidden = this.again.hidden = true;
    this.element.dataset.state = "waiting";
    this.element.setAttribute("aria-busy", "true");
  }

  take(chunk) {
    this.usage = chunk.usage ?? this.usage;
    const [choice] = chunk.choices;
    this.finish = choice?.finish_reason ?? this.finish;
    const piece = choice?.delta.content;
    if (!piece) return;
    this.firstAt ??= performance.now();
    this.element.dataset.state = "writing";
    this.text += piece;
    keepingTheEndInView(() => {
      this.body.data = this.text.trimStart();
      this.about.textContent = seconds(secondsSince(this.startedAt));
    });
  }

  // Whether it is part of the conversation; what was stopped is, as its reader has seen it.
  get counts() {
    return this.text !== "" && this.element.dataset.state !== "failed";
  }

  figures() {
    const parts = [seconds(secondsSince(this.startedAt))];
    if (this.usage) parts.unshift(counted(this.usage.completion_tokens, "token", "tokens"));
    if (this.firstAt) parts.push(`first word after ${((this.firstAt - this.startedAt) / 1000).toFixed(2)} s`);
    if (this.finish === "length") parts.push("cut at the longest length; see Settings");
    return parts.join(" · ");
  }

  end(state, about) {
    this.element.dataset.state = state;
    this.element.removeAttribute("aria-busy");
    keepingTheEndInView(() => (this.about.textContent = about));
    if (this.usage) this.about.title = `${number(this.usage.prompt_tokens)} tokens of prompt, picture included`;
    this.copy.hidden = !this.text || !navigator.clipboard; // browsers have none where the address is not secure
    byId("status").textContent = `${this.model}: ${this.text || about}`; // read out once it is whole
  }

  fail(error) {
    this.end("failed", this.text ? "not complete" : "");
    const id = error.requestId && el("span", { class: "id" }, `Request ${error.requestId}`);
    const told = el("div", { class: "trouble", role: "alert" }, el("p", {}, said(error)), id);
    this.element.querySelector(".foot").before(told);
  }

  offerAgain(again) {
    this.again.hidden = false;
    this.again.onclick = () => {
      if (running) return;
      this.element.querySelector(".trouble")?.remove();
      again();
    };
  }

  async toClipboard() {
    await navigator.clipboard.writeText(this.text.trim());
    this.copy.textContent = "Copied";
    setTimeout(() => (this.copy.textContent = "Copy"), 1500);
  }
}

const secondsSince = (start) => (performance.now() - start) / 1000;

// A fault of this page has no words for its reader; it goes to the console.
function said(error) {
  if (error instanceof Trouble) return error.message;
  console.error(error);
  return "This page failed on what the server sent. A reload may help.";
}

// A reader who has scrolled up stays there.
function keepingTheEndInView(change) {
  const root = document.documentElement;
  const atEnd = root.scrollHeight - root.scrollTop - root.clientHeight < 120;
  change();
  if (atEnd) root.scrollTop = root.scrollHeight;
}
