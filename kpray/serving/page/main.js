// Puts the page together: theme, settings, what is dropped and pasted anywhere.

const THEMES = ["auto", "light", "dark"];
const THEME = "kpray-theme";

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  remember("local", THEME, theme);
}

function startTheme() {
  let theme = THEMES.includes(recall("local", THEME)) ? recall("local", THEME) : "auto";
  setTheme(theme);
  byId("theme").addEventListener("click", () =>
    setTheme((theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length])),
  );
}

function startSettings() {
  const show = () => (byId("temperature-shown").textContent = byId("temperature").valueAsNumber.toFixed(1));
  byId("temperature").addEventListener("input", show);
  show();
}

const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
const dropping = (on) => document.body.classList.toggle("over", on);

function startDropping() {
  document.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault(); // else the browser leaves the page for the file
    dropping(true);
  });
  document.addEventListener("dragleave", (event) => !event.relatedTarget && dropping(false));
  document.addEventListener("drop", (event) => {
    dropping(false);
    if (!holdsFiles(event)) return;
    event.preventDefault();
    takeFiles([...event.dataTransfer.files]);
  });
}

// Pictures and keypoints wherever they are pasted; all other text goes where it would.
function onPaste(event) {
  const files = [...event.clipboardData.files];
  const text = event.clipboardData.getData("text");
  if (files.length) takeFiles(files);
  else if (looksLikeKeypoints(text)) takeFiles([new File([text], "pasted.json", { type: "application/json" })]);
  else return;
  event.preventDefault();
}

function onKey(event) {
  if (event.key === "Escape" && running && !byId("key").open) running.abort();
}

startTheme();
startSettings();
startKeys();
startPicture();
startModels();
startChat();
startDropping();
document.addEventListener("paste", onPaste);
document.addEventListener("keydown", onKey);
byId("notice-close").addEventListener("click", () => notice(""));
loadModels().then(() => (document.body.dataset.ready = "yes"));
