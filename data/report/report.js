"use strict";
// The judged questions: found by text and filters, a page at a time. Without a script the page shows every card that
// has its picture, and no filters.
(() => {
  const SIZE = 12;  // cards a page
  const form = document.querySelector(".filters");
  const gallery = document.querySelector(".gallery");
  const pager = document.querySelector(".pager");

  // ------------------------------------------------------------------------------------------------ what there is

  const cards = [...(gallery?.children ?? [])];
  const told = (card) => ({ ...card.dataset, confidence: Number(card.dataset.confidence ?? 0), card });

  const unpack = async (text) => {
    const packed = atob(text), bytes = new Uint8Array(packed.length);
    for (let at = 0; at < packed.length; at += 1) bytes[at] = packed.charCodeAt(at);
    const content = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(content).text());
  };

  const pairs = (row) => Array.from({ length: row.length / 2 }, (_, k) => [row[2 * k], row[2 * k + 1]]);

  const records = (columns) => {
    const { texts, outcomes } = columns, low = texts.map((text) => text.toLowerCase());
    const card = new Map(cards.map((one) => [Number(one.dataset.number), one]));
    const record = (number) => {
      const at = (name) => columns[name][number];
      const prediction = at("prediction"), people = at("people"), top = at("top");
      let text = `${low[at("question")]} ${low[prediction]}`, confidence = 0;
      for (let k = 0; k < people.length; k += 2) text += ` ${low[people[k]]}`;
      for (let k = 0; k < top.length; k += 2) if (top[k] === prediction) confidence = top[k + 1] / 1000;
      return {
        number, text, confidence, mark: outcomes[at("outcome")][0], card: card.get(number),
        answers: texts[at("answerType")], questions: texts[at("questionType")],
        consensus: texts[at("consensus")], prediction: texts[prediction],
      };
    };
    const first = [...card.keys()];
    const others = columns.question.map((_, number) => number).filter((number) => !card.has(number));
    return [...first, ...others].map(record);
  };

  // ------------------------------------------------------------------------------------------------------- a card

  let columns = null;

  const write = (within, css, text) => { within.querySelector(css).textContent = text; };

  const repeat = (first, rows, fill) => {
    for (const row of rows) fill(first.parentNode.appendChild(first.cloneNode(true)), row);
    first.remove();
  };

  const drawn = ({ number, mark }) => {
    const card = document.querySelector("#card").content.firstElementChild.cloneNode(true);
    const { texts, outcomes } = columns, at = (name) => columns[name][number], text = (name) => texts[at(name)];
    const people = pairs(at("people")), asked = people.reduce((sum, [, times]) => sum + times, 0);
    card.classList.add(mark);
    write(card, ".missing", `Picture ${at("image")} is not on this page.`);
    write(card, "h3", text("question"));
    write(card, ".badge", outcomes[at("outcome")][1]);
    card.querySelector(".badge").classList.add(mark);
    write(card, "strong", text("prediction"));
    write(card, ".score", `scores ${at("score")} %`);
    write(card, ".total", `${asked} ${asked === 1 ? "person" : "people"}:`);
    write(card, ".about", `${text("questionType")} · ${text("answerType")} · question ${at("id")}`);
    repeat(card.querySelector(".chip"), people, (chip, [answer, times]) => {
      const often = chip.querySelector("b");
      often.textContent = `×${times}`;
      chip.replaceChildren(texts[answer], ...(times > 1 ? [" ", often] : []));
      chip.before(" ");
    });
    repeat(card.querySelector(".rows .row"), pairs(at("top")), (row, [answer, share]) => {
      const kind = answer === at("prediction") ? "model" : "prior";
      row.className = `row ${kind}`;
      row.querySelector(".bar").setAttribute("class", `bar ${kind}`);
      row.querySelector(".fill").setAttribute("width", `${share / 10}%`);
      write(row, ".name", texts[answer]);
      write(row, ".percent", share < 5 ? "<1" : Math.round(share / 10));
    });
    return card;
  };

  // ----------------------------------------------------------------------------------------------- what is shown

  let all = cards.map(told), found = all, page = 0, pair = null;
  const field = (name) => form.elements.namedItem(name)?.value ?? "";  // not every page has all of them
  const count = (number) => number.toLocaleString("en");

  const show = () => {
    const pages = Math.max(1, Math.ceil(found.length / SIZE));
    page = Math.min(Math.max(page, 0), pages - 1);
    gallery.replaceChildren(...found.slice(page * SIZE, (page + 1) * SIZE).map((one) => one.card ?? drawn(one)));
    form.querySelector("output").textContent =
      found.length === all.length ? `${count(all.length)} found` : `${count(found.length)} of ${count(all.length)} found`;
    pager.hidden = pages === 1;
    pager.querySelector("output").textContent = `page ${count(page + 1)} of ${count(pages)}`;
    pager.querySelector("[name=back]").disabled = page === 0;
    pager.querySelector("[name=next]").disabled = page === pages - 1;
  };

  // On paper there are no pages to turn: all that is found and has its picture.
  const showForPrint = () => {
    const pictured = found.filter((one) => one.card).map((one) => one.card);
    if (pictured.length) gallery.replaceChildren(...pictured);
  };

  const filter = () => {
    const words = field("text").toLowerCase().split(/\s+/).filter(Boolean);
    const [low, high] = (field("confidence") || "0,1").split(",").map(Number);
    const chosen = ["mark", "answers", "questions"].map((name) => [name, field(name)]).filter(([, value]) => value);
    if (pair) chosen.push(...Object.entries(pair));
    found = all.filter((one) =>
      chosen.every(([name, value]) => one[name] === value) &&
      one.confidence >= low && (one.confidence < high || high === 1) &&
      words.every((word) => one.text.includes(word)));
    const way = { most: -1, least: 1 }[field("order")];
    if (way) found.sort((a, b) => way * (a.confidence - b.confidence));
    page = 0;
    show();
  };

  const choosePair = (chosen) => {
    const button = form.elements.namedItem("pair");
    pair = chosen;
    button.hidden = !pair;
    button.textContent = pair ? `people say ${pair.consensus}, the model says ${pair.prediction} ✕` : "";
    button.title = "Show all questions again";
    filter();
  };

  const listen = () => {
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", filter);
    form.elements.namedItem("pair")?.addEventListener("click", () => {
      choosePair(null);
      form.elements.namedItem("text").focus();
    });
    pager.addEventListener("click", ({ target }) => {
      const step = { back: -1, next: 1 }[target.name];
      if (!step) return;
      page += step;
      show();
      form.scrollIntoView();
    });
    addEventListener("beforeprint", showForPrint);
    addEventListener("afterprint", show);
    form.reset();
    form.hidden = false;
    filter();
  };

  const listenToPairs = () => {
    for (const button of document.querySelectorAll(".pick")) {
      button.disabled = false;
      button.addEventListener("click", () => {
        form.reset();
        choosePair({ consensus: button.dataset.consensus, prediction: button.dataset.prediction });
        form.scrollIntoView();
        form.elements.namedItem("pair").focus({ preventScroll: true });
      });
    }
  };

  const listenToCopies = () => {
    for (const button of document.querySelectorAll(".copy")) {
      button.hidden = false;
      button.addEventListener("click", () => {
        getSelection().selectAllChildren(button.previousElementSibling);
        button.textContent = document.execCommand("copy") ? "copied" : "selected: press Ctrl-C";
      });
    }
  };

  const start = async () => {
    listenToCopies();
    if (!form || !gallery) return;
    const table = document.querySelector("#judged");
    if (!table) return listen();
    if (!globalThis.DecompressionStream) {
      form.before("This browser is too old to search all questions; those with their picture are below.");
      return;
    }
    columns = await unpack(table.textContent);
    table.remove();
    all = records(columns);
    listen();
    listenToPairs();
    document.documentElement.dataset.ready = "";
  };
  start();
})();
