// Models: the catalog, and what is deployed. The routes are those that azure-ai-ml and the command line use.

import { server } from "./api.js";
import { deploy, shared } from "./deploy.js";
import { $, attempt, el, toast } from "./dom.js";
import { toBase64 } from "./bytes.js";
import { ask, moment, table } from "./forms.js";

export function modelsView(root) {
  const search = el("input", { type: "search", placeholder: "Search the catalog", aria: { label: "Search the catalog" } });
  const cards = el("ul", { className: "cards" });
  const running = el("div", { className: "stack" });
  const head = (title, ...rest) => el("div", { className: "head" }, el("h1", { textContent: title }), ...rest);
  root.append(el("div", { className: "page" }, head("Models", search), cards, head("Deployed"), running));
  let catalog = [];
  search.addEventListener("input", showCatalog);

  async function load() {
    await attempt(async () => {
      catalog = (await server.manage("/models")).value;
      showCatalog();
      await showEndpoints();
    });
  }

  function showCatalog() {
    const wanted = search.value.trim().toLowerCase();
    const fits = ({ name, properties }) => `${name} ${properties.description}`.toLowerCase().includes(wanted);
    const found = catalog.filter(fits).map(card);
    cards.replaceChildren(...(found.length ? found : [el("li", { className: "empty" }, "No installed model fits.")]));
  }

  function card(model) {
    const { description, latestVersion } = model.properties;
    return el(
      "li",
      { className: "card" },
      el("h3", { textContent: model.name }),
      el("p", { textContent: description || `Version ${latestVersion}` }),
      el("p", { className: "row" }, el("button", { type: "button", className: "primary", on: { click: () => start(model) } }, "Deploy…")),
    );
  }

  async function start(model) {
    const endpoints = (await attempt(() => server.manage("/onlineEndpoints")))?.value;
    if (!endpoints) return;
    const outcome = await attempt(() => deploy(model, endpoints, showEndpoints));
    if (outcome) toast(outcome);
    await attempt(showEndpoints);
  }

  async function showEndpoints() {
    const endpoints = (await server.manage("/onlineEndpoints")).value;
    const sheets = await Promise.all(endpoints.map(sheet));
    running.replaceChildren(...(sheets.length ? sheets : [el("p", { className: "hint" }, "Nothing is deployed yet.")]));
    // What loads is looked at again until it is there.
    if (running.querySelector(".Creating, .Updating") && !root.hidden) {
      clearTimeout(again);
      again = setTimeout(() => attempt(showEndpoints), 1000);
    }
  }
  let again;

  async function sheet({ name, properties }) {
    const deployments = (await server.manage(`/onlineEndpoints/${name}/deployments`)).value;
    const title = el(
      "div",
      { className: "title" },
      el("h2", { textContent: name }),
      el("code", { textContent: properties.scoringUri }),
      el("span", { className: "hint", textContent: { Key: "keys", AMLToken: "tokens", AADToken: "identity tokens" }[properties.authMode] ?? properties.authMode }),
      el("span", { className: "spring" }),
      el("button", { type: "button", className: "link", on: { click: () => setTraffic(name, properties.traffic, deployments) } }, "Traffic…"),
      el("button", { type: "button", className: "link danger", on: { click: () => removeEndpoint(name) } }, "Delete"),
    );
    const rows = deployments.map((deployment) => row(name, properties, deployment));
    const body = rows.length
      ? table(["Deployment", "Model", "Status", "Traffic", "Expires", ""], rows)
      : el("p", { className: "empty" }, "No deployment yet.");
    return el("section", { className: "sheet", aria: { label: `Endpoint ${name}` } }, title, body);
  }

  function row(endpoint, { traffic }, { name, properties }) {
    const button = (label, act, kind = "") =>
      el("button", { type: "button", className: `link ${kind}`, aria: { label: `${label} ${name}` }, on: { click: () => attempt(act) } }, label);
    const words = { Succeeded: "ready", Creating: "loading", Updating: "loading", Failed: "failed" };
    const state = properties.provisioningState;
    const cells = [
      name,
      modelName(properties.model),
      el("span", { className: `badge ${state}` }, words[state] ?? state),
      `${traffic[name] ?? 0} %`,
      moment(properties.properties?.["medparse.expires"]),
    ].map((cell) => el("td", {}, cell));
    const actions = el(
      "td",
      { className: "actions" },
      button("Test", () => test(endpoint, name)),
      button("Log", () => log(endpoint, name)),
      button("Delete", () => removeDeployment(endpoint, name), "danger"),
    );
    return el("tr", {}, ...cells, actions);
  }

  async function test(endpoint, deployment) {
    const picture = await (await fetch("example.png")).blob();
    const key = server.asksForKeys
      ? (await server.manage(`/onlineEndpoints/${endpoint}/listKeys`, { json: {} })).primaryKey
      : "";
    const request = { image: await toBase64(picture), prompts: ["neoplastic cells"], probabilities: false };
    const headers = { "azureml-model-deployment": deployment };
    const reply = await server.patient(`/api/v1/endpoints/${endpoint}/segment`, { json: request, headers, key });
    const [{ category, area_px }] = reply.prompts;
    const ms = Math.round(reply.timing.encode_ms + reply.timing.ask_ms);
    toast(`${deployment} answered in ${ms} ms: ${category}, ${area_px} px of the example.`);
  }

  async function log(endpoint, deployment) {
    const { content } = await server.manage(`/onlineEndpoints/${endpoint}/deployments/${deployment}/getLogs`, { json: { tail: 200 } });
    $("code-title").textContent = `Log of ${deployment}`;
    $("code").textContent = content || "Nothing yet.";
    $("code-dialog").showModal();
  }

  async function setTraffic(endpoint, traffic, deployments) {
    const fields = deployments.map(({ name }) =>
      el("label", {}, name, el("input", { type: "number", name, min: 0, max: 100, value: traffic[name] ?? 0 })),
    );
    const text = "Percentages; together 100, or 0 for none.";
    const values = await ask({ title: `Traffic of ${endpoint}`, text, fields, action: "Set" });
    if (!values) return;
    const shares = Object.fromEntries(Object.entries(values).map(([name, share]) => [name, Number(share)]));
    await attempt(() => server.manage(`/onlineEndpoints/${endpoint}`, { method: "PATCH", json: { properties: { traffic: shares } } }));
    await attempt(showEndpoints);
  }

  async function removeDeployment(endpoint, name) {
    const text = "Requests that name it are refused from then on.";
    if (!(await ask({ title: `Delete the deployment ${name}?`, text, action: "Delete", danger: true }))) return;
    const { properties } = await server.manage(`/onlineEndpoints/${endpoint}`);
    // What gets traffic cannot be deleted: the others take its share.
    if (properties.traffic[name]) {
      const traffic = shared(properties.traffic, name, 0);
      await server.manage(`/onlineEndpoints/${endpoint}`, { method: "PATCH", json: { properties: { traffic } } });
    }
    await server.manage(`/onlineEndpoints/${endpoint}/deployments/${name}`, { method: "DELETE" });
    await showEndpoints();
  }

  async function removeEndpoint(name) {
    const text = "Its deployments and its keys go with it.";
    if (!(await ask({ title: `Delete the endpoint ${name}?`, text, action: "Delete", danger: true }))) return;
    await attempt(() => server.manage(`/onlineEndpoints/${name}`, { method: "DELETE" }));
    await attempt(showEndpoints);
  }

  return load;
}

/** The name in a reference such as `azureml:name:1` or `…/models/name/versions/1`; a path or a name stays. */
function modelName(reference) {
  return reference.match(/^azureml:([^:/]+)/)?.[1] ?? reference.match(/\/models\/([^/]+)\/versions\//)?.[1] ?? reference;
}
