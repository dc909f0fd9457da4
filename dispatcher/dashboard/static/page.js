// What pages do by themselves: switch themes, open dialogs, search, filter lists. Everything
// also works without it.
(() => {
  const switchTheme = () => {
    const root = document.documentElement;
    const dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* for this page only */ }
  };

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-theme-switch], [data-open], [data-close]");
    if (!target) return;
    if ("themeSwitch" in target.dataset) switchTheme();
    // Without this script, a link leads to its dialog by `:target`.
    if (target.tagName === "A") event.preventDefault();
    if (target.dataset.open) document.getElementById(target.dataset.open).showModal();
    if ("close" in target.dataset) target.closest("dialog").close();
  });

  // What is called a button is pressed by both keys that press buttons.
  document.addEventListener("keydown", (event) => {
    if (event.key === " " && event.target.matches("a[role=button]")) {
      event.preventDefault();
      event.target.click();
    }
  });

  // `/` and Ctrl+K or Cmd+K lead to the box, Escape leaves it, and the arrow keys walk through its hits.
  const box = document.getElementById("q");
  const hits = document.getElementById("box-hits");
  const typing = (element) => element.matches("input, textarea, select, [contenteditable]");
  const walk = (event) => {
    const stops = [box, ...hits.querySelectorAll("a, button")];
    const at = stops.indexOf(document.activeElement);
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    if (at < 0 || !stops[next]) return;
    event.preventDefault();
    stops[next].focus();
  };
  document.addEventListener("keydown", (event) => {
    if (!box || event.defaultPrevented) return;
    // Browsers that fill in a field send an event without a key.
    const command = event.key?.toLowerCase() === "k" && (event.metaKey || event.ctrlKey) && !event.altKey;
    const slash = event.key === "/" && !typing(event.target) && !event.metaKey && !event.ctrlKey && !event.altKey;
    if ((command || slash) && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      box.focus();
      box.select();
    } else if (event.key === "Escape" && event.target.closest("#box")) {
      box.focus();
      hits.replaceChildren();
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      walk(event);
    }
  });
  document.addEventListener("click", (event) => {
    if (hits && !event.target.closest("#box")) hits.replaceChildren();
  });

  // A combobox: typing searches, arrow keys go through the options, and a choice is applied at once.
  for (const input of document.querySelectorAll("[data-combobox]")) {
    const list = document.getElementById(input.dataset.combobox);
    const options = () => [...list.querySelectorAll("[role=option][data-href]")];
    for (const [name, value] of [["role", "combobox"], ["aria-autocomplete", "list"], ["aria-expanded", "true"], ["aria-controls", list.id]]) {
      input.setAttribute(name, value);
    }
    const activate = (option) => {
      for (const each of options()) each.setAttribute("aria-selected", each === option);
      if (!option) return input.removeAttribute("aria-activedescendant");
      // Ids are set here: htmx gives an element of the page and of the response with one id its old attributes.
      option.id = `${list.id}-${options().indexOf(option)}`;
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    };
    // The list gets its role with its first options: before, it is a list with a link.
    new MutationObserver(() => {
      if (options().length) list.setAttribute("role", "listbox");
      activate(input.value.trim() ? options()[0] : null);
    }).observe(list, { childList: true });
    input.addEventListener("keydown", (event) => {
      const all = options();
      const at = all.findIndex((option) => option.getAttribute("aria-selected") === "true");
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        const next = at + (event.key === "ArrowDown" ? 1 : -1);
        activate(all[Math.max(0, Math.min(next, all.length - 1))]);
      } else if (event.key === "Enter" && at >= 0) {
        event.preventDefault();
        location.assign(all[at].dataset.href);
      } else if (event.key === "Escape") {
        const menu = input.closest("details");
        menu.open = false;
        menu.querySelector("summary").focus();
      }
    });
    list.addEventListener("click", (event) => {
      const option = event.target.closest("[data-href]");
      if (option) location.assign(option.dataset.href);
    });
    input.closest("details").addEventListener("toggle", (event) => {
      if (event.target.open) input.focus();
    });
  }

  // A list to pick from is narrowed to what contains what is typed; what is picked stays in sight.
  document.addEventListener("input", (event) => {
    const list = document.getElementById(event.target.dataset.filter ?? "");
    if (!list) return;
    const wanted = event.target.value.trim().toLowerCase();
    for (const item of list.children) {
      const picked = item.querySelector("input")?.checked;
      item.hidden = !picked && !item.textContent.toLowerCase().includes(wanted);
    }
  });
  for (const element of document.querySelectorAll("[data-script]")) element.hidden = false;

  // A page that was the answer to a form is not sent again when it is loaded again.
  const then = document.querySelector("meta[name=address]");
  if (then) history.replaceState(null, "", then.content);

  // A message about a change is not shown again when the page is reloaded.
  const here = new URL(location);
  if (here.searchParams.has("flash")) {
    here.searchParams.delete("flash");
    history.replaceState(null, "", here);
  }
})();
