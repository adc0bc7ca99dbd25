// Keys: the two of every endpoint, and those that were granted.

import { server } from "./api.js";
import { attempt, el, toast } from "./dom.js";
import { ask, choice, field, moment, table, text } from "./forms.js";

const SCOPES = { score: "Ask the model", manage: "Manage", metrics: "Read metrics" };

export function keysView(root) {
  const grantButton = el("button", { type: "button", className: "primary", on: { click: () => attempt(grant) } }, "Grant a key…");
  const head = (title, ...rest) => el("div", { className: "head" }, el("h1", { textContent: title }), ...rest);
  const fresh = el("div", { className: "stack", hidden: true });
  const granted = el("section", { className: "sheet", aria: { label: "Granted keys" } });
  const own = el("div", { className: "stack" });
  const intro = el("p", { className: "hint", hidden: true }, "This server asks nobody for a key: only this machine can connect. Keys count as soon as it is started with --auth or on another address.");
  root.append(el("div", { className: "page" }, head("Keys", grantButton), intro, fresh, granted, head("Keys of the endpoints"), own));

  async function load() {
    await attempt(async () => {
      intro.hidden = server.asksForKeys;
      const { keys } = await server.call("/api/v1/keys");
      granted.replaceChildren(
        keys.length
          ? table(["Key", "May", "Where", "Expires", ""], keys.map(row))
          : el("p", { className: "empty" }, "No key has been granted beside those of the endpoints."),
      );
      const endpoints = (await server.manage("/onlineEndpoints")).value;
      own.replaceChildren(...endpoints.map(endpointKeys));
    });
  }

  const link = (label, name, act, kind = "") =>
    el("button", { type: "button", className: `link ${kind}`, aria: { label: `${label} ${name}` }, on: { click: () => attempt(act) } }, label);

  function row(key) {
    const where = [key.endpoint ?? "every endpoint", key.deployment].filter(Boolean).join(" / ");
    const name = key.label ? `${key.label} (${key.id})` : key.id;
    const cells = [name, key.scopes.map((scope) => SCOPES[scope] ?? scope).join(", "), where, key.expires ? moment(key.expires) : "never"];
    const actions = el("td", { className: "actions" }, link("Rotate", name, () => rotate(key)), link("Revoke", name, () => revoke(key), "danger"));
    return el("tr", {}, ...cells.map((cell) => el("td", {}, cell)), actions);
  }

  async function grant() {
    const scope = Object.entries(SCOPES).map(([value, label]) =>
      el("label", { className: "check" }, el("input", { type: "checkbox", name: `scope-${value}`, checked: value === "score" }), label),
    );
    const endpoints = (await server.manage("/onlineEndpoints")).value.map(({ name }) => name);
    const values = await ask({
      title: "Grant a key",
      action: "Grant",
      fields: [
        el("fieldset", { className: "wide" }, el("legend", {}, "It may"), ...scope),
        field("For whom or what", text("label", { placeholder: "ward 7" })),
        field("Expires in", text("expires", { placeholder: "never, or 24h, 90d" })),
        field("Endpoint", choice("endpoint", [["", "Every endpoint"], ...endpoints])),
        field("Deployment", text("deployment", { placeholder: "every deployment" })),
      ],
    });
    if (!values) return;
    const scopes = Object.keys(SCOPES).filter((name) => values[`scope-${name}`]);
    const optional = { label: values.label, endpoint: values.endpoint, deployment: values.deployment, expires_in: values.expires };
    const given = Object.fromEntries(Object.entries(optional).map(([name, value]) => [name, value.trim()]).filter(([, value]) => value));
    const { key } = await server.call("/api/v1/keys", { json: { scopes, ...given } });
    showOnce(key);
    await load();
  }

  function showOnce(key) {
    const copy = () => attempt(() => navigator.clipboard.writeText(key).then(() => toast("Copied.")));
    fresh.hidden = false;
    fresh.replaceChildren(
      el("p", { className: "hint", textContent: "The new key. It is shown this once; only its hash is kept." }),
      el("p", { className: "row" }, el("code", { className: "secret", textContent: key }), el("button", { type: "button", on: { click: copy } }, "Copy")),
    );
  }

  async function rotate(key) {
    const fields = [field("The old key stays valid for", text("grace", { placeholder: "not at all, or 24h" }), true)];
    const values = await ask({ title: `Rotate ${key.label ?? key.id}`, action: "Rotate", fields });
    if (!values) return;
    const grace = values.grace.trim();
    const { key: made } = await server.call(`/api/v1/keys/${key.id}/rotate`, { json: grace ? { grace } : {} });
    showOnce(made);
    await load();
  }

  async function revoke(key) {
    const text = "It fails on the next request.";
    if (!(await ask({ title: `Revoke ${key.label ?? key.id}?`, text, action: "Revoke", danger: true }))) return;
    await server.call(`/api/v1/keys/${key.id}`, { method: "DELETE" });
    toast("Revoked.");
    await load();
  }

  function endpointKeys({ name, properties }) {
    if (properties.authMode !== "Key") {
      return el("section", { className: "sheet" }, el("p", { className: "empty" }, `${name} takes tokens, not keys.`));
    }
    const which = (label, property) => {
      const value = el("code", { textContent: "••••••••••••" });
      const show = () =>
        attempt(async () => {
          const keys = await server.manage(`/onlineEndpoints/${name}/listKeys`, { json: {} });
          value.textContent = keys[property];
        });
      const replace = async () => {
        const text = "Whoever uses the old one is refused from the next request on; the other key stays valid.";
        if (!(await ask({ title: `Make a new ${label.toLowerCase()} key of ${name}?`, text, action: "Make", danger: true }))) return;
        await server.manage(`/onlineEndpoints/${name}/regenerateKeys`, { json: { keyType: label } });
        await show();
      };
      const actions = el("td", { className: "actions" }, link("Show", `${label} key of ${name}`, show), link("Rotate", `${label} key of ${name}`, replace));
      return el("tr", {}, el("td", {}, label), el("td", {}, value), actions);
    };
    const title = el("div", { className: "title" }, el("h2", { textContent: name }));
    const body = table(["Key", "Value", ""], [which("Primary", "primaryKey"), which("Secondary", "secondaryKey")]);
    return el("section", { className: "sheet", aria: { label: `Keys of ${name}` } }, title, body);
  }

  return load;
}
