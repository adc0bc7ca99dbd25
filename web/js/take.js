// What can be taken away: masks, the overlay, a report, and the request as curl and Python.

import { server } from "./api.js";
import { $, attempt, el, fileName, save } from "./dom.js";
import { grayPng, zip } from "./files.js";

/** What the formats are called, and how their files end. */
const FORMATS = {
  png: ["PNG, this slice", ".png"],
  nifti: ["NIfTI", ".nii.gz"],
  nrrd: ["NRRD (3D Slicer)", ".seg.nrrd"],
  "dicom-seg": ["DICOM SEG", ".seg.dcm"],
  "dicom-seg-fractional": ["DICOM SEG, fractional", ".prob.dcm"],
  rtstruct: ["DICOM RTSTRUCT", ".rtstruct.dcm"],
  coco: ["COCO", ".coco.json"],
  geojson: ["GeoJSON", ".geojson"],
  npz: ["NumPy", ".npz"],
  html: ["A page", ".html"],
};
const VOLUME = ["nifti", "nrrd", "dicom-seg", "dicom-seg-fractional", "rtstruct"];
const FLAT = ["png", "coco", "geojson", "npz", "html"];

export function takeAway(viewer, layers) {
  const answered = () => layers.list.filter((layer) => layer.values);
  const stem = () => fileName(viewer.scene.name.replace(/\.(nii\.gz|[^.]+)$/i, ""));

  /** Masks as `medparse segment` writes them: PNGs are made here, everything else by the server. */
  async function masks() {
    if ($("mask-format").value !== "png") return exported($("mask-format").value);
    const files = await Promise.all(
      answered().map(async (layer) => ({ name: `${stem()}__${fileName(layer.phrase)}.png`, blob: await pngMask(layer) })),
    );
    if (files.length === 1) return save(files[0].blob, files[0].name);
    save(await zip(files), `${stem()}_masks.zip`);
  }

  function pngMask(layer) {
    const { width, height } = viewer.size;
    return grayPng(layers.cut(layer).mask.map((inside) => inside * 255), width, height);
  }

  async function exported(format) {
    const findings = answered().map((layer) => {
      const [answer] = layer.answers.values();
      return { label: layer.phrase, category: answer?.category ?? null };
    });
    const form = new FormData();
    for (const file of viewer.scene.files) form.append("file", file, "slice");
    form.append("request", JSON.stringify({ format, threshold: layers.threshold, findings }));
    for (const layer of answered()) form.append("values", new Blob([layer.values]), "values");
    const bytes = await server.call("/api/v1/export", { body: form, as: "bytes" });
    save(new Blob([bytes]), `${stem()}${FORMATS[format][1]}`);
  }

  /** The formats that suit what is shown, the best first. */
  function offer() {
    const { isVolume } = viewer.scene;
    const names = isVolume ? [...VOLUME, ...FLAT] : [...FLAT, ...VOLUME.slice(2)];
    $("mask-format").replaceChildren(...names.map((name) => el("option", { value: name, textContent: FORMATS[name][0] })));
  }

  /** The picture with its layers, at its own size or enlarged to at least 1024 pixels. */
  async function overlay() {
    const { width, height } = viewer.size;
    const scale = Math.max(1, Math.ceil(1024 / Math.max(width, height)));
    const { pixel } = viewer;
    const canvas = new OffscreenCanvas(Math.round(width * scale * pixel.x), Math.round(height * scale * pixel.y));
    const context = canvas.getContext("2d");
    context.setTransform(scale * pixel.x, 0, 0, scale * pixel.y, 0, 0);
    context.drawImage(viewer.scene.draw(viewer.plane, viewer.index), 0, 0);
    for (const layer of answered().filter((layer) => layer.visible)) layers.paintLayer(context, layer, width, height, 2);
    save(await canvas.convertToBlob({ type: "image/png" }), `${stem()}_overlay.png`);
  }

  /** The slice as it was asked, which is the picture of the curl and Python lines. */
  async function slice() {
    const canvas = viewer.scene.draw(viewer.plane, viewer.index);
    save(await canvas.convertToBlob({ type: "image/png" }), request().name);
  }

  function report() {
    const { scene, plane, index } = viewer;
    const { width, height, spacing } = viewer.size;
    const answers = answered().map((layer) => {
      const { area, box } = layers.cut(layer);
      const { category, presence, similarity } = layer.answers.get(`${plane}/${index}`) ?? {};
      const dice = layers.agreement(layer);
      return {
        prompt: layer.phrase,
        category,
        presence,
        similarity,
        area_px: area,
        area_mm2: spacing ? area * spacing[0] * spacing[1] : null,
        bounding_box: box,
        ...(dice == null ? {} : { dice }),
      };
    });
    const slice = scene.isVolume ? { plane, slice: index } : {};
    const body = { width, height, spacing_mm: spacing, ...slice, threshold: layers.threshold, answers };
    save(new Blob([JSON.stringify(body, null, 2)], { type: "application/json" }), `${stem()}.json`);
  }

  function request() {
    const together = $("joint").checked ? "joint" : "alone";
    const name = viewer.scene.isVolume ? `${stem()}_${viewer.plane}_${viewer.index}.png` : viewer.scene.name;
    return { name, prompts: answered().map((layer) => layer.phrase), together, ...where() };
  }

  /** Where the question went. */
  function where() {
    const { path, headers } = server.question("segment");
    return { url: `${location.origin}${path}`, deployment: headers["azureml-model-deployment"] };
  }

  function curl() {
    const { name, prompts, together, url, deployment } = request();
    const rest = JSON.stringify({ prompts, together }).slice(1).replaceAll("%", "%%");
    const key = server.asksForKeys ? `  -H "Authorization: Bearer $MEDPARSE_KEY" \\\n` : "";
    const who = deployment ? `  -H "azureml-model-deployment: ${deployment}" \\\n` : "";
    return (
      `printf ${quoted(`{"image":"%s",${rest}`)} "$(base64 < ${quoted(name)} | tr -d '\\n')" |\n` +
      `curl ${url} \\\n${key}${who}  -H "Content-Type: application/json" -d @-`
    );
  }

  function python() {
    const { name, prompts, together, url, deployment } = request();
    const key = server.asksForKeys ? `\n    headers["Authorization"] = "Bearer " + os.environ["MEDPARSE_KEY"]` : "";
    const who = deployment ? `, "azureml-model-deployment": "${deployment}"` : "";
    return `import base64, json, os, urllib.request

def segment(path, prompts):
    image = base64.b64encode(open(path, "rb").read()).decode()
    body = {"image": image, "prompts": prompts, "together": "${together}"}
    headers = {"Content-Type": "application/json"${who}}${key}
    request = urllib.request.Request("${url}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)["prompts"]

for answer in segment(${JSON.stringify(name)}, ${JSON.stringify(prompts)}):
    print(answer["prompt"], answer["category"], answer["area_px"], answer["bounding_box"])
    # answer["probabilities"] is base64 of one byte a pixel, row by row; above 127 is inside.`;
  }

  function code(title, text) {
    $("code-title").textContent = title;
    $("code").textContent = text;
    $("code-copy").textContent = "Copy";
    $("code-dialog").showModal();
  }

  $("save-masks").addEventListener("click", () => attempt(masks));
  $("save-overlay").addEventListener("click", () => attempt(overlay));
  $("save-slice").addEventListener("click", () => attempt(slice));
  viewer.addEventListener("open", () => {
    $("save-slice").hidden = !viewer.scene.isVolume;
    offer();
  });
  $("save-report").addEventListener("click", () => attempt(report));
  $("show-curl").addEventListener("click", () => code("The same request with curl", curl()));
  $("show-python").addEventListener("click", () => code("The same request with Python", python()));
  $("code-close").addEventListener("click", () => $("code-dialog").close());
  $("code-copy").addEventListener("click", () =>
    attempt(async () => {
      await navigator.clipboard.writeText($("code").textContent);
      $("code-copy").textContent = "Copied";
    }),
  );
}

/** Text between single quotes, as a shell takes it. */
function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
