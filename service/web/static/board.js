// The list of cards: the newest first, never more than the server remembers, in a DOM that moves as little as it can.

import { buildTile } from "./tile.js";

export class Board {
  constructor(list, filters, onReplay, onCode) {
    this.list = list;
    this.filters = filters;
    this.onReplay = onReplay; // set when the server allows it
    this.onCode = onCode; // shows all uploads with a code
    this.known = new Map(); // key -> { tile, node }
    this.held = new Map(); // what came while paused
    this.max = 200;
    this.isPaused = false;
  }

  replaceAll(tiles, max) {
    this.max = max;
    const wanted = new Set(tiles.map((tile) => tile.key));
    for (const key of this.known.keys()) if (!wanted.has(key) && !this.isPaused) this.#forget(key);
    this.add(tiles);
  }

  add(tiles) {
    if (this.isPaused) {
      for (const tile of tiles) if (!same(this.known.get(tile.key)?.tile, tile)) this.held.set(tile.key, tile);
      trim(this.held, this.max, (tile) => tile.at_ms);
      return;
    }
    for (const tile of tiles) this.#take(tile);
    trim(this.known, this.max, ({ tile }) => tile.at_ms, (key) => this.#forget(key));
    this.render();
  }

  resume() {
    this.isPaused = false;
    const tiles = [...this.held.values()];
    this.held.clear();
    this.add(tiles);
  }

  render() {
    const entries = [...this.known.values()].sort((one, other) => other.tile.at_ms - one.tile.at_ms);
    const shown = entries.filter(({ tile }) => this.filters.matches(tile));
    const visible = this.#fold(shown);
    const nodes = new Set(visible.map(({ node }) => node));
    for (const node of [...this.list.children]) if (!nodes.has(node)) node.remove();
    visible.forEach(({ node }, at) => {
      if (this.list.children[at] !== node) this.list.insertBefore(node, this.list.children[at] ?? null);
    });
    return (this.shown = shown.map(({ tile }) => tile));
  }

  // Failures with one code are one card, that of the newest, until somebody asks for them.
  #fold(shown) {
    const { code, state } = this.filters.chosen;
    const counts = new Map();
    for (const { tile } of shown) if (tile.code) counts.set(tile.code, (counts.get(tile.code) ?? 0) + 1);
    const isAsked = Boolean(code) || state === "failed";
    const seen = new Set();
    return shown.filter(({ tile, node }) => {
      if (!tile.code) return true;
      const isFirst = !seen.has(tile.code);
      seen.add(tile.code);
      const others = isFirst && !isAsked ? counts.get(tile.code) - 1 : 0;
      const more = node.querySelector(".more");
      more.hidden = others === 0;
      more.textContent = `and ${others.toLocaleString()} more`;
      more.setAttribute("aria-label", `Show all ${others + 1} uploads that failed with ${tile.code}`);
      more.onclick = () => this.onCode(tile.code);
      return isFirst || isAsked;
    });
  }

  #take(tile) {
    const before = this.known.get(tile.key);
    if (same(before?.tile, tile) || (before && before.tile.at_ms > tile.at_ms)) return;
    const node = buildTile(tile, this.onReplay);
    const hadFocus = before?.node.contains(document.activeElement);
    before?.node.replaceWith(node);
    this.known.set(tile.key, { tile, node });
    if (hadFocus) node.querySelector("h3").focus();
  }

  #forget(key) {
    this.known.get(key)?.node.remove();
    this.known.delete(key);
  }
}

function same(one, other) {
  return one !== undefined && JSON.stringify(one) === JSON.stringify(other);
}

function trim(map, max, age, remove = (key) => map.delete(key)) {
  if (map.size <= max) return;
  const oldest = [...map.entries()].sort(([, one], [, other]) => age(one) - age(other));
  for (const [key] of oldest.slice(0, map.size - max)) remove(key);
}
