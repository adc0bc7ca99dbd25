// Deploying a model: an endpoint where none is chosen, the deployment, and its share of the traffic.

import { server } from "./api.js";
import { ask, choice, field, text } from "./forms.js";
import { el, toast } from "./dom.js";

const NEW = "a new endpoint";

/** Asks how, deploys, and waits until the model is loaded; answers with a sentence, or nothing when it was not wanted. */
export async function deploy(model, endpoints, changed) {
  const names = endpoints.map(({ name }) => name);
  const endpointChoice = choice("endpoint", [...names, NEW]);
  const forNew = [
    field("Its name", text("made", { placeholder: "ward7", pattern: "[a-z][a-z0-9\\-]{2,31}" })),
    field("It asks for", choice("auth", [["Key", "Keys"], ["AMLToken", "Tokens of its own"], ["AADToken", "Identity tokens"]])),
  ];
  const showNew = () => forNew.forEach((label) => (label.hidden = endpointChoice.value !== NEW));
  endpointChoice.addEventListener("change", showNew);
  showNew();
  const values = await ask({
    title: `Deploy ${model.name}`,
    action: "Deploy",
    fields: [
      field("Endpoint", endpointChoice, true),
      ...forNew,
      field("Deployment", text("name", { required: true, value: "blue", pattern: "[A-Za-z0-9][A-Za-z0-9\\-]{1,31}" })),
      field("Precision", choice("precision", [["", "The server's own"], "f32", "bf16", "int8"])),
      field("Threads", el("input", { type: "number", name: "threads", min: 1, max: 1024, placeholder: "all" })),
      field("Traffic, percent", el("input", { type: "number", name: "traffic", min: 0, max: 100, value: 0 })),
      field("Expires in", text("expires", { placeholder: "never, or 168h, 30d" })),
    ],
  });
  if (!values) return "";
  const endpoint = values.endpoint === NEW ? values.made : values.endpoint;
  if (!endpoint) throw new Error("A new endpoint needs a name.");
  const at = `/onlineEndpoints/${encodeURIComponent(endpoint)}`;
  if (!names.includes(endpoint)) {
    await server.manage(at, { method: "PUT", json: { location: "local", properties: { authMode: values.auth } } });
  }
  const environmentVariables = Object.fromEntries(
    [
      ["MEDPARSE_PRECISION", values.precision],
      ["MEDPARSE_THREADS", values.threads],
      ["MEDPARSE_EXPIRES_IN", values.expires.trim()],
    ].filter(([, value]) => value),
  );
  const properties = { model: `azureml:${model.name}:${model.properties.latestVersion}`, environmentVariables };
  const deployment = `${at}/deployments/${encodeURIComponent(values.name)}`;
  await server.manage(deployment, { method: "PUT", json: { location: "local", properties } });
  await changed();
  toast(`${values.name} is loading its model.`);
  await loaded(deployment);
  const share = Number(values.traffic);
  let { traffic } = (await server.manage(at)).properties;
  if (share > 0) {
    traffic = shared(traffic, values.name, share);
    await server.manage(at, { method: "PATCH", json: { properties: { traffic } } });
  }
  return `${values.name} is ready and gets ${traffic[values.name] ?? 0} % of the traffic of ${endpoint}.`;
}

async function loaded(deployment) {
  for (;;) {
    const { status, error } = await server.manage(`${deployment}/status`);
    if (status === "Succeeded") return;
    if (status === "Failed") throw new Error(`The model was not loaded: ${error?.message ?? "see the log"}`);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/**
 * Traffic in which `name` gets `share` percent and the others keep their proportions, in whole numbers that add up; all of
 * it where nobody else gets any.
 */
export function shared(traffic, name, share) {
  const others = Object.entries(traffic).filter(([other, percent]) => other !== name && percent > 0);
  const sum = others.reduce((total, [, percent]) => total + percent, 0);
  if (!sum) return share ? { [name]: 100 } : {};
  const rest = 100 - share;
  const shares = others.map(([other, percent]) => [other, Math.floor((percent * rest) / sum)]);
  shares[0][1] += rest - shares.reduce((total, [, percent]) => total + percent, 0);
  return Object.fromEntries([...shares, [name, share]].filter(([, percent]) => percent > 0));
}
