// Live updates hold still. Rows that are shown change in place and keep their order; new ones are
// counted and wait for a click. If something above changes its height, the page scrolls with it.
(() => {
  const main = document.getElementById("main");
  const announced = document.getElementById("announced");
  const rows = (list) => [...list.children].filter((row) => row.id);
  const isAsked = (ctx) => Boolean(ctx.sourceEvent?.detail?.show);

  // Where the pointer was moved to on this page. One that only lies there is not at anything.
  let pointer = null;
  addEventListener("pointermove", (event) => {
    pointer = event.pointerType === "touch" ? null : [event.clientX, event.clientY];
  }, { passive: true });
  document.documentElement.addEventListener("pointerleave", () => { pointer = null; });
  const pointed = () => pointer && document.elementFromPoint(...pointer);

  // A person reads a list that begins above the window, or has the pointer, the focus or a selection in it.
  const isRead = (list) => {
    const selection = getSelection();
    return list.contains(pointed()) || list.contains(document.activeElement)
      || (!selection.isCollapsed && selection.containsNode(list, true))
      || list.getBoundingClientRect().top < 0;
  };
  const isHeld = (list) => rows(list).length > 0 && (list.dataset.hold === "always" || isRead(list));

  const gone = (row) => {
    const copy = row.cloneNode(true);
    copy.classList.add("gone");
    return copy;
  };

  // Replace the rows of an incoming list by those that are shown, as they are now. Return what waits, in words.
  const hold = (shown, incoming) => {
    const ids = new Set(rows(shown).map((row) => row.id));
    const order = rows(incoming);
    const now = new Map(order.map((row) => [row.id, row]));
    const last = order.findLastIndex((row) => ids.has(row.id));
    // A list that goes on by position names the newer rows. Rows below those that are shown are older ones.
    const isByPosition = "newer" in incoming.dataset;
    const others = order.slice(0, isByPosition ? last + 1 : order.length).filter((row) => !ids.has(row.id));
    // Rows that came in between push as many out at the end of the page. These are still in the list.
    const isCut = order.length >= ids.size && last === order.length - 1;
    const end = isCut ? rows(shown).findIndex((row) => row.id === order[last].id) : ids.size;
    const kept = rows(shown).map((row, at) => now.get(row.id) ?? (at > end ? row.cloneNode(true) : gone(row)));
    incoming.replaceChildren(...kept);
    const newer = incoming.dataset.newer ?? "0";
    const added = others.length + Number.parseInt(newer, 10);
    const lost = kept.filter((row) => row.matches(".gone")).length;
    return [added && `${added}${newer.endsWith("+") ? "+" : ""} new`, lost && `${lost} no longer listed`].filter(Boolean).join(", ");
  };

  // Write what waits into the link that shows it.
  const note = (fragment, id, words) => {
    const link = fragment.querySelector(`[data-show="${id}"]`);
    if (!link || !words) return;
    link.textContent = `${words}, show`;
    link.parentNode.classList.add("some");
    const isFirst = !document.querySelector(`.some > [data-show="${id}"]`);
    if (isFirst) announced.textContent = `${words}. A link above the list shows them.`;
  };

  const settle = (region, fragment) => {
    for (const shown of [...region.querySelectorAll("[data-hold]")].filter(isHeld)) {
      if (!fragment.querySelector(`#${shown.id}`)) {
        // Nothing is left of a list: the page stays as it is, with rows that are gone.
        if (!shown.dataset.shown) continue;
        fragment.replaceChildren(region.cloneNode(true));
        fragment.querySelector(`#${shown.id}`).replaceChildren();
      }
      note(fragment, shown.id, hold(shown, fragment.querySelector(`#${shown.id}`)));
    }
  };

  // What must not move: what the pointer is at, or the focus, or on a page that was scrolled, the middle.
  const anchor = () => {
    const focused = document.activeElement;
    const places = [pointed(), focused !== main && focused];
    if (scrollY > 0) places.push(document.elementFromPoint(innerWidth / 2, innerHeight / 2));
    return places.find((element) => element && element !== main && main.contains(element));
  };

  // Pixels that are added above and below the content, until nothing has to stay in its place.
  const added = { top: 0, bottom: 0 };
  const add = (side, pixels) => {
    added[side] += pixels;
    main.style[`margin-${side}`] = added[side] ? `${added[side]}px` : "";
  };
  // Scroll until the element is where it was. At an end of the page, make room for that.
  const keepInPlace = ({ element, top }) => {
    const moved = () => element.getBoundingClientRect().top - top;
    const scroll = () => scrollBy({ top: moved(), behavior: "instant" });
    if (moved() > 0 && added.top) add("top", -Math.min(moved(), added.top));
    scroll();
    if (moved() <= -1) add("top", -moved());
    if (moved() >= 1) add("bottom", moved());
    scroll();
  };

  document.addEventListener("htmx:config:request", ({ detail: { ctx } }) => {
    const list = ctx.sourceElement.matches("[data-live]") && ctx.sourceElement.querySelector("[data-shown]");
    if (list && !isAsked(ctx)) ctx.request.body.set("shown", list.dataset.shown);
  });

  document.addEventListener("htmx:before:swap", ({ detail: { ctx, tasks } }) => {
    if (!ctx.sourceElement.matches("[data-live]") || ctx.response.status >= 400 || isAsked(ctx)) return;
    for (const task of tasks) if (task.type === "main") settle(ctx.sourceElement, task.fragment);
    const element = anchor();
    if (element) ctx.anchor = { element, top: element.getBoundingClientRect().top };
    else for (const side of ["top", "bottom"]) add(side, -added[side]);
  });

  document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
    if (ctx.anchor?.element.isConnected) keepInPlace(ctx.anchor);
    if (isAsked(ctx)) {
      const list = document.getElementById(ctx.sourceEvent.detail.show);
      list?.querySelector("a")?.focus({ preventScroll: true });
      if (list?.getBoundingClientRect().top < 0) ctx.sourceElement.scrollIntoView({ block: "start", behavior: "instant" });
    }
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-show]");
    const region = link?.closest("[data-live]");
    if (!region || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    region.dispatchEvent(new CustomEvent("refresh", { detail: { show: link.dataset.show } }));
  });
})();
