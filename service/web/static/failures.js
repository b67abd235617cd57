// What fails, one entry a code, with the one command that deals with all of it.

import { due, element, plural, sentence } from "./format.js";
import { companyInText, withNames } from "./names.js";
import { whose } from "./overview.js";

const SHOWN = 6;

// `counts` are the remembered uploads by code; `onShow(code)` shows them.
export function showFailures(section, overview, counts, onShow) {
  const groups = overview?.failures ?? [];
  section.hidden = !groups.length;
  const list = section.querySelector("#failures");
  const before = new Map([...list.children].map((node) => [node.dataset.key, node]));
  const nodes = groups.slice(0, SHOWN).map((group) => {
    const made = entry(group, counts.get(group.code) ?? 0, onShow);
    made.dataset.key = `${group.code} ${group.topic}`;
    const known = before.get(made.dataset.key);
    if (known?.isEqualNode(made)) return known; // its button keeps the focus, and what is selected stays so
    const focused = known?.contains(document.activeElement) ? document.activeElement.localName : null;
    if (focused) queueMicrotask(() => made.querySelector(`.command ${focused}`)?.focus());
    return made;
  });
  if (nodes.length !== list.children.length || nodes.some((node, at) => node !== list.children[at])) list.replaceChildren(...nodes);
  const left = (overview?.failing_codes ?? 0) - SHOWN;
  const more = section.querySelector("#more-codes");
  more.hidden = left <= 0;
  more.replaceChildren(...sentence(`${left} more ${plural(left, "code", "codes")}: \`thumbnails status\` shows all.`));
}

function entry(group, remembered, onShow) {
  const { example } = group;
  const counts = [];
  if (group.waiting) counts.push(`${group.waiting.toLocaleString()} ${plural(group.waiting, "dead letter", "dead letters")}`);
  if (group.retrying) {
    const next = group.next_due_at ? `, the next ${due(group.next_due_at)}` : "";
    counts.push(`${group.retrying.toLocaleString()} ${plural(group.retrying, "waits", "wait")} for a retry${next}`);
  }
  const said = example.message ? `: ${example.message}` : "";
  const owner = example.company_id === null ? "" : ` of ${companyInText(example.company_id)}`;
  return element(
    "li",
    { "data-code": group.code, "data-urgent": group.is_urgent ? "" : null },
    element("h3", {}, element("code", {}, group.code), element("span", {}, counts.join(" · ")), element("span", { class: "whose" }, whose(group))),
    group.suspect ? element("p", { class: "suspect" }, withNames(group.suspect.sentence)) : null,
    element("p", { class: "example" }, `Such as ${example.media ?? example.position}${owner}${said}`),
    element("p", { class: "next" }, element("b", {}, "What to do: "), ...sentence(group.next_action)),
    element("div", { class: "command" }, command(group), remembered ? shower(group.code, remembered, onShow) : null),
  );
}

function command(group) {
  const isList = group.command.includes("retries list");
  const note = isList ? "names them" : group.fails_again ? "for all of them: a replay fails again; a dry run without --yes" : "for all of them; a dry run without --yes";
  return element("p", {}, element("code", { tabindex: "0" }, group.command), " ", element("small", {}, note));
}

function shower(code, count, onShow) {
  const button = element("button", { type: "button" }, `Show ${count.toLocaleString()} ${plural(count, "upload", "uploads")}`);
  button.addEventListener("click", () => onShow(code));
  return button;
}
