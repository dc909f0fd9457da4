// Copy buttons: `data-copy` names an element to copy the text of, `data-copy-text` is the text, and
// `data-copy-from` is an address whose exact bytes are text to copy.
(() => {
  let status;
  const announce = (text) => {
    if (!status) {
      status = document.createElement("p");
      status.className = "unseen";
      status.setAttribute("role", "status");
      document.body.append(status);
    }
    // A screen reader speaks of what changes in an element that it knows already.
    requestAnimationFrame(() => { status.textContent = text; });
  };

  const read = async ({ copy, copyText, copyFrom }) => {
    if (copyText !== undefined) return copyText;
    if (copyFrom === undefined) {
      const source = document.getElementById(copy);
      return source.value ?? source.textContent;
    }
    const response = await fetch(copyFrom);
    if (!response.ok) throw new Error("there is no text to copy");
    return response.text();
  };

  // Browsers give scripts a clipboard only over TLS, or on the same machine.
  const writeByCommand = (text) => {
    const before = document.activeElement;
    const field = document.createElement("textarea");
    field.className = "unseen";
    field.value = text;
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    before?.focus();
    if (!isCopied) throw new Error("the browser does not copy");
  };

  const copy = async (button) => {
    let word = "Copied";
    try {
      const text = await read(button.dataset);
      if (navigator.clipboard) await navigator.clipboard.writeText(text);
      else writeByCommand(text);
    } catch {
      word = "Not copied";
    }
    button.dataset.label ??= button.textContent;
    button.textContent = word;
    announce(`${word}: ${button.title || "the text"}`);
    setTimeout(() => {
      button.textContent = button.dataset.label;
      announce("");
    }, 1500);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-text], [data-copy-from]");
    if (button) copy(button);
  });
})();
