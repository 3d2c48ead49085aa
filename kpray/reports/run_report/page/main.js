// Puts the page together: data, theme, keys.

const report = JSON.parse(byId("data").textContent);

const THEMES = ["auto", "light", "dark"];

// A page opened from disk may not be allowed to remember things; then the theme lasts as long as the page.
function remembered() {
  try {
    return localStorage.getItem("kpray-theme");
  } catch {
    return null;
  }
}

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  byId("theme").textContent = `Theme: ${theme}`;
  try {
    localStorage.setItem("kpray-theme", theme);
  } catch {
    // Nothing is lost but the choice.
  }
}

function startTheme() {
  let theme = THEMES.includes(remembered()) ? remembered() : "auto";
  setTheme(theme);
  byId("theme").addEventListener("click", () =>
    setTheme((theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length])),
  );
}

const KEYS = {
  j: () => moveCard(1),
  k: () => moveCard(-1),
  ArrowRight: () => turnPage(1),
  ArrowLeft: () => turnPage(-1),
  "/": () => byId("search").focus(),
  "?": () => byId("help").showModal(),
  s: () => byId("overlay").click(),
  Escape: releaseAll,
};

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || byId("help").open) return;
  const typing = event.target.closest && event.target.closest("input:not([type=checkbox]), select, textarea");
  if (typing || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
}

startTheme();
showSummary(report);
startGallery();
document.addEventListener("keydown", onKey);
byId("help-open").addEventListener("click", () => byId("help").showModal());
document.body.dataset.ready = "yes";
