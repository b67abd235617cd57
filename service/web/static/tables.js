// The topics' and the roles' state as tables, with the topics' sum in the summary: folded away, for who wants to know more.

import { clock, element, plural } from "./format.js";

export function showTables(details, overview) {
  if (!overview) return;
  if (overview.topics) {
    const waiting = overview.topics.flatMap((topic) => topic.groups).reduce((sum, group) => sum + group.lag_records, 0);
    const words = waiting ? `${waiting.toLocaleString()} ${plural(waiting, "record waits", "records wait")}` : "nothing waits";
    details.querySelector("#topics-summary").textContent = `${words}, as of ${clock(overview.kafka_at)}`;
    details.querySelector("#topic-table tbody").replaceChildren(...overview.topics.flatMap(rows));
  }
  details.querySelector("#role-table").hidden = !overview.roles.length;
  details.querySelector("#role-table tbody").replaceChildren(...overview.roles.map(roleRow));
}

function roleRow(role) {
  const state = role.problem ?? (role.down.length ? `lost ${role.down.join(", ")}` : role.ok ? "ready" : "not ready");
  return element(
    "tr",
    { "data-bad": role.ok ? null : "" },
    element("th", { scope: "row" }, role.role ?? "?"),
    element("td", {}, state),
    element("td", {}, role.version ?? "?"),
    element("td", {}, role.url),
  );
}

function rows(topic) {
  const groups = topic.groups.length ? topic.groups : [null];
  return groups.map((group) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, topic.name),
      element("td", { class: "number" }, String(topic.partitions)),
      element("td", { class: "number" }, topic.records.toLocaleString()),
      element("td", {}, group?.group ?? "–"),
      element("td", { class: "number" }, group ? group.lag_records.toLocaleString() : "–"),
      element("td", {}, group?.oldest_unprocessed_at ? clock(group.oldest_unprocessed_at) : "–"),
    ),
  );
}
