// Live updates: paused by a switch that the browser remembers, quiet while the tab is hidden, and
// marked as old within 5 s when they fail. `hold.js` applies them.
(() => {
  const PATIENCE_MS = 4800;
  const NO_ANSWER = "The daemon does not answer.";
  const REASONS = {
    401: "Your session has ended.",
    404: "There is no such page any more.",
    503: "The daemon has no database, or too much to do.",
  };
  const [updates, at, button, fault, faultText, announced] = [
    "updates", "updates-at", "updates-pause", "fault", "fault-text", "announced",
  ].map((id) => document.getElementById(id));
  if (!updates) return;
  const signIn = document.createElement("a");
  signIn.textContent = "Sign in";

  const root = document.documentElement;
  const regions = () => document.querySelectorAll("[data-live]");
  const isUpdate = (ctx) => ["every", "refresh"].includes(ctx.sourceEvent?.type);
  // `times.js` shows it in the time that a person chose.
  const clock = (moment) => {
    const time = document.createElement("time");
    const text = document.createElement("span");
    time.dateTime = new Date(moment).toISOString();
    text.className = "clock";
    text.textContent = `${time.dateTime.slice(11, 19)} UTC`;
    time.append(text);
    return time;
  };
  const say = (element, ...parts) => {
    element.replaceChildren(...parts);
    document.dispatchEvent(new Event("times"));
  };
  let updated = Date.now();
  let isPaused = false;
  let watch;
  try { isPaused = localStorage.getItem("updates") === "paused"; } catch { /* no storage, no choice */ }

  const show = () => {
    const prefix = !regions().length ? "As of" : isPaused ? "Updates are paused, as of" : "Updated";
    say(at, `${prefix} `, clock(updated));
    button.setAttribute("aria-pressed", isPaused);
  };

  const fail = (reason, isSignedOut = false) => {
    say(faultText, "Not updated since ", clock(updated), `. ${reason}${isSignedOut ? "" : " Trying again …"}`);
    // The server leads from the page to the form, and back to the page.
    signIn.href = location.pathname + location.search;
    if (!isSignedOut) signIn.remove();
    else if (!signIn.isConnected) fault.append(signIn);
    if (fault.hidden) announced.textContent = faultText.textContent;
    fault.hidden = false;
    root.dataset.fault = "";
  };

  const recover = () => {
    if (!fault.hidden) announced.textContent = "The page is updated again.";
    fault.hidden = true;
    delete root.dataset.fault;
  };

  // Expect an update soon. An answer may also be missing altogether.
  const expect = () => {
    clearTimeout(watch);
    if (isPaused || document.hidden) return;
    watch = setTimeout(() => { if (regions().length) fail(NO_ANSWER); }, PATIENCE_MS);
  };

  const refresh = () => {
    if (isPaused || document.hidden) return;
    for (const region of regions()) region.dispatchEvent(new CustomEvent("refresh"));
    expect();
  };

  const pause = (wanted) => {
    isPaused = wanted;
    announced.textContent = isPaused ? "Updates are paused." : "Updates go on.";
    clearTimeout(watch);
    if (isPaused) recover();
    show();
    refresh();
  };

  button.addEventListener("click", () => {
    pause(!isPaused);
    try { localStorage.setItem("updates", isPaused ? "paused" : "on"); } catch { /* for this page only */ }
  });
  addEventListener("storage", (event) => {
    if (event.key === "updates") pause(event.newValue === "paused");
  });
  // A hidden tab asks for nothing. What it missed is asked for once when it is shown again.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(watch);
    else refresh();
  });

  document.addEventListener("htmx:config:request", (event) => {
    const { sourceElement, sourceEvent } = event.detail.ctx;
    const isBusy = sourceElement.matches(".htmx-request");
    if (sourceEvent?.type === "every" && (isPaused || document.hidden || isBusy)) event.preventDefault();
  });
  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (ctx.response.status >= 400) return;
    // A page without updates learns from any other answer that its session goes on.
    if (isUpdate(ctx) || !regions().length) recover();
    if (!isUpdate(ctx)) return;
    updated = Date.now();
    show();
    expect();
  });
  document.addEventListener("htmx:response:error", ({ detail: { ctx } }) => {
    const { status } = ctx.response;
    if (isUpdate(ctx) || status === 401) fail(REASONS[status] ?? `The daemon answered ${status}.`, status === 401);
  });
  document.addEventListener("htmx:error", ({ detail: { ctx } }) => {
    if (ctx && isUpdate(ctx)) fail(NO_ANSWER);
  });

  updates.hidden = !regions().length;
  show();
  expect();
})();
