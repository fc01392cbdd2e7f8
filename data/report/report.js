"use strict";
// The gallery's filters. Without a script the page shows every card and no filters.
(() => {
  const form = document.querySelector(".filters");
  const gallery = document.querySelector(".gallery");
  if (!form || !gallery) return;
  const cards = [...gallery.children];
  const field = (name) => form.elements.namedItem(name)?.value ?? "";  // not every page has all of them
  const sure = (card) => Number(card.dataset.confidence ?? 0);

  const fits = (card, words, low, high) =>
    ["mark", "answers", "questions"].every((name) => !field(name) || card.dataset[name] === field(name)) &&
    sure(card) >= low && (sure(card) < high || high === 1) &&
    words.every((word) => card.dataset.text.includes(word));

  const order = () => {
    const way = { most: -1, least: 1 }[field("order")];
    const sorted = way ? [...cards].sort((a, b) => way * (sure(a) - sure(b))) : cards;
    gallery.append(...sorted);
  };

  const filter = () => {
    const words = field("text").toLowerCase().split(/\s+/).filter(Boolean);
    const [low, high] = (field("confidence") || "0,1").split(",").map(Number);
    for (const card of cards) card.hidden = !fits(card, words, low, high);
    const shown = cards.filter((card) => !card.hidden).length;
    form.querySelector("output").textContent =
      shown === cards.length ? `${shown} shown` : `${shown} of ${cards.length} shown`;
  };

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    if (event.target.name === "order") order();
    filter();
  });
  form.reset();
  form.hidden = false;
  filter();
})();
