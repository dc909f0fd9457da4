// Times: the relative ones are kept up to date, and the exact ones are in UTC or, if a person chose
// so, in the time of the browser. The choice is kept in the browser; `theme.js` reads it.
(() => {
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const root = document.documentElement;
  const isLocal = () => root.dataset.clock === "local";

  const relative = (moment, now) => {
    const seconds = (now - moment) / 1000;
    for (const [length, unit] of UNITS) {
      if (Math.abs(seconds) >= length) {
        const size = Math.floor(Math.abs(seconds) / length);
        return seconds > 0 ? `${size} ${unit} ago` : `in ${size} ${unit}`;
      }
    }
    return "now";
  };

  const two = (number) => String(number).padStart(2, "0");
  const offset = (date) => {
    const minutes = Math.abs(date.getTimezoneOffset());
    return `${date.getTimezoneOffset() > 0 ? "-" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
  };
  const clock = (moment) => {
    const date = new Date(moment);
    if (!isLocal()) return `${date.toISOString().slice(11, 19)} UTC`;
    return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${offset(date)}`;
  };
  const exact = (moment) => {
    const date = new Date(moment);
    if (!isLocal()) return `${date.toISOString().slice(0, 10)} ${clock(moment)}`;
    return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock(moment)}`;
  };

  const write = (element, text) => {
    if (element && element.textContent !== text) element.textContent = text;
  };

  const show = () => {
    const now = Date.now();
    for (const time of document.querySelectorAll("time[datetime]")) {
      const moment = Date.parse(time.dateTime);
      const isDue = moment <= now && time.closest("[data-due]");
      write(time.querySelector(".ago"), isDue ? "now" : relative(moment, now));
      write(time.querySelector(".exact"), exact(moment));
      write(time.querySelector(".clock"), clock(moment));
    }
  };

  const mark = () => {
    for (const button of document.querySelectorAll("[data-clock-switch]")) button.setAttribute("aria-pressed", isLocal());
    show();
  };

  document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-clock-switch]")) return;
    root.dataset.clock = isLocal() ? "utc" : "local";
    try { localStorage.setItem("clock", root.dataset.clock); } catch { /* for this page only */ }
    mark();
  });
  // What a live region brings is in UTC, and so is what `live.js` writes.
  document.addEventListener("htmx:after:swap", show);
  document.addEventListener("times", show);

  mark();
  setInterval(show, 1000);
})();
