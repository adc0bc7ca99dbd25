// Who answers: the default endpoint by its traffic, or a deployment of choice.

import { server } from "./api.js";
import { $, attempt, el } from "./dom.js";

/** Offers the deployments that this key may see; `changed` is told when another was chosen. */
export function answerers(changed) {
  $("answerer").addEventListener("change", () => {
    const { endpoint = "", deployment = "" } = $("answerer").selectedOptions[0].dataset;
    server.answerer = { endpoint, deployment };
    attempt(changed);
  });

  async function deployments() {
    const endpoints = (await server.manage("/onlineEndpoints")).value;
    const lists = endpoints.map(async ({ name: endpoint }) => {
      const found = (await server.manage(`/onlineEndpoints/${endpoint}/deployments`)).value;
      return found.map(({ name: deployment }) => ({ endpoint, deployment }));
    });
    return (await Promise.all(lists)).flat();
  }

  /** What is deployed may have changed. */
  return async function offer() {
    // A key that may only ask cannot see what is deployed, and is answered by the traffic's rules.
    const found = await deployments().catch(() => []);
    const chosen = server.answerer;
    const option = ({ endpoint, deployment }) =>
      el("option", { textContent: `${endpoint} / ${deployment}`, data: { endpoint, deployment }, selected: endpoint === chosen.endpoint && deployment === chosen.deployment });
    $("answerer").replaceChildren(el("option", { textContent: "the endpoint, by its traffic" }), ...found.map(option));
    $("answerer-box").hidden = found.length < 2;
    // Who was deleted answers no more.
    if (!$("answerer").selectedIndex) server.answerer = { endpoint: "", deployment: "" };
  };
}
