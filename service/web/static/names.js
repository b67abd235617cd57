// Names of companies: known a moment after their ids, so that what shows one is filled in again when they come.

import { element } from "./format.js";

const names = new Map();

export function companyLabel(id) {
  if (id === null || id === undefined) return "an unknown company";
  return names.get(String(id)) ?? `Company ${id}`;
}

// Within a sentence.
export function companyInText(id) {
  return companyLabel(id).replace(/^Company (?=\d+$)/, "company ");
}

export function companyName(id) {
  return element("span", { "data-company": id, title: `Company ${id}` }, companyLabel(id));
}

export function learnNames(found, root = document) {
  for (const [id, name] of Object.entries(found ?? {})) names.set(id, name);
  for (const span of root.querySelectorAll("span[data-company]")) span.textContent = companyLabel(span.dataset.company);
  for (const option of root.querySelectorAll("select[name=company] option")) {
    if (names.has(option.value)) option.textContent = `${names.get(option.value)} (${option.value})`;
  }
}

// «all of company 3» -> «all of company 3 (Initech)»: sentences of the server know ids alone. What is typed stays as it is.
export function withNames(text) {
  return text
    .split("`")
    .map((part, at) => (at % 2 ? part : inWords(part)))
    .join("`");
}

function inWords(text) {
  return text.replace(/\b(company )(\d+)\b(?! \()/gi, (all, _word, id) => (names.has(id) ? `${all} (${names.get(id)})` : all));
}
