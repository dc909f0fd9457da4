// Before the page is painted: the theme and the clock one chose last, or the system's theme and UTC;
// and that scripts run, so that what needs them is shown.
(() => {
  const root = document.documentElement;
  root.dataset.scripted = "";
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;
    if (localStorage.getItem("clock") === "local") root.dataset.clock = "local";
  } catch { /* no storage, no choice */ }
})();
