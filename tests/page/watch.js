/**
 * Runs in a page before its own scripts, and looks at all that is added to its document:
 * `watch.ran` are payloads that ran, `watch.flaws` elements and attributes that no text may
 * bring about, `watch.violations` what the Content-Security-Policy had to stop.
 */
(() => {
  const watch = (window.watch = { ran: [], flaws: [], violations: [], payload: "" });
  for (const name of ["pwned", "alert", "confirm", "prompt"]) {
    Object.defineProperty(window, name, { value: () => void watch.ran.push(watch.payload) });
  }
  document.addEventListener("securitypolicyviolation", (event) =>
    watch.violations.push(`${event.effectiveDirective} ${event.blockedURI}`),
  );

  // what Markdown becomes, and what the page itself is made of
  const written = {
    tags:
      "a blockquote br button code del div em h1 h2 h3 h4 h5 h6 hr input li ol p pre span strong sup table tbody td th thead tr ul" +
      " math menclose merror mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace msqrt mstyle" +
      " msub msubsup msup mtable mtd mtext mtr munder munderover none",
    attributes:
      "align checked class colspan dir disabled href rel role start tabindex target title type aria-label aria-pressed" +
      " accent accentunder columnalign columnlines columnspan depth display displaystyle fence form height largeop linethickness" +
      " lspace mathcolor mathvariant maxsize minsize movablelimits notation rowspan rspace scriptlevel separator stretchy symmetric" +
      " voffset width",
  };
  const own = {
    tags: "a article button code dd details div dl dt form header input label li ol p path pre progress section span summary strong svg textarea ul",
    attributes: "class d dir disabled hidden href max maxlength open part placeholder rel role rows tabindex target title type value viewBox",
  };
  for (const kind of [written, own]) {
    kind.tags = new Set(kind.tags.split(" "));
    kind.attributes = new Set(kind.attributes.split(" "));
  }

  const leadsToSession = (url) => url.startsWith(`${location.origin}/c/`) && /\/c\/[0-9a-f-]{36}$/.test(url);

  function inspect(element) {
    const block = element.closest(".markdown");
    const kind = block && block !== element ? written : own;
    const flaw = (what) => watch.flaws.push(`${what} from ${JSON.stringify(watch.payload)}`);
    if (!kind.tags.has(element.localName)) flaw(`<${element.localName}>`);
    for (const { name, value } of element.attributes) {
      const harmless = kind === own && /^(aria|data)-/.test(name);
      if (!harmless && !kind.attributes.has(name)) flaw(`<${element.localName} ${name}="${value}">`);
    }
    if (!element.hasAttribute("href") || (kind === own && leadsToSession(element.href))) return;
    if (!/^(https?:\/\/|mailto:)/i.test(element.getAttribute("href"))) flaw(element.outerHTML);
    if (element.target !== "_blank" || element.rel !== "noopener noreferrer") flaw(element.outerHTML);
  }

  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) {
      for (const node of addedNodes) {
        if (!(node instanceof Element) || !node.isConnected || !watch.on) continue;
        inspect(node);
        node.querySelectorAll("*").forEach(inspect);
      }
    }
  }).observe(document, { childList: true, subtree: true });
})();
