// The filters, kept in the page's address so that a view can be shared and found again.

import { element } from "./format.js";

const NAMES = ["company", "state", "code"];

export class Filters {
  constructor(form, onChange) {
    this.form = form;
    this.onChange = onChange;
    form.addEventListener("change", () => this.#changed());
    form.addEventListener("reset", () => setTimeout(() => this.#changed())); // the fields are emptied after this event
    form.addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("popstate", () => this.#read());
    this.#read();
  }

  matches(tile) {
    const { company, state, code } = this.chosen;
    return (
      (!company || String(tile.company) === company) &&
      (!state || tile.state === state) &&
      (!code || tile.code === code)
    );
  }

  get isActive() {
    return NAMES.some((name) => this.chosen[name]);
  }

  // Makes sure that each value can be chosen; what is chosen already stays.
  offer(name, values) {
    const field = this.form.elements[name];
    const known = new Set(Array.from(field.options, (option) => option.value));
    const missing = values.map(String).filter((value) => !known.has(value));
    if (!missing.length) return;
    const all = [...Array.from(field.options).slice(1).map((option) => option.value), ...missing];
    all.sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
    const chosen = field.value;
    field.replaceChildren(field.options[0], ...all.map((value) => element("option", { value }, value)));
    field.value = chosen;
  }

  set(name, value) {
    this.offer(name, [value]);
    this.form.elements[name].value = value;
    this.#changed();
  }

  #read() {
    const given = new URLSearchParams(location.search);
    for (const name of NAMES) {
      const value = (given.get(name) ?? "").slice(0, 64);
      if (value) this.offer(name, [value]); // a company that is not among the newest uploads (any more)
      this.form.elements[name].value = value;
    }
    this.#choose();
    this.onChange();
  }

  #changed() {
    this.#choose();
    const query = new URLSearchParams(NAMES.filter((name) => this.chosen[name]).map((name) => [name, this.chosen[name]]));
    history.pushState(null, "", query.size ? `?${query}` : location.pathname);
    this.onChange(true);
  }

  #choose() {
    this.form.querySelector("button[type=reset]").hidden = NAMES.every((name) => !this.form.elements[name].value);
    this.chosen = Object.fromEntries(NAMES.map((name) => [name, this.form.elements[name].value]));
  }
}
